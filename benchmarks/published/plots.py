"""Plots as SVG files: legible on light and dark pages, without a script."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_fastr.report.html.axes import Axis, axis_for
from pytest_fastr.report.html.markup import Child, Markup, join, tag

WIDTH, LEFT, RIGHT, TOP, ROW, BOTTOM = 940, 420, 96, 54, 27, 34
MOST_TICKS = 12
STYLE = """
text{font:13px system-ui,-apple-system,"Segoe UI",sans-serif;fill:#1f2328}
.title{font-weight:600;font-size:15px}.muted{fill:#59636e}.mine{font-weight:600}
.card{fill:#fff;stroke:#d1d9e0}.grid{stroke:#e4e8ec}.range{stroke:#1f2328;stroke-width:1.5}
.ours,.first{fill:#0969da}.peer{fill:#8c959f}.second{fill:#bc4c00}.third{fill:#8250df}.span{stroke:#8c959f;stroke-width:2}
@media (prefers-color-scheme:dark){
text{fill:#e6edf3}.muted{fill:#9198a1}.card{fill:#0d1117;stroke:#3d444d}.grid{stroke:#2a313c}.range{stroke:#e6edf3}
.ours,.first{fill:#4493f8}.peer{fill:#6e7681}.second{fill:#f0883e}.third{fill:#ab7df8}.span{stroke:#6e7681}
}
"""
CLASSES = ("first", "second", "third")


@dataclass(frozen=True, slots=True)
class Line:
    """A row of a plot. No values: it was not measured. ``spread``: the range of the first value."""

    label: str
    values: Sequence[float]
    is_ours: bool
    spread: tuple[float, float] | None = None
    text: str = ""
    """What is written at its end."""


def bars(title: str, lines: Sequence[Line], unit: str) -> str:
    """A bar for each line, from zero, with its range."""
    axis = _from_zero([max([*line.values, *(line.spread or ())]) for line in lines if line.values])
    drawn = []
    for index, line in enumerate(lines):
        y = TOP + ROW * index
        if line.values:
            end = axis.at(line.values[0])
            drawn += [_bar(axis.start, end, y, "ours" if line.is_ours else "peer")]
            if line.spread is not None:
                low, high = (axis.at(value) for value in line.spread)
                middle = y + ROW / 2
                drawn += [tag("line", x1=low, x2=high, y1=middle, y2=middle, class_="range")]
                drawn += [tag("line", x1=x, x2=x, y1=middle - 4, y2=middle + 4, class_="range") for x in (low, high)]
                end = max(end, high)
            drawn += [_words(line.text, end + 7, y)]
    return _svg(title, lines, axis, unit, drawn, ())


def stacked(title: str, lines: Sequence[Line], names: Sequence[str], unit: str) -> str:
    """A bar for each line, whose values stand behind one another."""
    axis = _from_zero([sum(line.values) for line in lines])
    drawn = []
    for index, line in enumerate(lines):
        y, sum_ = TOP + ROW * index, 0.0
        for value, class_ in zip(line.values, CLASSES, strict=False):
            drawn += [_bar(axis.at(sum_), axis.at(sum_ + value), y, class_)]
            sum_ += value
        if line.values:
            drawn += [_words(line.text, axis.at(sum_) + 7, y)]
    return _svg(title, lines, axis, unit, drawn, names)


def spans(title: str, lines: Sequence[Line], names: Sequence[str], unit: str) -> str:
    """The values of each line as marks on an axis, which is logarithmic where they differ by much."""
    axis = axis_for((value for line in lines for value in line.values), float(LEFT), float(WIDTH - RIGHT))
    drawn = []
    for index, line in enumerate(lines):
        y = TOP + ROW * index + ROW / 2
        places = [axis.at(value) for value in line.values]
        if places:
            drawn += [tag("line", x1=min(places), x2=max(places), y1=y, y2=y, class_="span")]
            drawn += [_mark(x, y, class_) for x, class_ in zip(places, CLASSES, strict=False)]
            drawn += [_words(line.text, max(places) + 10, y - ROW / 2)]
    return _svg(title, lines, axis, unit, drawn, names, mark=_mark)


def _svg(
    title: str, lines: Sequence[Line], axis: Axis, unit: str, drawn: Sequence[Child], names: Sequence[str],
    mark: object = None,
) -> str:  # fmt: skip
    low = TOP + ROW * len(lines)
    height = low + BOTTOM
    grid = [
        (
            tag("line", x1=axis.at(tick), x2=axis.at(tick), y1=TOP, y2=low, class_="grid"),
            tag("text", f"{tick:,.10g}", x=axis.at(tick), y=low + 18, text_anchor="middle", class_="muted"),
        )
        for tick in _ticks(axis)
    ]
    labels = [
        tag(
            "text", line.label, x=LEFT - 12, y=TOP + ROW * index + ROW / 2 + 4, text_anchor="end",
            class_="mine" if line.is_ours else None if line.values else "muted",
        )
        for index, line in enumerate(lines)
    ]  # fmt: skip
    unmeasured = [
        _words("not measured", LEFT + 7, TOP + ROW * index) for index, line in enumerate(lines) if not line.values
    ]
    image = tag(
        "svg",
        tag("title", title),
        tag("style", Markup(STYLE)),
        tag("rect", x=0.5, y=0.5, width=WIDTH - 1, height=height - 1, rx=6, class_="card"),
        tag("text", title, x=16, y=26, class_="title"),
        tag("text", unit, x=WIDTH - 14, y=low + 18, text_anchor="end", class_="muted"),
        join(grid), join(labels), join(drawn), join(unmeasured), _legend(names, mark is not None),
        xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH} {height}", role="img", width=WIDTH,
    )  # fmt: skip
    return f"{image}\n"


def _legend(names: Sequence[str], round_: bool) -> Markup:
    parts, x = [], float(LEFT)
    for name, class_ in zip(names, CLASSES, strict=False):
        parts.append(_mark(x + 5, 42, class_) if round_ else tag("rect", x=x, y=37, width=10, height=10, class_=class_))
        parts.append(tag("text", name, x=x + 16, y=46, class_="muted"))
        x += 34 + 7.2 * len(name)
    return join(parts)


def _ticks(axis: Axis) -> list[float]:
    """Round values: of a logarithmic axis 1, 2 and 5 times powers of ten, or the powers where those are too many."""
    if not axis.is_log:
        return axis.ticks()
    powers = range(math.floor(math.log10(axis.low)), math.ceil(math.log10(axis.high)) + 1)
    fine = [round(step * 10.0**power, 9) for power in powers for step in (1, 2, 5)]
    shown = [tick for tick in fine if axis.low <= tick <= axis.high]
    return shown if len(shown) <= MOST_TICKS else [tick for tick in shown if math.log10(tick) % 1 == 0]


def _from_zero(values: Sequence[float]) -> Axis:
    return Axis(0.0, max(values, default=1.0) * 1.02 or 1.0, float(LEFT), float(WIDTH - RIGHT))


def _bar(left: float, right: float, y: float, class_: str) -> Markup:
    return tag("rect", x=left, y=y + 5, width=max(right - left, 1.0), height=ROW - 10, class_=class_)


def _mark(x: float, y: float, class_: str) -> Markup:
    return tag("circle", cx=x, cy=y, r=5, class_=class_)


def _words(text: str, x: float, y: float) -> Markup:
    return tag("text", text, x=x, y=y + ROW / 2 + 4, class_="muted")
