"""The stored sessions of a test, and where this one stands among them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pytest_fastr.gate.evidence import History, Ratio
from pytest_fastr.gate.model import MetricResult, TestReport
from pytest_fastr.report.html.axes import Axis
from pytest_fastr.report.html.drawing import Frame, across, band, diamond, figure, label, mark, svg, table
from pytest_fastr.report.html.markup import Markup, tag
from pytest_fastr.report.html.words import DASH, fine, interval_words, tick_text, title_of
from pytest_fastr.report.quantity import percent_text

_ERRORS_SHOWN = 1.96


def history_plot(test: TestReport, history: History, metric: str, unchanged: float, key: str) -> Markup | None:
    """The sessions' levels relative to what they come to together. None: the metric is not stored."""
    known = [(one, one.ratios[metric]) for one in history.sessions if metric in one.ratios]
    now, result = history.now.get(metric), test.metrics.get(metric)
    if not known or now is None:
        return None
    frame = Frame()
    points = [_level(ratio, unchanged) for _, ratio in known]
    current = _level(now, unchanged)
    x = Axis(0.0, len(points) + 1.0, *frame.across)
    y = _axis([*points, current], result, frame)
    title = f"History of the baseline: {title_of(metric, result.unit if result else '')}"
    description = (
        f"{_count(len(points), 'stored session')}, from {fine(percent_text(min(value for value, *_ in points)))} to "
        f"{fine(percent_text(max(value for value, *_ in points)))} of their common level; "
        f"this session {fine(percent_text(current[0]))}."
    )
    image = svg(
        frame,
        key,
        title,
        description,
        _band(result, y, frame),
        frame.y_grid(y, tick_text),
        across(frame, y.at(0.0), "zero"),
        [_whisker(x.at(number + 0.5), point, y, "a") for number, point in enumerate(points)],
        [mark(x.at(number + 0.5), y.at(point[0]), "stored a", 3.6) for number, point in enumerate(points)],
        _whisker(x.at(len(points) + 0.5), current, y, "b"),
        diamond(x.at(len(points) + 0.5), y.at(current[0]), "epoch b", 6.5),
        label("this run", x.at(len(points) + 0.5), frame.upwards[0] + 18, "middle b"),
        frame.x_ticks(_dates([one.recorded for one, _ in known], x)),
        frame.base("sessions, oldest first"),
    )
    rows = [
        [one.recorded, (one.commit or DASH)[:12], fine(percent_text(point[0]))]
        for (one, _), point in zip(known, points, strict=True)
    ]
    numbers = table(title, ["recorded", "commit", "level"], [*rows, ["this run", DASH, fine(percent_text(current[0]))]])
    return figure(title, image, _caption(len(points), result), numbers)


def eras_words(history: History) -> list[Markup]:
    """A line for each time another level was accepted."""
    return [tag("li", f"Since {since} another level counts: {reason}") for since, reason in history.eras]


_Level = tuple[float, float, float]


def _level(ratio: Ratio, unchanged: float) -> _Level:
    """The value and both ends of its own 95 % interval, as changes."""
    centre = ratio.log_ratio - unchanged
    reach = _ERRORS_SHOWN * ratio.se if math.isfinite(ratio.se) else 0.0
    return math.expm1(centre), math.expm1(centre - reach), math.expm1(centre + reach)


def _axis(levels: Sequence[_Level], result: MetricResult | None, frame: Frame) -> Axis:
    values = [0.0, *(value for level in levels for value in level)]
    if result is not None and result.limit is not None:
        values += [result.limit, -result.limit]
    margin = (max(values) - min(values)) * 0.06 or 0.01
    return Axis(min(values) - margin, max(values) + margin, *frame.upwards)


def _band(result: MetricResult | None, y: Axis, frame: Frame) -> Markup | None:
    """The band of changes that count as none."""
    if result is None or result.limit is None:
        return None
    return band(*frame.across, y.at(result.limit), y.at(-result.limit), "band")


def _whisker(x: float, level: _Level, y: Axis, side: str) -> Markup:
    return tag("line", x1=x, x2=x, y1=y.at(level[1]), y2=y.at(level[2]), class_=f"whisker {side}")


def _dates(recorded: Sequence[str], x: Axis) -> list[tuple[float, str]]:
    """The first and the last day, as far as they have room."""
    days = [text[:10] for text in recorded]
    first = (x.at(0.5), days[0])
    if len(days) < 4 or days[0] == days[-1]:
        return [(max(first[0], x.start + 30), days[0])]
    return [(max(first[0], x.start + 30), days[0]), (x.at(len(days) - 0.5) - 30, days[-1])]


def _caption(sessions: int, result: MetricResult | None) -> str:
    text = (
        f"{_count(sessions, 'stored session')} on this hardware, as ratios to the reference app; zero is the baseline. "
        "Whiskers: each session's own 95\u00a0% interval."
    )
    if result is not None and result.limit is not None:
        text += f" Shaded: within the limit. This run: {interval_words(result)} against the baseline."
    return text


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
