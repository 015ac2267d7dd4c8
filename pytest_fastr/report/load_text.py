"""A load run for a terminal: what was sent, how long it took, what went wrong. Values in, text out."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from pytest_fastr.load.limits import LimitResult
from pytest_fastr.load.outcome import describe_outcome, describe_status, failures
from pytest_fastr.load.result import LoadReport, Times
from pytest_fastr.report.quantity import MISSING, bytes_text, printable, rate_text, share_text, time_text

_SHOWN = ("p50", "p90", "p99", "p999")
_MARKS = {"void": "!!", "warn": "!", "info": "-"}


def to_text(report: LoadReport, limits: Sequence[LimitResult] = (), width: int = 80) -> str:
    """Lines of at most ``width`` columns, with a newline at the end."""
    lines = [
        f"{printable(report.request)}  {printable(report.url)}",
        f"{report.shape}, {report.duration_s:.1f} s",
        "",
        f"requests   {report.requests:,} ({rate_text(report.rps)} good answers/s), {report.errors:,} failed, "
        f"{bytes_text(report.bytes_received)} received",
        *_times_lines(report),
        *_failure_lines(report),
        *_generator_lines(report),
        *_limit_lines(limits),
    ]
    wrapped = [piece for line in lines for piece in _wrapped(line, width, "  ")]
    return "\n".join([*wrapped, *_note_lines(report, width)]) + "\n"


def _times_lines(report: LoadReport) -> Iterator[str]:
    """A table: a row for each kind of time, quantiles in columns."""
    titles = ["", *(_quantile_title(name) for name in _SHOWN), "max"]
    yield f"{titles[0]:10}" + "".join(f"{title:>11}" for title in titles[1:])
    for name, times in (("response", report.response), ("service", report.service), ("connect", report.connect)):
        if times.count:
            yield _times_row(name, times)


def _times_row(name: str, times: Times) -> str:
    values = [times.quantiles_us[quantile] for quantile in _SHOWN]
    return f"{name:10}" + "".join(f"{time_text(value):>11}" for value in (*values, times.max_us))


def _quantile_title(name: str) -> str:
    return "p99.9" if name == "p999" else name


def _failure_lines(report: LoadReport) -> Iterator[str]:
    for kind, count in sorted(failures(report.outcomes).items(), key=lambda one: -one[1]):
        if kind == "unexpected_status" and report.statuses:
            for code, seen in sorted(report.statuses.items(), key=lambda one: -one[1]):
                yield f"failed     {seen:,} x {describe_status(code)}"
        else:
            yield f"failed     {count:,} x {describe_outcome(kind)}"


def _generator_lines(report: LoadReport) -> Iterator[str]:
    generator = report.generator
    parts = [f"busy {share_text(generator.utilisation)}"]
    if generator.lateness.count:
        late = generator.lateness.quantiles_us["p99"]
        worst = generator.lateness.max_us
        parts.append(f"late by {time_text(late) if late is not None else time_text(worst)}")
    if report.is_open:
        parts.append(f"at most {report.most_queued:,} queued")
    parts.append(f"timer {generator.timer}")
    yield f"generator  {', '.join(parts)}"


def _limit_lines(limits: Sequence[LimitResult]) -> Iterator[str]:
    for one in limits:
        yield f"limit      {one.limit.text}: {'kept' if one.kept else 'broken'}, {_bound_value(one)}"


def _bound_value(one: LimitResult) -> str:
    if one.value is None:
        return "the run was too short to tell"
    if one.limit.metric == "rps":
        return f"{rate_text(one.value)} rps"
    return share_text(one.value) if one.limit.metric == "errors" else time_text(one.value)


def _note_lines(report: LoadReport, width: int) -> Iterator[str]:
    for note in report.notes:
        yield from _wrapped(f"{_MARKS[note.level]} {printable(note.message)}", width, "  ")


def _wrapped(line: str, width: int, indent: str) -> list[str]:
    if len(line) <= width:
        return [line]
    return textwrap.wrap(line, max(width, 20), subsequent_indent=indent, break_on_hyphens=False) or [MISSING]
