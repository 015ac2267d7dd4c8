"""Two runs held against each other, for a terminal and as JSON. Values in, text out."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from rich.cells import cell_len, set_cell_size

from pytest_fastr.gate.model import Verdict
from pytest_fastr.gate.two_runs import Difference, Pairing, TwoRuns
from pytest_fastr.report.load_reader import LoadRun
from pytest_fastr.report.quantity import (
    interval_text,
    percent_text,
    printable,
    rate_text,
    share_text,
    time_text,
    value_text,
)

SCHEMA_VERSION = 1
_MOST_NAMED = 20
_BASIS = {"stored": "as ratios to the reference app"}
_SHOWN = ("cpu", "throughput", "p50", "p90", "p99", "memory", "rate_p50", "rate_p90", "rate_p99")


def compare_text(
    runs: TwoRuns, loads: Sequence[tuple[LoadRun, LoadRun]] = (), width: int = 80, ascii_only: bool = False
) -> str:
    """Lines of at most ``width`` columns (60 at least), with a newline at the end. ``loads``: load runs of both."""
    width = max(width, 60)

    def wrapped(text: str, indent: str = "", further: str = "  ") -> list[str]:
        shown = printable(text, ascii_only)
        return textwrap.wrap(
            shown, width, initial_indent=indent, subsequent_indent=indent + further, break_on_hyphens=False
        )

    lines = [line for note in runs.notes for line in wrapped(f"! {note}")]
    lines += [""] if lines else []
    for pair in runs.pairs:
        lines += wrapped(f"{pair.nodeid}{f'  {pair.request}' if pair.request else ''}")
        lines += wrapped(_how(pair), "  ")
        ordered = sorted(pair.differences, key=lambda one: _SHOWN.index(one.metric) if one.metric in _SHOWN else 99)
        for one in ordered:
            if one.low is not None:
                lines += _row(_judged_cells(one), width, ascii_only)
            elif one.a is not None or one.b is not None:
                lines += _row((*_absolute_cells(one), "" if pair.indicative else "absolute"), width, ascii_only)
        lines.append("")
    for a, b in loads:
        lines += wrapped(a.nodeid)
        lines += wrapped(f"load run: indicative only: absolute numbers of two runs{_shapes(a, b)}", "  ")
        for cells in _load_cells(a, b):
            lines += _row(cells, width, ascii_only)
        lines.append("")
    for title, names in (("only in B", runs.added), ("only in A", runs.removed)):
        for name in names[:_MOST_NAMED]:
            lines += wrapped(f"{title}: {name}")
        if len(names) > _MOST_NAMED:
            lines.append(f"{title}: {len(names) - _MOST_NAMED:,} more")
    lines += [line for said in _summary(runs) for line in wrapped(said)]
    return "\n".join(lines) + "\n"


def compare_json(runs: TwoRuns, loads: Sequence[tuple[LoadRun, LoadRun]] = ()) -> str:
    """The same as sorted, indented JSON in ASCII, with a newline at the end."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "tests": [
            {**asdict(pair), "indicative": pair.indicative or None, "compared": pair.is_compared}
            for pair in runs.pairs
        ],
        "loads": [
            {"nodeid": a.nodeid, "indicative": "absolute numbers of two runs",
             **{name: [getattr(a, name), getattr(b, name)] for name in ("rps", "p50_us", "p99_us")}}
            for a, b in loads
        ],
        "only_in_a": runs.removed,
        "only_in_b": runs.added,
        "notes": runs.notes,
        "worse": [pair.nodeid for pair in runs.worse],
    }  # fmt: skip
    return json.dumps(document, indent=2, sort_keys=True, allow_nan=False) + "\n"


def why_nothing_was_compared(runs: TwoRuns) -> str:
    """In words, where no metric of any test was judged; empty otherwise."""
    if any(pair.is_compared for pair in runs.pairs):
        return ""
    if not runs.pairs:
        return "the two files have no test in common"
    reasons = list(dict.fromkeys(pair.indicative or "no gated metric is in both" for pair in runs.pairs))
    more = f" (and {len(reasons) - 1} more reasons)" if len(reasons) > 1 else ""
    return f"nothing could be judged: {printable(reasons[0])}{more}"


def _how(pair: Pairing) -> str:
    if pair.indicative:
        return f"{pair.mode}, indicative only: {pair.indicative}"
    return f"{pair.mode}, {_BASIS.get(pair.mode, f'as ratios to {pair.against}')}"


def _judged_cells(one: Difference) -> tuple[str, ...]:
    limit = f"limit {share_text(one.limit)}" if one.verdict is not None else ""
    change = f"{percent_text(one.change)} {interval_text(one.low, one.high)}"
    return one.metric, f"{change:<25}", f"{limit:<11}", "not gated" if one.verdict is None else str(one.verdict)


def _absolute_cells(one: Difference) -> tuple[str, ...]:
    return one.metric, f"{value_text(one.a, one.unit)} -> {value_text(one.b, one.unit)}", percent_text(one.change)


def _load_cells(a: LoadRun, b: LoadRun) -> Iterator[tuple[str, ...]]:
    for name, before, after, text in (
        ("rps", a.rps, b.rps, rate_text),
        ("p50", a.p50_us, b.p50_us, time_text),
        ("p99", a.p99_us, b.p99_us, time_text),
    ):
        change = after / before - 1 if before is not None and after is not None and before > 0 else None
        yield name, f"{text(before)} -> {text(after)}", percent_text(change)


def _shapes(a: LoadRun, b: LoadRun) -> str:
    return "" if a.shape == b.shape else f"; the loads differ: {a.shape or 'not known'} -> {b.shape or 'not known'}"


def _row(cells: tuple[str, ...], width: int, ascii_only: bool) -> list[str]:
    """Name and values on one line; what has no room stands below."""
    name, *values = cells
    lines = [f"    {printable(name, ascii_only):<12}"]
    for value in values:
        if cell_len(f"{lines[-1]}{value.rstrip()}") > width:
            lines.append(" " * 16)
        # Only a number without meaning is longer than a line.
        lines[-1] += f"{value if cell_len(value) <= width - 18 else set_cell_size(value, width - 18)}  "
    return [line.rstrip() for line in lines if line.strip()]


def _summary(runs: TwoRuns) -> Iterator[str]:
    compared = sum(pair.is_compared for pair in runs.pairs)
    yield f"{compared} of {len(runs.pairs)} tests in both could be compared; {len(runs.worse)} worse than the limit"
    for pair in runs.worse[:_MOST_NAMED]:
        red = ", ".join(one.metric for one in pair.differences if one.verdict is Verdict.REGRESSED)
        yield f"worse: {pair.nodeid} ({red})"
    sizes: dict[str, float] = {}
    for one in (one for pair in runs.pairs for one in pair.differences if one.verdict is not None):
        sizes[one.metric] = max(sizes.get(one.metric, 0.0), one.smallest_detectable or 0.0)
    if sizes:
        said = ", ".join(f"{name} {share_text(size)}" for name, size in sizes.items())
        yield f"smallest change that two single runs could show: {said}; --perf-against sees far smaller ones"
