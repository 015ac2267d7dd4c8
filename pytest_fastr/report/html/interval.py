"""A metric's change on one line: zero, the limit, the interval and the point.

All metrics share one scale, in units of their own limits and with worse to the right, so that rows can be compared.
"""

from __future__ import annotations

import math

from pytest_fastr.gate.model import MetricResult
from pytest_fastr.report.html.axes import Axis
from pytest_fastr.report.html.markup import Markup, tag
from pytest_fastr.report.html.words import MINUS, change_text, interval_words, title_of
from pytest_fastr.report.quantity import share_text

_WIDTH, _HEIGHT, _MARGIN = 200, 30, 8
_LIMITS_SHOWN = 3.0


def interval_plot(metric: MetricResult) -> Markup | None:
    """The plot; None where there is no change or no limit to draw it by."""
    change, limit = metric.worsening, metric.limit
    if change is None or not limit or metric.low is None or metric.high is None:
        return None
    ends = (metric.low, metric.high) if metric.direction == "lower" else (-metric.high, -metric.low)
    if not all(map(math.isfinite, (change, *ends))):
        return None
    axis = Axis(-_LIMITS_SHOWN, _LIMITS_SHOWN, _MARGIN, _WIDTH - _MARGIN)
    low, point, high = (axis.at(value / limit) for value in (ends[0], change, ends[1]))
    middle = _HEIGHT / 2
    colour = str(metric.verdict) if metric.verdict is not None else "ungated"
    sign = "+" if metric.direction == "lower" else MINUS
    return tag(
        "svg",
        tag("rect", x=axis.at(1), y=2, width=_WIDTH - _MARGIN - axis.at(1), height=_HEIGHT - 4, class_="beyond"),
        tag("line", x1=axis.at(0), x2=axis.at(0), y1=2, y2=_HEIGHT - 2, class_="axis"),
        tag("line", x1=axis.at(1), x2=axis.at(1), y1=2, y2=_HEIGHT - 2, class_="limit"),
        tag("line", x1=low, x2=max(high, low + 1), y1=middle, y2=middle, class_=f"bar {colour}"),
        _arrow(axis.start, -1, colour) if ends[0] / limit < -_LIMITS_SHOWN else None,
        _arrow(axis.end, 1, colour) if ends[1] / limit > _LIMITS_SHOWN else None,
        tag("circle", cx=point, cy=middle, r=4, class_=f"dot {colour}"),
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        aria_label=(
            f"{title_of(metric.name)}: change {change_text(metric)}, interval {interval_words(metric)}, "
            f"limit {sign}{share_text(limit)}"
        ),
        class_="interval",
    )


def _arrow(x: float, direction: int, colour: str) -> Markup:
    """It goes on beyond the edge."""
    middle = _HEIGHT / 2
    tip, back = x + direction * 6, x
    return tag(
        "path", d=f"M{back:g} {middle - 5:g}L{tip:g} {middle:g}L{back:g} {middle + 5:g}Z", class_=f"tip {colour}"
    )
