"""What a test's JUnit report tells of its measurement: properties, by name and value.

pytest writes an item's ``user_properties`` into ``--junitxml``, and other reporters read them there too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_fastr.gate.model import TestReport
from pytest_fastr.load.limits import LimitResult
from pytest_fastr.load.result import LoadReport

Property = tuple[str, str | int | float]
_Known = tuple[str, str | int | float | None]


def measured(reports: Sequence[TestReport], profile: str) -> list[Property]:
    """What was measured and judged in one test: values in microseconds, bytes and requests a second, changes as
    fractions. Names start with `perf`; those of a second request or comparison say which."""
    told: list[Property] = []
    names: set[str] = set()
    for report in reports:
        # The first measurement of a test has the test's own name, the others the request's behind it.
        request = report.nodeid.removeprefix(reports[0].nodeid).strip()
        name = f"perf{request}"
        name = name if name not in names else f"{name}[{report.mode}]"
        names.add(name)
        told += _named(name, _measured(report, profile))
    return told


def _measured(report: TestReport, profile: str) -> list[_Known]:
    known: list[_Known] = [
        ("verdict", str(report.verdict)),
        ("mode", report.mode),
        ("against", report.against),
        ("profile", profile),
        ("requests", report.requests),
        ("errors", sum(report.errors.values())),
        ("rps", report.rps),
        ("p50_us", report.p50_us),
        ("p99_us", report.p99_us),
        ("cpu_us_per_request", report.cpu_us_per_request),
        ("peak_rss_bytes", report.peak_rss_bytes),
    ]
    for metric in report.metrics.values():
        ends = {"change": metric.change, "low": metric.low, "high": metric.high, "limit": metric.limit}
        known += [(f"{metric.name}.{name}", value) for name, value in ends.items()]
        known.append((f"{metric.name}.verdict", None if metric.verdict is None else str(metric.verdict)))
    known += [(f"void.{note.code}", note.message) for note in report.validity if note.level == "void"]
    return known


def loaded(report: LoadReport, limits: tuple[LimitResult, ...]) -> list[Property]:
    """What a load without a baseline has shown."""
    known: list[_Known] = [
        ("scenario", report.scenario),
        ("requests", report.requests),
        ("errors", report.errors),
        ("limits", len(limits)),
        ("limits_broken", sum(not one.kept for one in limits)),
    ]
    return list(_named("perf_load", known))


def _named(prefix: str, known: Sequence[_Known]) -> Iterator[Property]:
    return ((f"{prefix}.{name}", value) for name, value in known if value is not None and value != "")
