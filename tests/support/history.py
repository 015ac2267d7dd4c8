"""Sessions for tests of what is kept of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pytest_fastr.history.record import MetricRecord, RunRecord, SessionRecord

LOAD: dict[str, object] = {"users": 20, "request": "GET /items", "slice_users": 10}


def run_of(value: float | None = 0.2, nodeid: str = "tests/test_a.py::test_items", **changes: Any) -> RunRecord:
    """A measurement against the reference app."""
    metric = MetricRecord("cpu", "us/request", 200.0, log_ratio=value, log_ratio_se=0.01, verdict="equivalent")
    plain = RunRecord(nodeid, "stored", "equivalent", "GET /items", "the baseline", LOAD, 100, 0, (metric,))
    return replace(plain, **changes)


def session_of(day: int = 1, *runs: RunRecord, **changes: Any) -> SessionRecord:
    """A session of that day of 2026."""
    started = f"2026-{1 + day // 28:02}-{1 + day % 28:02}T09:30:00+00:00"
    plain = SessionRecord(started, 12.5, f"{day:040x}", "profile-1", "0.1.0", "pytest --perf", "equivalent", runs)
    return replace(plain, **changes)
