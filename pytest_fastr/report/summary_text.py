"""Runs for a terminal in the manner of k6's end-of-test summary: limits first, then a line a metric."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

from rich.cells import cell_len

from pytest_fastr.report.k6 import Metric, Run, k6_metrics
from pytest_fastr.report.load_reader import LoadRun
from pytest_fastr.report.quantity import bytes_text, percent_text, printable, rate_text, share_text, time_text

_INDENT = "  "


def summary_text(run: Run, width: int = 80, ascii_only: bool = False) -> str:
    """Lines of at most ``width`` columns (40 at least), with a newline at the end."""
    width = max(width, 40)
    metrics = k6_metrics(run)
    lines = [_line(printable(run.nodeid, ascii_only), width, "")]
    lines += [_line(printable(words, ascii_only), width) for words in _head(run)]
    limits = [line for name, metric in metrics.items() for line in _limits(name, metric, ascii_only)]
    if limits:
        lines += ["", f"{_INDENT}THRESHOLDS", *(_line(line, width, _INDENT * 2) for line in limits)]
    label = min(max((len(name) for name in metrics), default=0) + 3, width - 12)
    lines += ["", f"{_INDENT}TOTAL RESULTS"]
    for name, metric in metrics.items():
        lines.append(_metric_line(f"{_INDENT * 2}{name[:label]:.<{label}}: ", _values(name, metric), width))
    notes = [f"{note.level} {note.code}: {note.message}" for note in run.validity]
    if notes:
        lines += ["", *(_line(f"! {printable(note, ascii_only)}", width) for note in notes)]
    return "\n".join(lines) + "\n"


def _head(run: Run) -> Iterator[str]:
    if isinstance(run, LoadRun):
        yield f"{run.shape or 'load'}, {time_text((run.duration_s or 0.0) * 1e6)}: {run.verdict}"
    else:
        yield f"{run.mode}{f', against {run.against}' if run.against else ''}: {run.verdict}"
        if run.lane is not None and run.lane.message:
            yield run.lane.message


def _limits(name: str, metric: Metric, ascii_only: bool) -> Iterator[str]:
    marks = {True: "ok", False: "NOT OK"} if ascii_only else {True: "✓", False: "✗"}
    for text, ok in metric.thresholds.items():
        stat = re.split("[<>]", text)[0]
        value = f", {_text(name, metric, stat)}" if stat in metric.values else ""
        yield f"{marks[ok]} {name} {printable(text, ascii_only)}{value}"


def _values(name: str, metric: Metric) -> list[str]:
    if not metric.values:
        return ["not known"]
    if metric.type == "rate":
        failed, all_of_them = metric.values["passes"], metric.values["passes"] + metric.values["fails"]
        return [_text(name, metric, "rate"), f"{failed:,.0f} out of {all_of_them:,.0f}"]
    if metric.type == "trend":
        return [f"{stat}={_text(name, metric, stat)}" for stat in metric.values]
    return [_text(name, metric, stat) for stat in metric.values]


def _text(name: str, metric: Metric, stat: str) -> str:
    """One value of a metric."""
    value = metric.values[stat]
    if metric.type == "trend":
        return time_text(value * 1000)
    if metric.type == "rate":
        return share_text(value)
    if name.endswith("_change"):
        return percent_text(value)
    if name.endswith("us_per_request"):
        return time_text(value)
    if metric.contains == "data":
        return f"{bytes_text(value)}{'/s' if stat == 'rate' else ''}"
    return f"{rate_text(value)}/s" if stat == "rate" else f"{value:,.0f}"


def _metric_line(head: str, values: list[str], width: int) -> str:
    """The values behind the name, and below each other where there is no room; none is broken."""
    lines = [head]
    for value in values:
        if cell_len(lines[-1] + value) > width and lines[-1].strip():
            lines.append(" " * min(len(head), max(width - 16, 0)))
        # Only a number without meaning is longer than a line.
        lines[-1] += f"{value[: width - cell_len(lines[-1])]}  "
    return "\n".join(line.rstrip() for line in lines)


def _line(text: str, width: int, indent: str = _INDENT) -> str:
    return textwrap.fill(text, width, initial_indent=indent, subsequent_indent=f"{indent}  ", break_on_hyphens=False)
