"""Loads a server: a plan and a target in, a report out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from pytest_fastr import _native
from pytest_fastr.errors import LoadError
from pytest_fastr.load.request import RequestSpec
from pytest_fastr.load.result import LoadReport, report_of
from pytest_fastr.load.shape import Open, Shape
from pytest_fastr.load.url import LoadTarget
from pytest_fastr.load.validity import notes

CONNECT_TIMEOUT_S = 5.0

Watch = Callable[[_native.Progress], bool]
"""Is shown the progress about every 50 ms; False ends the run with the report so far."""


def share_and_rps(progress: _native.Progress) -> tuple[float, float | None]:
    """The share of the planned time that is over (0 to 1; 0 where none is planned), and requests a second so far."""
    share = min(progress.elapsed_ns / progress.planned_ns, 1.0) if progress.planned_ns else 0.0
    return share, progress.requests * 1e9 / progress.elapsed_ns if progress.elapsed_ns else None


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What is sent, how, and until when: for ``duration_s`` seconds, or exactly ``count`` requests where it is given.

    ``drain_s``: how long the end of the duration waits for what is due and not over. ``abort``: the share of failed
    requests that ends the run, and the seconds before which it does not.
    """

    request: RequestSpec
    shape: Shape
    duration_s: float = 10.0
    count: int | None = None
    keep_alive: bool = True
    drain_s: float = 10.0
    abort: tuple[float, float] | None = None
    seed: int = 0


def run_plan(plan: LoadPlan, target: LoadTarget, watch: Watch) -> LoadReport:
    """Loads the target. Raises LoadError for a plan that cannot be carried out."""
    shape = plan.shape
    connections = _native.ConnectionPlan(
        shape.connections if isinstance(shape, Open) else shape.users,
        plan.keep_alive,
        CONNECT_TIMEOUT_S,
        plan.request.timeout_s,
    )
    try:
        result = _native.run_load(
            target.native(),
            [plan.request.native_for(target.host)],
            connections,
            seconds=None if plan.count is not None else plan.duration_s,
            count=plan.count,
            pacing=shape.native(),
            drain=plan.drain_s,
            abort=plan.abort,
            seed=plan.seed,
            control=watch,
        )
    except (ValueError, OSError) as error:
        raise LoadError(str(error)) from error
    due_s = min(plan.duration_s, result.side.duration_ns / 1e9) if result.ended_early else plan.duration_s
    report = report_of(result, target.url, plan.request.name, shape, target.transport, due_s)
    if plan.count is not None:
        report = replace(report, scheduled=None)
    elif report.is_open:
        # The rate holds for the time in which requests were due, also when the last answer came before its end.
        report = replace(report, duration_s=max(report.duration_s, due_s))
    return replace(report, notes=notes(report, result.service))
