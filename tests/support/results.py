"""Result files for tests of what reads them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_fastr.gate.model import (
    AbsoluteResult,
    LaneResult,
    MetricResult,
    SessionReport,
    TestReport,
    ValidityNote,
    Verdict,
)
from pytest_fastr.gate.profile import HardwareProfile, ProfileKey, Surroundings
from pytest_fastr.report.result_file import write

PROFILE = HardwareProfile(
    ProfileKey("Intel", "Xeon", "family 6", 2, "x86_64", "linux", "cpython", "3.11", ()),
    Surroundings("6.1", None, None, "3.11.7", "0.1.0", None),
)
_CPU = MetricResult("cpu", "us/request", "lower", 200.0, 200.0, 0.0, -0.01, 0.01, 0.02, Verdict.EQUIVALENT, 0.02)


def report_of(verdict: Verdict, name: str = "test_items", change: float = 0.25, **changes: Any) -> TestReport:
    """A test of this verdict."""
    moved = change if verdict is Verdict.REGRESSED else 0.0
    metric = replace(_CPU, change=moved, low=moved - 0.02, high=moved + 0.02, verdict=verdict)
    plain = TestReport(
        nodeid=f"tests/perf/test_shop.py::{name}",
        path="tests/perf/test_shop.py",
        line=7,
        verdict=verdict,
        requests=1000,
        metrics={"cpu": metric},
        rps=1200.0,
        p50_us=900.0,
        p99_us=4000.0,
        cpu_us_per_request=200.0,
        mode="paired",
        against="main (42092daa)",
    )
    return replace(plain, **changes)


FULL = report_of(
    Verdict.REGRESSED,
    validity=(ValidityNote("warn", "steal", "6 %"),),
    absolute=(AbsoluteResult("p99<50ms", "p99", None, Verdict.INCONCLUSIVE),),
    errors={"timeout": 1},
    where=("shop.py:f +3 us",),
    confirmed=True,
    load={"users": 20, "rate": 500.0},
    lane=LaneResult("GET /a", "asgi", ("a middleware",), "typed", Verdict.REGRESSED, "GET /a left its lane"),
)
"""A test of which everything is known that a result file can tell."""


def session_of(*tests: TestReport, **changes: Any) -> SessionReport:
    """A session of these tests."""
    plain = SessionReport(PROFILE, tests, "2025-01-01T00:00:00+00:00", 61.2, {}, "pytest --perf", "main (42092daa)")
    return replace(plain, **changes)


def result_file(path: Path, *tests: TestReport, **changes: Any) -> Path:
    """Writes the file as a session does."""
    write(session_of(*tests, **changes), path)
    return path


def tampered(path: Path, **changes: Any) -> Path:
    """The file with other members of the document."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return path
