"""The history for other programs: sessions as CSV, trends as JSON. Values in, text out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from pytest_fastr.history.record import SessionRecord
from pytest_fastr.history.trend import Trend
from pytest_fastr.report.csv_text import Cell, csv_of

SCHEMA_VERSION = 1
COLUMNS = (
    "started", "commit", "profile", "version", "nodeid", "mode", "request", "against", "verdict", "metric",
    "metric_verdict", "unit", "candidate", "change", "low", "high", "log_ratio", "log_ratio_se", "requests", "errors",
)  # fmt: skip


def history_csv(sessions: Sequence[SessionRecord], metric: str | None = None) -> str:
    """A row for each session, run and metric. ``metric``: only rows of this one."""
    return csv_of(COLUMNS, _rows(sessions, metric))


def history_json(trends: Sequence[Trend]) -> str:
    """The trends as sorted, indented JSON in ASCII, with a newline at the end."""
    document = {"schema_version": SCHEMA_VERSION, "trends": [asdict(trend) for trend in trends]}
    return json.dumps(document, indent=2, sort_keys=True, allow_nan=False) + "\n"


def _rows(sessions: Sequence[SessionRecord], wanted: str | None) -> Iterator[dict[str, Cell]]:
    for session in sessions:
        for run in session.runs:
            common: dict[str, Cell] = {
                "started": session.started,
                "commit": session.commit,
                "profile": session.profile,
                "version": session.version,
                "nodeid": run.nodeid,
                "mode": run.mode,
                "request": run.request,
                "against": run.against,
                "verdict": run.verdict,
                "requests": run.requests,
                "errors": run.errors,
            }
            metrics = [one for one in run.metrics if wanted in (None, one.name)]
            if not metrics:
                yield common
            for one in metrics:
                numbers = {name: getattr(one, name) for name in ("unit", *COLUMNS[12:18])}
                yield {**common, **numbers, "metric": one.name, "metric_verdict": one.verdict}
