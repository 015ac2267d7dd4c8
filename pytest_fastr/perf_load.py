"""What the fixture ``perf_load`` gives: a scenario played on the application under test, held against limits."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from pytest_fastr.errors import FastrError, LoadError, MeasurementError
from pytest_fastr.gate.attached import AnyServer
from pytest_fastr.gate.epochs import AppSource
from pytest_fastr.gate.measure import death
from pytest_fastr.gate.progress import Show, Watch
from pytest_fastr.keys import parse_count, parse_duration
from pytest_fastr.load import RequestSpec, Scenario, describe_failures, scenario
from pytest_fastr.load.limits import Limit, errors_are_limited, hold, parse_limit_text
from pytest_fastr.load.result import LoadReport
from pytest_fastr.load.run import LoadPlan, run_plan
from pytest_fastr.load.shape import Closed, Open, Shape, check_rate, closed_loop, parse_pause, parse_stages
from pytest_fastr.load.url import LoadTarget
from pytest_fastr.report.load_text import limit_words
from pytest_fastr.state import LoadOutcome, PluginState

WARM_UP_S = 1.0


@dataclass(frozen=True, slots=True)
class PerfLoadResult:
    """What a load has shown. Without ``--perf`` nothing was measured: then reading a number skips the rest of the
    test."""

    _report: LoadReport | None

    @property
    def report(self) -> LoadReport:
        """Everything."""
        if self._report is None:
            pytest.skip("needs --perf")
        return self._report

    @property
    def rps(self) -> float:
        """Good answers a second."""
        return self.report.rps

    @property
    def requests(self) -> int:
        """Requests that are over, whatever became of them."""
        return self.report.requests

    @property
    def errors(self) -> int:
        """Requests that were not answered as expected."""
        return self.report.errors

    @property
    def cpu_us_per_request(self) -> float | None:
        """CPU time of the server's process tree per request, in microseconds. None where the system does not tell."""
        return self.report.server.cpu_us_per_request

    def p(self, percent: float) -> float:
        """The response time in microseconds that ``percent`` (50, 75, 90, 95, 99 or 99.9) of the requests kept. Raises
        LoadError where fewer than ten answers lie beyond it."""
        return self.report.p(percent)


class PerfLoad:
    """Plays scenarios on the application under test. Nothing is compared with a baseline: limits are absolute."""

    def __init__(self, item: pytest.Item, source: AppSource, users: int, duration_s: float, state: PluginState) -> None:
        self._item = item
        self._source = source
        self._users = users
        self._duration_s = duration_s
        self._state = state

    def __call__(
        self,
        what: Scenario | RequestSpec,
        *,
        users: int | None = None,
        think: str | float | None = None,
        rate: float | None = None,
        poisson: bool = False,
        stages: str | None = None,
        duration: str | float | None = None,
        limits: Sequence[str] = (),
    ) -> PerfLoadResult:
        """Loads the application.

        Args:
            what: ``load.scenario(...)``, or a single request.
            users: users of a closed loop, or connections of a rate; default: the marker's or the configuration's.
            think: a user's pause between an answer and the next request, ``"1s"`` or ``"1s-3s"``.
            rate: an open loop: so many flows begin each second, whatever the application does.
            poisson: at a rate, arrivals as of many independent users.
            stages: ramps, ``"10s:100,1m:500"``: of the rate where there is one, else of the users.
            duration: default: as long as the stages, else the marker's or the configuration's.
            limits: ``"p99<50ms"``, ``"rps>200"``, ``"errors<1%"``; without a limit on errors none are allowed.

        A second of the same load goes before, which nothing counts. Without ``--perf`` every flow is played once by one
        user, and its answers checked.

        Raises:
            MeasurementError: a limit was broken, a request failed, or nothing was measured.
            LoadError, ConfigError: an argument is none.
            MountError: the server could not be started.
        """
        __tracebackhide__ = True
        played = scenario(what) if isinstance(what, RequestSpec) else what
        if not isinstance(played, Scenario):
            raise LoadError(f"perf_load takes load.scenario(...) or a request, not {type(what).__name__}")
        held_to = tuple(parse_limit_text(text) for text in limits)
        plan = self._plan(played, users, think, (rate, poisson, stages), duration)
        server = self._state.pool.candidate(self._source)
        log_start = server.log_bytes()
        try:
            return PerfLoadResult(self._played(plan, held_to, server))
        except FastrError:
            log = server.log_tail(log_start)
            if log:
                self._item.add_report_section("call", "server log", log)
            raise

    def _played(self, plan: LoadPlan, held_to: tuple[Limit, ...], server: AnyServer) -> LoadReport | None:
        target = _target(server)
        if not self._state.options.perf:
            for flow in plan.scenario.alone():
                once = run_plan(LoadPlan(flow, Closed(1), count=len(flow.flows[0].requests)), target)
                _refuse(once, server, "failed")
            return None
        with self._state.live.test(self._item.nodeid) as show:
            report = _load(plan, target, show)
        outcome = LoadOutcome(self._item.nodeid, report, hold(report, held_to))
        self._state.loads.append(outcome)
        _judge(outcome, server)
        return report

    def _plan(
        self,
        played: Scenario,
        users: int | None,
        think: str | float | None,
        arrivals: tuple[float | None, bool, str | None],
        duration: str | float | None,
    ) -> LoadPlan:
        rate, poisson, stages = arrivals
        ramp = () if stages is None else parse_stages(stages)
        connections = self._users if users is None else parse_count(users, "perf_load: users")
        shape: Shape
        if rate is not None:
            if think is not None:
                raise LoadError("perf_load: think= belongs to users who wait for answers; leave rate= out, or think=")
            shape = Open(check_rate(rate, ramp, "perf_load: rate"), connections, poisson, ramp)
        elif poisson:
            raise LoadError("perf_load: poisson= belongs to a rate: give rate= too")
        else:
            pause = None if think is None else parse_pause(think, "perf_load: think")
            shape = closed_loop(connections, pause, ramp)
        lasting = sum(stage.duration_s for stage in ramp) or self._duration_s
        if duration is not None:
            lasting = parse_duration(duration, "perf_load: duration")
        return LoadPlan(played, shape, lasting, warm_up_s=WARM_UP_S, seed=secrets.randbits(32))


def _target(server: AnyServer) -> LoadTarget:
    assert server.ready is not None  # a candidate is ready
    ready = server.ready
    return LoadTarget(server.url, server.address.netloc, "/", ready.host, ready.port, pids=server.pids)


def _load(plan: LoadPlan, target: LoadTarget, show: Show) -> LoadReport:
    return run_plan(plan, target, Watch(show, "load"))


def _judge(outcome: LoadOutcome, server: AnyServer) -> None:
    report = outcome.report
    for note in report.notes:
        if note.level == "void" and report.ok:
            raise MeasurementError(f"{report.scenario}: {note.message}")
    if not errors_are_limited(outcome.limits) or not report.ok:
        _refuse(report, server, "failed under load")
    broken = [limit_words(one) for one in outcome.limits if not one.kept]
    if broken:
        raise MeasurementError(f"{report.scenario}: " + "; ".join(broken))


def _refuse(report: LoadReport, server: AnyServer, what: str) -> None:
    if not report.requests:
        raise MeasurementError(f"{report.scenario}: nothing was measured{death(server)}")
    if report.errors:
        told = describe_failures(report.outcomes, report.statuses, report.expected, report.details)
        raise MeasurementError(f"{report.scenario} {what}: {told}{death(server)}")
