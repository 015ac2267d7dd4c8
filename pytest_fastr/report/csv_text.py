"""Results as CSV (RFC 4180): a row for each test and metric, and for each limit. Values in, text out.

What is not known is an empty cell. Numbers are plain: no separators, a point, no unit.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Sequence

from pytest_fastr.gate.model import TestReport
from pytest_fastr.report.load_reader import LoadRun
from pytest_fastr.report.quantity import printable

COLUMNS = (
    "nodeid", "mode", "against", "verdict", "metric", "metric_verdict", "unit", "baseline", "candidate", "change",
    "low", "high", "limit", "log_ratio", "log_ratio_se", "requests", "errors", "rps", "p50_us", "p99_us",
    "cpu_us_per_request", "peak_rss_bytes", "notes",
)  # fmt: skip
Cell = str | int | float | None

_ABSOLUTE_UNITS = {"cpu": "us/request", "rps": "rps", "memory": "bytes"}
_KEPT = {True: "equivalent", False: "regressed", None: "inconclusive"}
# What a spreadsheet takes for the beginning of a formula, in full width too.
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def to_csv(runs: Sequence[TestReport | LoadRun]) -> str:
    """The runs as CSV with a header; lines end with CR LF."""
    return csv_of(COLUMNS, [row for run in runs for row in _rows(run)])


def csv_of(columns: Sequence[str], rows: Iterable[dict[str, Cell]]) -> str:
    """Rows of cells as CSV. Text that a spreadsheet would calculate begins with an apostrophe, and control characters
    are escaped; a column that a row does not have is empty."""
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row.get(column)) for column in columns])
    return stream.getvalue()


def _cell(value: Cell) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if not isinstance(value, str):
        return repr(value)
    text = printable(value)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text


def _rows(run: TestReport | LoadRun) -> Iterator[dict[str, Cell]]:
    return _load_rows(run) if isinstance(run, LoadRun) else _test_rows(run)


def _test_rows(test: TestReport) -> Iterator[dict[str, Cell]]:
    notes = [f"{note.level} {note.code}: {note.message}" for note in test.validity]
    if test.lane is not None and test.lane.message:
        notes.append(test.lane.message)
    common: dict[str, Cell] = {
        "nodeid": test.nodeid,
        "mode": test.mode,
        "against": test.against,
        "verdict": str(test.verdict),
        "requests": test.requests,
        "errors": sum(test.errors.values()),
        "rps": test.rps,
        "p50_us": test.p50_us,
        "p99_us": test.p99_us,
        "cpu_us_per_request": test.cpu_us_per_request,
        "peak_rss_bytes": test.peak_rss_bytes,
        "notes": "; ".join(notes),
    }
    if not test.metrics and not test.absolute:
        yield common
    for metric in test.metrics.values():
        yield {
            **common,
            "metric": metric.name,
            "metric_verdict": None if metric.verdict is None else str(metric.verdict),
            "unit": metric.unit,
            "baseline": metric.baseline,
            "candidate": metric.candidate,
            "change": metric.change,
            "low": metric.low,
            "high": metric.high,
            "limit": metric.limit,
            "log_ratio": metric.log_ratio,
            "log_ratio_se": metric.log_ratio_se,
            "notes": "; ".join([*notes, *metric.notes]),
        }
    for one in test.absolute:
        yield {
            **common,
            "metric": one.limit,
            "metric_verdict": str(one.verdict),
            "unit": _ABSOLUTE_UNITS.get(one.metric, "us"),
            "candidate": one.value,
        }


def _load_rows(run: LoadRun) -> Iterator[dict[str, Cell]]:
    common: dict[str, Cell] = {
        "nodeid": run.nodeid,
        "mode": "load",
        "verdict": str(run.verdict),
        "requests": run.requests,
        "errors": run.errors,
        "rps": run.rps,
        "p50_us": run.p50_us,
        "p99_us": run.p99_us,
        "notes": "; ".join(f"{note.level} {note.code}: {note.message}" for note in run.validity),
    }
    if not run.limits:
        yield common
    for limit in run.limits:
        yield {**common, "metric": limit.text, "metric_verdict": _KEPT[limit.kept], "candidate": limit.value}
