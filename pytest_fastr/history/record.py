"""What is kept of a session: plain, frozen values, each short."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pytest_fastr.gate.model import SessionReport, TestReport, Verdict, worst
from pytest_fastr.gate.two_runs import NOT_THE_LOAD
from pytest_fastr.load.limits import LimitResult
from pytest_fastr.load.result import LoadReport


@dataclass(frozen=True, slots=True)
class MetricRecord:
    """One metric of one measurement. ``log_ratio``: to the other side, which is the reference app in mode `stored`."""

    name: str
    unit: str
    candidate: float | None
    change: float | None = None
    low: float | None = None
    high: float | None = None
    log_ratio: float | None = None
    log_ratio_se: float | None = None
    verdict: str | None = None


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One measurement of a test, or a load run (mode `load`)."""

    nodeid: str
    mode: str
    verdict: str
    request: str = ""
    against: str = ""
    load: Mapping[str, object] = field(default_factory=dict)
    requests: int = 0
    errors: int = 0
    metrics: tuple[MetricRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """One pytest session that measured."""

    started: str
    """ISO 8601, with a time zone."""
    duration_s: float
    commit: str | None
    profile: str
    """The slug of its hardware profile."""
    version: str
    """Of pytest-fastr."""
    command: str
    verdict: str
    runs: tuple[RunRecord, ...]


def record_of(report: SessionReport, loads: Iterable[RunRecord], commit: str | None) -> SessionRecord:
    """What is kept of a session. ``loads``: its load runs."""
    runs = (*(_run(test) for test in report.tests), *loads)
    return SessionRecord(
        started=report.started,
        duration_s=report.duration_s,
        commit=commit,
        profile=report.profile.slug,
        version=report.profile.recorded.engine_version,
        command=report.command,
        verdict=str(worst(test.verdict for test in report.tests)) if report.tests else "",
        runs=runs,
    )


def load_record(nodeid: str, report: LoadReport, limits: Sequence[LimitResult]) -> RunRecord:
    """What is kept of a load run. Its verdict is that of its limits: it has no baseline."""
    values = (
        ("throughput", "rps", report.rps),
        *((name, "us", report.response.quantiles_us[name]) for name in ("p50", "p90", "p99")),
        ("cpu", "us/request", report.server.cpu_us_per_request),
    )
    return RunRecord(
        nodeid=nodeid,
        mode="load",
        verdict=str(_load_verdict(report, limits)),
        request=report.scenario,
        load={"shape": report.shape},
        requests=report.requests,
        errors=report.errors,
        metrics=tuple(MetricRecord(name, unit, value) for name, unit, value in values if value is not None),
    )


def _load_verdict(report: LoadReport, limits: Sequence[LimitResult]) -> Verdict:
    if any(note.level == "void" for note in report.notes):
        return Verdict.INVALID
    if any(one.is_known and not one.kept for one in limits):
        return Verdict.REGRESSED
    return Verdict.EQUIVALENT if all(one.kept for one in limits) else Verdict.INCONCLUSIVE


def _run(test: TestReport) -> RunRecord:
    return RunRecord(
        nodeid=test.nodeid,
        mode=test.mode,
        verdict=str(test.verdict),
        request=str(test.load.get("request", "")),
        against=test.against,
        load={name: value for name, value in test.load.items() if name not in NOT_THE_LOAD},
        requests=test.requests,
        errors=sum(test.errors.values()),
        metrics=tuple(
            MetricRecord(
                name=metric.name,
                unit=metric.unit,
                candidate=metric.candidate,
                change=metric.change,
                low=metric.low,
                high=metric.high,
                log_ratio=metric.log_ratio,
                log_ratio_se=metric.log_ratio_se,
                verdict=None if metric.verdict is None else str(metric.verdict),
            )
            for metric in test.metrics.values()
        ),
    )
