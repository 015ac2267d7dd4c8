"""Loads a server: a plan and a target in, a report out."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache

from pytest_fastr import _native
from pytest_fastr.errors import LoadError
from pytest_fastr.load.result import Floor, LoadReport, report_of
from pytest_fastr.load.scenario import Scenario
from pytest_fastr.load.shape import Open, Precision, Shape
from pytest_fastr.load.url import LoadTarget
from pytest_fastr.load.validity import notes

CONNECT_TIMEOUT_S = 5.0
FLOOR_S = 0.01
MOST_FLOOR_CONNECTIONS = 256
# What the process has open besides, with room to spare.
OTHER_FILES = 64

Watch = Callable[[_native.Progress], bool | None]
"""Is shown the progress about every 50 ms; False ends the run with the report so far."""


def share_and_rps(progress: _native.Progress) -> tuple[float, float | None]:
    """The share of the planned time that is over (0 to 1; 0 where none is planned), and requests a second so far."""
    share = min(progress.elapsed_ns / progress.planned_ns, 1.0) if progress.planned_ns else 0.0
    return share, progress.requests * 1e9 / progress.elapsed_ns if progress.elapsed_ns else None


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What is sent, how, and until when: for ``duration_s`` seconds, or exactly ``count`` requests where it is given,
    or for at most ``duration_s`` seconds until a value is known with ``precision``.

    ``warm_up_s``: seconds of the same load before, which nothing counts. ``drain_s``: how long the end of the duration
    waits for what is due and not over. ``abort``: the share of failed requests that ends the run, and the seconds
    before which it does not.
    """

    scenario: Scenario
    shape: Shape
    duration_s: float = 10.0
    count: int | None = None
    precision: Precision | None = None
    warm_up_s: float = 0.0
    keep_alive: bool = True
    drain_s: float = 10.0
    abort: tuple[float, float] | None = None
    seed: int = 0

    @property
    def connections(self) -> int:
        """How many connections there are at most."""
        return self.shape.connections if isinstance(self.shape, Open) else self.shape.users


def run_plan(plan: LoadPlan, target: LoadTarget, watch: Watch | None = None) -> LoadReport:
    """Loads the target. Raises LoadError for a plan that cannot be carried out."""
    precise = plan.precision
    requests, scenario = plan.scenario.native_for(target.host)
    connections = _native.ConnectionPlan(plan.connections, plan.keep_alive, CONNECT_TIMEOUT_S, plan.scenario.timeout_s)
    try:
        with _open_files(plan.connections):
            floor = measured_floor(min(plan.connections, MOST_FLOOR_CONNECTIONS))
            result = _native.run_load(
                target.native(),
                requests,
                connections,
                seconds=None if plan.count is not None else plan.duration_s,
                count=plan.count,
                precise=None if precise is None else (precise.quantile, precise.within),
                warm_up=plan.warm_up_s,
                scenario=scenario,
                pacing=plan.shape.native(),
                drain=plan.drain_s,
                abort=plan.abort,
                seed=plan.seed,
                control=watch,
            )
    except (ValueError, OSError) as error:
        raise LoadError(str(error)) from error
    ended_s = result.side.duration_ns / 1e9
    if isinstance(plan.shape, Open) and plan.count is None and precise is None and result.ended_early is None:
        # The rate holds for the time in which requests were due, also when the last answer came before its end.
        ended_s = max(ended_s, plan.duration_s)
    report = report_of(result, target.url, plan.scenario, plan.shape, target.transport, ended_s)
    report = replace(report, generator=replace(report.generator, floor=floor))
    return replace(report, notes=notes(report, result.service, precise))


@lru_cache(maxsize=32)
def measured_floor(connections: int) -> Floor:
    """What the generator alone takes with so many connections. Measured once in a process.

    Raises OSError or ValueError where no server can be started for it.
    """
    return Floor.of(_native.measure_floor(connections, FLOOR_S))


@contextmanager
def _open_files(connections: int) -> Iterator[None]:
    """Lets this process have so many connections open, and those of the floor with their server's ends."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = max(connections, 2 * min(connections, MOST_FLOOR_CONNECTIONS)) + OTHER_FILES
    if soft == resource.RLIM_INFINITY or needed <= soft:
        yield
        return
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise LoadError(
            f"{connections:,} connections need {needed:,} open files and this process may have {hard:,}: "
            "ask for fewer, or raise `ulimit -n`"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
