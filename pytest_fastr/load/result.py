"""What a stretch of load has shown: plain frozen values, for renderers and limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pytest_fastr import _native
from pytest_fastr.errors import LoadError
from pytest_fastr.load.outcome import describe_expected, failures
from pytest_fastr.load.scenario import Scenario
from pytest_fastr.load.shape import Open, Shape

QUANTILES: Mapping[str, float] = {"p50": 0.5, "p75": 0.75, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}


@dataclass(frozen=True, slots=True)
class Times:
    """Times in microseconds. A quantile is None where fewer than ten samples lie beyond it."""

    count: int
    mean_us: float | None
    max_us: float | None
    quantiles_us: Mapping[str, float | None]
    histogram: str
    """HdrHistogram's compressed V2 form in base64, in nanoseconds."""

    @classmethod
    def of(cls, histogram: _native.Histogram) -> Times:
        """The values of a native histogram."""
        return cls(
            count=histogram.count,
            mean_us=_us(histogram.mean_ns),
            max_us=_us(histogram.max_ns),
            quantiles_us={name: _us(histogram.quantile_ns(q)) for name, q in QUANTILES.items()},
            histogram=histogram.to_v2_text(),
        )


@dataclass(frozen=True, slots=True)
class Note:
    """Something that makes the numbers worthless (``void``), doubtful (``warn``), or easy to misread (``info``)."""

    level: Literal["void", "warn", "info"]
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Floor:
    """What the generator alone takes, on a server that does nothing, with as many connections."""

    p50_us: float | None
    p99_us: float | None
    rps: float
    cpu_us_per_request: float | None

    @classmethod
    def of(cls, floor: _native.Floor) -> Floor:
        """The values of a native floor."""
        return cls(
            p50_us=_us(floor.service.quantile_ns(0.5)),
            p99_us=_us(floor.service.quantile_ns(0.99)),
            rps=floor.rps,
            cpu_us_per_request=_us(floor.cpu_ns),
        )


@dataclass(frozen=True, slots=True)
class Generator:
    """How the generator fared. Shares are of wall time, 0 to 1; None where the system does not tell."""

    utilisation: float | None
    run_queue_wait: float | None
    steal: float | None
    cpu_us_per_request: float | None
    timer: str
    lateness: Times
    """How much later than due it started what it had to wait for."""
    floor: Floor | None = None


@dataclass(frozen=True, slots=True)
class RequestReport:
    """One request of a scenario."""

    name: str
    requests: int
    ok: int
    rps: float
    """Good answers a second."""
    outcomes: Mapping[str, int]
    statuses: Mapping[int, int]
    """Unexpected status codes."""
    details: Mapping[str, Mapping[str, int]]
    """By outcome: reasons, and how often."""
    service: Times
    response: Times

    @property
    def errors(self) -> int:
        """Requests that were not answered as expected."""
        return self.requests - self.ok


@dataclass(frozen=True, slots=True)
class FlowReport:
    """One flow of a scenario: how often all of it went well, ended at a failure, and was cut by the end of the run."""

    name: str
    completed: int
    failed: int
    cut: int


@dataclass(frozen=True, slots=True)
class Server:
    """What the server's processes used. None: not known."""

    cpu_us_per_request: float | None = None
    peak_rss_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class LoadReport:
    """One stretch of load."""

    url: str
    scenario: str
    shape: str
    is_open: bool
    is_ramp: bool
    """The rate, or the number of users, changed on purpose."""
    transport: str
    duration_s: float
    requests: int
    outcomes: Mapping[str, int]
    statuses: Mapping[int, int]
    """Unexpected status codes."""
    details: Mapping[str, Mapping[str, int]]
    """By outcome: reasons, and how often."""
    bytes_received: int
    service: Times
    response: Times
    connect: Times
    by_request: tuple[RequestReport, ...]
    flows: tuple[FlowReport, ...]
    scheduled: int | None
    """Requests (or flows) that were due in all; None in a closed loop and for a number of requests."""
    most_queued: int
    unsent: int
    dropped: int
    reconnects: int
    resent: int
    """Requests that were sent a second time, because the server had closed their connection without any answer."""
    never_sent: tuple[str, ...]
    """Requests of flows that the run never came to."""
    expected: str
    """The status of a good answer in words; empty where requests differ."""
    balance: tuple[int, int]
    ended_early: str | None
    precision: float | None
    """Half the width of the 95 % interval of what was to be known, as a share; None: not asked for, or not to tell."""
    generator: Generator
    server: Server
    bins: tuple[tuple[int, int], ...]
    """Good and failed answers of each 100 ms."""
    seconds: tuple[tuple[int, int, int, int], ...]
    """Of each second: good answers, and p50, p99 and maximum of their response times in nanoseconds."""
    notes: tuple[Note, ...] = ()
    users: int | None = None
    """Users of the closed loop, the most there were; None: an open loop."""

    @property
    def ok(self) -> int:
        """Good answers."""
        return self.outcomes.get("ok", 0)

    @property
    def errors(self) -> int:
        """Requests that were not answered as expected."""
        return sum(failures(self.outcomes).values())

    @property
    def rps(self) -> float:
        """Good answers a second."""
        return self.ok / self.duration_s if self.duration_s else 0.0

    def p(self, percent: float) -> float:
        """The response time in microseconds that ``percent`` of the requests kept. Raises LoadError for a percentile
        that was not kept, and where fewer than ten answers lie beyond it: such a number would be chance."""
        name = f"p{percent:g}".replace(".", "")
        if name not in QUANTILES:
            raise LoadError(f"p({percent:g}) is not kept: known are {', '.join(QUANTILES)}")
        value = self.response.quantiles_us[name]
        if value is None:
            raise LoadError(f"p({percent:g}): fewer than ten answers lie beyond it; load for longer")
        return value


def report_of(
    result: _native.LoadResult, url: str, scenario: Scenario, shape: Shape, transport: str, duration_s: float
) -> LoadReport:
    """The report of a native result. ``duration_s``: how long requests were due, and waited for."""
    side = result.side
    sent = {one.name for one in result.per_request if one.ok + one.failed}
    steps = dict.fromkeys(request.name for flow in scenario.flows for request in flow.requests)
    expected = {request.expect for request in scenario.requests}
    return LoadReport(
        url=url,
        scenario=scenario.name,
        shape=str(shape),
        is_open=isinstance(shape, Open),
        is_ramp=bool(shape.stages),
        transport=transport,
        duration_s=duration_s,
        requests=side.requests,
        outcomes=side.outcomes,
        statuses=side.statuses,
        details=side.details,
        bytes_received=side.bytes_received,
        service=Times.of(result.service),
        response=Times.of(result.response),
        connect=Times.of(result.connect),
        by_request=tuple(_request_report(one, duration_s) for one in result.per_request),
        flows=tuple(FlowReport(*flow) for flow in result.flows),
        scheduled=result.scheduled,
        most_queued=result.most_queued,
        unsent=result.unsent,
        dropped=result.dropped,
        reconnects=side.reconnects,
        resent=result.resent,
        never_sent=tuple(name for name in steps if name not in sent),
        expected=describe_expected(expected.pop()) if len(expected) == 1 else "",
        balance=result.balance,
        ended_early=result.ended_early,
        precision=result.precision,
        generator=_generator(result),
        server=Server(
            None if side.cpu_ns is None or not side.requests else side.cpu_ns / side.requests / 1000,
            side.peak_rss_bytes,
        ),
        bins=tuple(result.bins),
        seconds=tuple(result.seconds),
        users=None if isinstance(shape, Open) else shape.users,
    )


def _request_report(result: _native.RequestResult, duration_s: float) -> RequestReport:
    return RequestReport(
        name=result.name,
        requests=result.ok + result.failed,
        ok=result.ok,
        rps=result.ok / duration_s if duration_s else 0.0,
        outcomes=result.outcomes,
        statuses=result.statuses,
        details=result.details,
        service=Times.of(result.service),
        response=Times.of(result.response),
    )


def _generator(result: _native.LoadResult) -> Generator:
    generator, requests = result.generator, result.side.requests
    return Generator(
        utilisation=generator.utilisation,
        run_queue_wait=generator.run_queue_wait,
        steal=generator.steal,
        cpu_us_per_request=None if generator.cpu_ns is None or not requests else generator.cpu_ns / requests / 1000,
        timer=f"{result.timer_mode}, spinning" if generator.spun else result.timer_mode,
        lateness=Times.of(result.lateness),
    )


def _us(ns: float | None) -> float | None:
    return None if ns is None else ns / 1000
