"""A load run for a terminal: what was sent, how long it took, what went wrong. Values in, text out."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from rich.cells import cell_len, set_cell_size

from pytest_fastr.load.limits import LimitResult
from pytest_fastr.load.outcome import failure_lines
from pytest_fastr.load.result import LoadReport, Times
from pytest_fastr.load.search import RateSearch
from pytest_fastr.report.quantity import MISSING, bytes_text, printable, rate_text, share_text, time_text

# The first of these that fit are shown.
_SHOWN = ("p50", "p99", "max", "p90", "p999")
_ORDER = ("p50", "p90", "p99", "p999", "max")
_CELL = 11
_LABEL = 10
_MOST_FAILURES = 8
_MARKS = {"void": "!!", "warn": "!", "info": "-"}


def to_text(report: LoadReport, limits: Sequence[LimitResult] = (), width: int = 80) -> str:
    """Lines of at most ``width`` columns, with a newline at the end."""
    table = [*_times_lines(report, width), *_request_lines(report, width)]
    head = [
        f"{printable(report.scenario)}  {printable(report.url)}",
        f"{report.shape}, {time_text(report.duration_s * 1e6)}",
        "",
        f"requests   {report.requests:,} ({rate_text(report.rps)} good answers/s), {report.errors:,} failed, "
        f"{bytes_text(report.bytes_received)} received" + (f", {report.resent:,} sent twice" if report.resent else ""),
    ]
    tail = [*_failure_lines(report), *_server_lines(report), *_generator_lines(report), *_limit_lines(limits)]
    lines = [*_wrap_all(head, width), *table, *_wrap_all(tail, width), *_note_lines(report, width)]
    return "\n".join(lines) + "\n"


def search_text(search: RateSearch, width: int = 80) -> str:
    """The rates that were tried, and the highest that kept all limits."""
    lines = [f"{'rate':>10}{'good/s':>11}{'p50':>11}{'p99':>11}  limits"]
    for step in search.steps:
        response = step.report.response
        state = "kept" if step.kept else f"broken: {step.broken}"
        cells = (
            f"{rate_text(step.report.rps):>11}",
            *(f"{time_text(response.quantiles_us[name]):>11}" for name in ("p50", "p99")),
        )
        lines += _wrapped(f"{rate_text(step.rate):>10}{''.join(cells)}  {state}", width, " " * 12)
    return "\n".join([*lines, "", *_wrapped(_search_result(search), width, "  ")]) + "\n"


def _search_result(search: RateSearch) -> str:
    highest, ceiling = search.highest, search.lowest_broken
    if search.stopped:
        known = "" if highest is None else f" at least {rate_text(highest.rate)} a second keeps the limits"
        return f"interrupted before the highest rate was known{':' if known else ''}{known}"
    if highest is None:
        lowest = min(step.rate for step in search.steps)
        return f"no rate kept the limits, down to {rate_text(lowest)} a second"
    broken = f"; {rate_text(ceiling.rate)} broke {ceiling.broken}" if ceiling is not None else ""
    return f"highest rate that kept the limits: {rate_text(highest.rate)} a second{broken}"


def _columns(width: int) -> list[str]:
    room = max(1, (width - _LABEL) // _CELL)
    shown = _SHOWN[:room]
    return [name for name in _ORDER if name in shown]


def _times_lines(report: LoadReport, width: int) -> Iterator[str]:
    """A table: a row for each kind of time, quantiles in columns."""
    columns = _columns(width)
    yield " " * _LABEL + "".join(f"{_title(name):>{_CELL}}" for name in columns)
    for name, times in (("response", report.response), ("service", report.service), ("connect", report.connect)):
        if times.count:
            yield f"{name:{_LABEL}}" + _cells(times, columns)


def _request_lines(report: LoadReport, width: int) -> Iterator[str]:
    """A row for each request of a scenario; the name stands above it where there is no room beside."""
    # Those of the start are counted nowhere.
    shown = [one for one in report.by_request if one.requests]
    if len(report.by_request) < 2 or not shown:
        return
    columns = [name for name in _columns(width - 2 * _CELL) if name in ("p50", "p99", "max")]
    names = [printable(one.name) for one in shown]
    label = max(_LABEL, *(cell_len(name) for name in names))
    beside = label + _CELL * (2 + len(columns)) <= width
    if not beside:
        label = _LABEL
    yield ""
    yield f"{'by request':{label}}{'good/s':>{_CELL}}{'failed':>{_CELL}}" + "".join(
        f"{_title(name):>{_CELL}}" for name in columns
    )
    for name, one in zip(names, shown, strict=True):
        if not beside:
            yield from _wrapped(name, width, "  ")
            name = ""
        row = f"{rate_text(one.rps):>{_CELL}}{one.errors:>{_CELL},}" + _cells(one.response, columns)
        yield set_cell_size(name, label) + row
    for flow in report.flows:
        if flow.name not in {one.name for one in shown}:
            parts = [f"{flow.completed:,} completed"]
            parts += [f"{flow.failed:,} ended at a failure"] if flow.failed else []
            parts += [f"{flow.cut:,} cut short by the end"] if flow.cut else []
            yield from _wrapped(f"  flow {printable(flow.name)}: {', '.join(parts)}", width, "    ")


def _cells(times: Times, columns: Sequence[str]) -> str:
    values = [times.max_us if name == "max" else times.quantiles_us[name] for name in columns]
    return "".join(f"{time_text(value):>{_CELL}}" for value in values)


def _title(name: str) -> str:
    return "p99.9" if name == "p999" else name


def _failure_lines(report: LoadReport) -> Iterator[str]:
    lines = failure_lines(report.outcomes, report.statuses, report.details, report.expected)
    for count, words in lines[:_MOST_FAILURES]:
        yield f"failed     {count:,} x {printable(words)}"
    rest = sum(count for count, _ in lines[_MOST_FAILURES:])
    if rest:
        yield f"failed     {rest:,} x for other reasons"


def _server_lines(report: LoadReport) -> Iterator[str]:
    cpu, memory = report.server.cpu_us_per_request, report.server.peak_rss_bytes
    if cpu is not None or memory is not None:
        yield f"server     {time_text(cpu)} CPU a request, {bytes_text(memory)} memory at most"


def _generator_lines(report: LoadReport) -> Iterator[str]:
    generator = report.generator
    parts = [f"busy {share_text(generator.utilisation)}"]
    if generator.lateness.count:
        late = generator.lateness.quantiles_us["p99"]
        worst = generator.lateness.max_us
        parts.append(f"late by {time_text(late) if late is not None else time_text(worst)}")
    if report.is_open:
        parts.append(f"at most {report.most_queued:,} queued")
    if report.precision is not None:
        parts.append(f"known to {share_text(report.precision)}")
    parts.append(f"timer {generator.timer}")
    yield f"generator  {', '.join(parts)}"


def _limit_lines(limits: Sequence[LimitResult]) -> Iterator[str]:
    for one in limits:
        yield f"limit      {limit_words(one)}"


def limit_words(one: LimitResult) -> str:
    """``p99<50ms: broken, 71.2 ms``."""
    state = "kept" if one.kept else "broken" if one.is_known else "not kept"
    return f"{one.limit.text}: {state}, {_bound_value(one)}"


def _bound_value(one: LimitResult) -> str:
    if one.value is None:
        return "the run was too short to tell"
    if one.limit.metric == "rps":
        return f"{rate_text(one.value)} rps"
    if one.limit.metric == "errors":
        return share_text(one.value)
    return f"{'at most ' if one.at_most else ''}{time_text(one.value)}"


def _note_lines(report: LoadReport, width: int) -> Iterator[str]:
    for note in report.notes:
        yield from _wrapped(f"{_MARKS[note.level]} {printable(note.message)}", width, "  ")


def _wrap_all(lines: Sequence[str], width: int) -> Iterator[str]:
    for line in lines:
        yield from _wrapped(line, width, "  ")


def _wrapped(line: str, width: int, indent: str) -> list[str]:
    if len(line) <= width:
        return [line]
    return textwrap.wrap(line, max(width, 20), subsequent_indent=indent, break_on_hyphens=False) or [MISSING]
