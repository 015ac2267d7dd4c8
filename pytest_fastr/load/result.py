"""What a stretch of load has shown: plain frozen values, for renderers and limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pytest_fastr import _native
from pytest_fastr.load.outcome import failures
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
class Generator:
    """How the generator fared. Shares are of wall time, 0 to 1; None where the system does not tell."""

    utilisation: float | None
    run_queue_wait: float | None
    steal: float | None
    timer: str
    lateness: Times
    """How much later than due it started what it had to wait for."""


@dataclass(frozen=True, slots=True)
class LoadReport:
    """One stretch of load."""

    url: str
    request: str
    shape: str
    is_open: bool
    transport: str
    duration_s: float
    requests: int
    outcomes: Mapping[str, int]
    statuses: Mapping[int, int]
    """Unexpected status codes."""
    bytes_received: int
    service: Times
    response: Times
    connect: Times
    scheduled: float | None
    """Requests that were due in all; None in a closed loop."""
    most_queued: int
    unsent: int
    dropped: int
    reconnects: int
    balance: tuple[int, int]
    ended_early: str | None
    generator: Generator
    bins: tuple[tuple[int, int], ...]
    """Good and failed answers of each 100 ms."""
    seconds: tuple[tuple[int, int, int, int], ...]
    """Of each second: good answers, and p50, p99 and maximum of their response times in nanoseconds."""
    notes: tuple[Note, ...] = ()

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


def report_of(
    result: _native.LoadResult, url: str, request: str, shape: Shape, transport: str, due_s: float
) -> LoadReport:
    """The report of a native result. ``due_s``: how long requests were due."""
    side = result.side
    is_open = isinstance(shape, Open)
    return LoadReport(
        url=url,
        request=request,
        shape=str(shape),
        is_open=is_open,
        transport=transport,
        duration_s=side.duration_ns / 1e9,
        requests=side.requests,
        outcomes=side.outcomes,
        statuses=side.statuses,
        bytes_received=side.bytes_received,
        service=Times.of(result.service),
        response=Times.of(result.response),
        connect=Times.of(result.connect),
        scheduled=shape.scheduled(due_s) if isinstance(shape, Open) else None,
        most_queued=result.most_queued,
        unsent=result.unsent,
        dropped=result.dropped,
        reconnects=side.reconnects,
        balance=result.balance,
        ended_early=result.ended_early,
        generator=Generator(
            utilisation=result.generator.utilisation,
            run_queue_wait=result.generator.run_queue_wait,
            steal=result.generator.steal,
            timer=result.timer_mode,
            lateness=Times.of(result.lateness),
        ),
        bins=tuple(result.bins),
        seconds=tuple(result.seconds),
    )


def _us(ns: float | None) -> float | None:
    return None if ns is None else ns / 1000
