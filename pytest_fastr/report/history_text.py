"""Trends for a terminal: a line of blocks a test, or one test as a plot with a table of its sessions.

Values in, text out. What every session came to is drawn; nothing is judged here.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import RenderableType
from rich.text import Text

from pytest_fastr.gate.model import Verdict
from pytest_fastr.history.trend import Point, Trend
from pytest_fastr.report.quantity import MISSING, percent_text, printable, value_text
from pytest_fastr.report.terminal import STYLES, printed

_MIN_WIDTH = 40
_ROWS = 7
_SMALLEST_SPAN = 0.04
"""A plot spans at least this share of its middle, so that noise does not look like mountains."""
# An odd number, so that what hardly moves stays within the middle one.
_BLOCKS = "▁▂▃▄▅▆▇"
_ASCII_BLOCKS = "_.-=+*#"
_MARKS = {
    Verdict.REGRESSED: ("▲", "R"),
    Verdict.IMPROVED: ("▼", "I"),
    Verdict.EQUIVALENT: ("●", "o"),
    Verdict.INCONCLUSIVE: ("○", "?"),
    Verdict.NEW: ("◇", "n"),
    Verdict.INVALID: ("✗", "x"),
}


@dataclass(frozen=True, slots=True)
class Screen:
    """What it is printed on."""

    width: int
    color: bool = False
    ascii_only: bool = False

    def text(self, text: str) -> str:
        """The text as it can be shown."""
        return printable(text, self.ascii_only)

    def mark(self, verdict: str) -> Text:
        """One column for a verdict."""
        known = _verdict(verdict)
        return Text("." if known is None else _MARKS[known][self.ascii_only], _style(verdict))

    def cut(self, text: str, width: int) -> str:
        """The end of the text, where it is too wide."""
        shown, more = self.text(text), "..." if self.ascii_only else "…"
        while cell_len(shown) > max(width, 4):
            shown = more + shown[len(more) + 1 :] if shown.startswith(more) else more + shown[len(more) :]
        return shown


def history_text(trends: Sequence[Trend], screen: Screen) -> str:
    """The trends, with a newline at the end. One: a plot and its sessions; more: two lines each."""
    width = max(screen.width, _MIN_WIDTH)
    screen = Screen(width, screen.color, screen.ascii_only)
    parts: list[RenderableType] = []
    for trend in trends:
        parts += _whole(trend, screen) if len(trends) == 1 else _brief(trend, screen)
        parts.append(Text())
    parts += _legend(trends, screen)
    return printed(parts, width, screen.color) + "\n"


def _brief(trend: Trend, screen: Screen) -> Iterator[Text]:
    """The name; a block for each session, with the first and the last value; the verdicts below."""
    yield _title(trend, screen)
    ends = _ends(trend)
    label = f"  {screen.cut(trend.metric, 12):<12}"
    room = screen.width - len(label) - cell_len(ends) - 2
    beside = room >= 10
    points = trend.points[-(room if beside else screen.width - len(label)) :]
    yield Text(f"{label}{_sparkline(points, screen)}{f'  {ends}' if beside else ''}")
    marks = Text(" " * len(label))
    for point in points:
        marks.append_text(screen.mark(point.verdict))
    when = f"  {_when(points)}"
    if len(label) + len(points) + cell_len(when) <= screen.width:
        marks.append(when, "dim")
    yield marks
    if not beside:
        yield Text(screen.cut(f"  {ends}", screen.width))


def _whole(trend: Trend, screen: Screen) -> Iterator[Text]:
    yield _title(trend, screen)
    yield Text(screen.cut(f"{trend.metric}, {_kind(trend)}", screen.width))
    yield Text(f"profile {screen.cut(trend.profile, screen.width - 8)}", "dim")
    if trend.connections is not None and trend.connections[0] != trend.connections[1]:
        fewest, most = trend.connections
        said = f"! measured with {fewest} to {most} connections: a cost depends on that"
        yield from (Text(line, "yellow") for line in textwrap.wrap(said, screen.width, subsequent_indent="  "))
    yield Text()
    yield from _plot(trend, screen)
    yield Text()
    yield from _table(trend, screen)


def _title(trend: Trend, screen: Screen) -> Text:
    about = "  ".join(one for one in (trend.request, trend.mode) if one)
    room = screen.width - cell_len(screen.text(about)) - 2
    if room < 20:
        return Text(screen.cut(trend.nodeid, screen.width), "bold")
    return Text(screen.cut(trend.nodeid, room), "bold").append(f"  {screen.text(about)}", "not bold")


def _kind(trend: Trend) -> str:
    return "as a multiple of the reference app's" if trend.is_ratio else "absolute: the machine is in it"


def _value(trend: Trend, value: float | None) -> str:
    if value is None:
        return MISSING
    return f"{value:.3f}x" if trend.is_ratio else printable(value_text(value, trend.unit[:12]), True)


def _ends(trend: Trend) -> str:
    """``1.201x -> 1.243x the reference app's (+3.5 %)``."""
    known = [point.value for point in trend.points if point.value is not None]
    if not known:
        return "never measured"
    suffix = " the reference app's" if trend.is_ratio else ", absolute"
    if len(known) == 1:
        return f"{_value(trend, known[0])}{suffix}"
    change = percent_text(known[-1] / known[0] - 1) if known[0] > 0 else MISSING
    return f"{_value(trend, known[0])} -> {_value(trend, known[-1])}{suffix} ({change})"


def _when(points: Sequence[Point]) -> str:
    days = [_printed_date(points[0])[:10], _printed_date(points[-1])[:10]]
    sessions = f"{len(points)} session{'' if len(points) == 1 else 's'}"
    return f"{days[0]}, {sessions}" if days[0] == days[1] else f"{days[0]} to {days[1]}, {sessions}"


def _printed_date(point: Point) -> str:
    return printable(point.started.replace("T", " ", 1), True)[:16]


def _range(points: Sequence[Point]) -> tuple[float, float]:
    """What is drawn between, never an empty range."""
    known = [point.value for point in points if point.value is not None] or [0.0]
    low, high = min(known), max(known)
    middle = (low + high) / 2
    least = abs(middle) * _SMALLEST_SPAN or 1.0
    return (low, high) if high - low >= least else (middle - least / 2, middle + least / 2)


def _level(value: float, bounds: tuple[float, float], levels: int) -> int:
    share = (value - bounds[0]) / (bounds[1] - bounds[0])
    return min(int(share * levels), levels - 1)


def _sparkline(points: Sequence[Point], screen: Screen) -> str:
    blocks, bounds = _ASCII_BLOCKS if screen.ascii_only else _BLOCKS, _range(points)
    return "".join(" " if one.value is None else blocks[_level(one.value, bounds, len(blocks))] for one in points)


def _plot(trend: Trend, screen: Screen) -> Iterator[Text]:
    """Verdict marks at the height of their values; what has no value stands on the axis."""
    bounds = _range(trend.points)
    step = (bounds[1] - bounds[0]) / (_ROWS - 1)
    labels = [_value(trend, bounds[1] - step * row) for row in range(_ROWS)]
    label = max(cell_len(one) for one in labels) + 1
    points = trend.points[-max(screen.width - label - 2, 1) :]
    gap = min(4, max((screen.width - label - 2) // max(len(points), 1), 1))
    bar, floor = ("|", "-") if screen.ascii_only else ("│", "─")
    for row in range(_ROWS):
        line = Text(f"{labels[row] if row % 2 == 0 else '':>{label}} {bar}")
        for point in points:
            is_here = point.value is not None and _ROWS - 1 - round((point.value - bounds[0]) / step) == row
            line.append_text(screen.mark(point.verdict) if is_here else Text(" ")).append(" " * (gap - 1))
        yield line
    axis = Text(f"{'':>{label}} {'+' if screen.ascii_only else '└'}")
    for point in points:
        axis.append_text(screen.mark(point.verdict) if point.value is None else Text(floor)).append(floor * (gap - 1))
    yield axis
    when = _when(points)
    yield Text(" " * max(0, min(label + 2, screen.width - cell_len(when))) + when, "dim")


_DROPPED = (3, 4, 1, 2)
"""The columns of the table that go where there is no room, first to last."""


def _table(trend: Trend, screen: Screen) -> Iterator[Text]:
    """A row a session, youngest last; columns that have no room are left out."""
    rows = [
        (
            _printed_date(point),
            (screen.text(point.commit or "")[:8] or MISSING),
            _value(trend, point.value),
            f"[{_value(trend, point.low)}, {_value(trend, point.high)}]" if point.low is not None else "",
            change,
        )
        for point, change in zip(trend.points, _changes(trend), strict=True)
    ]
    header = ("session (UTC)", "commit", "value", "95 % interval", "change")
    kept = [index for index in range(5) if index != 3 or any(row[3] for row in rows)]
    widths = [max(cell_len(row[index]) for row in [header, *rows]) for index in range(5)]
    for dropped in _DROPPED:
        if sum(widths[index] + 2 for index in kept) + len("inconclusive") > screen.width and dropped in kept:
            kept.remove(dropped)

    def line(cells: Sequence[str]) -> str:
        return "".join(f"{cells[index]:<{widths[index]}}  " for index in kept)

    yield Text(f"{line(header)}verdict", "bold")
    for row, point in zip(rows, trend.points, strict=True):
        yield Text(line(row)).append(str(_verdict(point.verdict) or "unknown"), _style(point.verdict))


def _changes(trend: Trend) -> Iterator[str]:
    """Of each session, since the last one before it that has a value."""
    before = None
    for point in trend.points:
        yield percent_text(point.value / before - 1) if before and point.value is not None else ""
        before = before if point.value is None else point.value


def _legend(trends: Sequence[Trend], screen: Screen) -> Iterator[Text]:
    used = {point.verdict for trend in trends for point in trend.points}
    line = Text()
    for verdict in (one for one in _MARKS if one.value in used):
        if len(line) + len(f"  {verdict}  ") > screen.width:
            yield line
            line = Text()
        line.append_text(screen.mark(verdict.value)).append(f" {verdict}  ")
    yield line


def _verdict(text: str) -> Verdict | None:
    return next((one for one in Verdict if one.value == text), None)


def _style(verdict: str) -> str:
    known = _verdict(verdict)
    return "" if known is None else STYLES[known]
