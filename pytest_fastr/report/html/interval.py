"""A metric's change on one line: zero, the limit, the interval and the point.

All metrics of a test share one scale, in units of their own limits and with worse to the right, so that rows can be
compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from pytest_fastr.gate.model import MetricResult
from pytest_fastr.report.html.axes import Axis
from pytest_fastr.report.html.markup import Markup, tag
from pytest_fastr.report.html.words import MINUS, change_text, interval_words, title_of
from pytest_fastr.report.quantity import share_text

_WIDTH, _HEIGHT, _MARGIN = 200, 30, 9
_FEWEST_LIMITS, _MOST_LIMITS = 1.5, 12.0


def scale(metrics: Iterable[MetricResult]) -> Axis:
    """The scale on which all of them have room, as far as that is reasonable."""
    spans = [span for metric in metrics if (span := _span(metric)) is not None]
    low, high = min((low for low, _, _ in spans), default=0.0), max((high for _, _, high in spans), default=0.0)
    return Axis(-_reach(-low), _reach(high), _MARGIN, _WIDTH - _MARGIN)


def interval_plot(metric: MetricResult, axis: Axis) -> Markup | None:
    """The plot; None where there is no change or no limit to draw it by."""
    span = _span(metric)
    if span is None:
        return None
    low, point, high = (axis.at(value) for value in span)
    middle = _HEIGHT / 2
    colour = str(metric.verdict) if metric.verdict is not None else "ungated"
    sign = "+" if metric.direction == "lower" else MINUS
    return tag(
        "svg",
        tag("rect", x=axis.at(1), y=2, width=axis.end - axis.at(1), height=_HEIGHT - 4, class_="beyond"),
        tag("line", x1=axis.at(0), x2=axis.at(0), y1=2, y2=_HEIGHT - 2, class_="axis"),
        tag("line", x1=axis.at(1), x2=axis.at(1), y1=2, y2=_HEIGHT - 2, class_="limit"),
        tag("line", x1=low, x2=max(high, low + 1), y1=middle, y2=middle, class_=f"bar {colour}"),
        _arrow(axis.start, -1, colour) if span[0] < axis.low else None,
        _arrow(axis.end, 1, colour) if span[2] > axis.high else None,
        tag("circle", cx=point, cy=middle, r=4, class_=f"dot {colour}"),
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        aria_label=(
            f"{title_of(metric.name, metric.unit)}: change {change_text(metric)}, interval {interval_words(metric)}, "
            f"limit {sign}{share_text(metric.limit)}"
        ),
        class_="interval",
    )


def _span(metric: MetricResult) -> tuple[float, float, float] | None:
    """The interval's better end, the change and the interval's worse end, in limits."""
    change, limit = metric.worsening, metric.limit
    if change is None or not limit or metric.low is None or metric.high is None:
        return None
    low, high = (metric.low, metric.high) if metric.direction == "lower" else (-metric.high, -metric.low)
    found = (low / limit, change / limit, high / limit)
    return found if all(map(math.isfinite, found)) else None


def _reach(wanted: float) -> float:
    return min(max(wanted * 1.05, _FEWEST_LIMITS), _MOST_LIMITS)


def _arrow(x: float, direction: int, colour: str) -> Markup:
    """It goes on beyond the edge."""
    middle = _HEIGHT / 2
    tip = x + direction * 7
    return tag("path", d=f"M{x:g} {middle - 5:g}L{tip:g} {middle:g}L{x:g} {middle + 5:g}Z", class_=f"tip {colour}")
