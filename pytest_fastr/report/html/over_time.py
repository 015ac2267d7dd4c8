"""What happened in the order in which it was measured: the change of a cost, and both sides' rates and costs.

Epochs stand side by side, each as wide as its measured time. Between them processes were started and warmed up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pytest_fastr.gate.evidence import Chunk, Evidence, Work
from pytest_fastr.gate.model import MetricResult, TestReport
from pytest_fastr.report.html.axes import Axis, axis_for
from pytest_fastr.report.html.drawing import Frame, across, band, curve, diamond, figure, label, mark, svg, table
from pytest_fastr.report.html.markup import Markup, tag
from pytest_fastr.report.html.words import DASH, change_text, fine, interval_words, shortened, sides, tick_text
from pytest_fastr.report.quantity import percent_text, rate_text, share_text, time_text

COSTS = {"cpu": "CPU per request", "throughput": "throughput"}
_VALUES: dict[str, Callable[[Work], float | None]] = {
    "cpu": lambda work: work.cpu_us,
    "throughput": lambda work: work.rps,
}
_TITLES = {"cpu": "CPU time per request over time", "throughput": "Requests a second over time"}
_NEAR = 3.0
"""Dots further than so many times the spread of the middle ones are drawn at the edge of the plot."""


@dataclass(frozen=True, slots=True)
class _Placed:
    """A chunk, its epoch, and the second in which its middle was measured."""

    epoch: int
    at_s: float
    chunk: Chunk


def change_plot(test: TestReport, evidence: Evidence, cost: str, key: str) -> Markup | None:
    """The change of a cost, a dot for some blocks and a diamond for each epoch. None: the cost was not measured."""
    placed, bounds = _timeline(evidence)
    metric = test.metrics.get(cost)
    compared = cost in evidence.unchanged and metric is not None and metric.change is not None
    ratios = [(one.epoch, one.at_s, ratio) for one in placed if (ratio := _log_ratio(one.chunk, cost)) is not None]
    if not ratios:
        return None
    # Without a baseline the run is drawn against its own middle, which shows how steady it was.
    unchanged = evidence.unchanged[cost] if compared else _middle([ratio for _, _, ratio in ratios])
    dots = [(at_s, math.expm1(ratio - unchanged)) for _, at_s, ratio in ratios]
    epochs = [
        (number, math.expm1(known.log_ratio - unchanged))
        for number, one in enumerate(evidence.epochs)
        if (known := one.ratios.get(cost)) is not None
    ]
    frame = Frame()
    title = f"Change of {COSTS[cost]}, block by block"
    x = Axis(0.0, bounds[-1], *frame.across)
    y = _change_axis(dots, epochs, metric if compared else None, frame)
    image = svg(
        frame,
        key,
        title,
        _change_description(metric if compared else None, epochs),
        _interval_band(metric, y, frame) if compared and metric is not None else None,
        frame.y_grid(y, tick_text),
        across(frame, y.at(0.0), "zero"),
        _limit_line(metric, y, frame) if compared and metric is not None else None,
        _epoch_lines(bounds, x, frame),
        [mark(x.at(at_s), y.at(value), "dot b") for at_s, value in dots],
        [diamond(x.at((bounds[one] + bounds[one + 1]) / 2), y.at(value), "epoch b") for one, value in epochs],
        frame.x_ticks((x.at(tick), f"{tick:g}") for tick in x.ticks(6)),
        frame.base("seconds of measured load, both sides"),
    )
    numbers = table(
        f"{title}: epochs",
        ["epoch", "change", "blocks"],
        [[str(one + 1), fine(percent_text(v)), str(sum(c.blocks for c in evidence.epochs[one].chunks))]
         for one, v in epochs],
        "numbers",
    )  # fmt: skip
    return figure(title, image, _change_caption(test, metric if compared else None, placed, cost, frame), numbers)


def level_plot(test: TestReport, evidence: Evidence, cost: str, key: str) -> Markup | None:
    """Both sides' rate or cost. Two applications that differ by much get a scale each."""
    placed, bounds = _timeline(evidence)
    value = _VALUES[cost]
    names = sides(test)
    lines = [
        ("a", names[0], [(one.epoch, one.at_s, v) for one in placed if (v := value(one.chunk.a)) is not None]),
        ("b", names[1], [(one.epoch, one.at_s, v) for one in placed if (v := value(one.chunk.b)) is not None]),
    ]
    if not lines[1][2]:
        return None
    write = (lambda v: fine(time_text(v))) if cost == "cpu" else rate_text
    panels = [[lines[1]], [lines[0]]] if test.mode == "stored" else [lines]
    height = 236 if len(panels) == 1 else 170
    images = [
        _panel(panel, bounds, Frame(height=height), f"{key}{number}", _TITLES[cost], write)
        for number, panel in enumerate(panel for panel in panels if any(points for _, _, points in panel))
    ]
    return figure(_TITLES[cost], images, _level_caption(test, placed), _level_numbers(evidence, cost, names, write))


_Line = tuple[str, str, list[tuple[int, float, float]]]


def _panel(
    lines: Sequence[_Line], bounds: Sequence[float], frame: Frame, key: str, title: str, write: Callable[[float], str]
) -> Markup:
    x = Axis(0.0, bounds[-1], *frame.across)
    y = axis_for(_core([v for _, _, points in lines for _, _, v in points]), *frame.upwards)
    means = {side: _middle([v for _, _, v in points]) for side, _, points in lines if points}
    top = max(means, key=lambda side: means[side])
    described = "; ".join(_range(name, [v for _, _, v in points], write) for _, name, points in lines if points)
    return svg(
        frame,
        key,
        f"{title}, {' and '.join(name for _, name, _ in lines)}",
        described,
        frame.y_grid(y, write),
        _epoch_lines(bounds, x, frame),
        [
            curve([(x.at(at_s), y.at(v)) for epoch, at_s, v in points if epoch == number], side)
            for side, _, points in lines
            for number in range(len(bounds) - 1)
        ],
        [
            label(
                shortened(name, 30),
                x.end - 4,
                y.end + 6 if side == top else y.start - 8,
                f"end {side}",
            )
            for side, name, points in lines
            if points
        ],
        frame.x_ticks((x.at(tick), f"{tick:g}") for tick in x.ticks(6)),
        frame.base("seconds of measured load, both sides"),
    )


def _range(name: str, values: Sequence[float], write: Callable[[float], str]) -> str:
    return f"{name}: median {write(_middle(values))}, {write(min(values))} to {write(max(values))}"


def _timeline(evidence: Evidence) -> tuple[list[_Placed], list[float]]:
    """The chunks with their times, and where epochs begin and end."""
    placed, bounds, now = [], [0.0], 0.0
    for number, epoch in enumerate(evidence.epochs):
        for chunk in epoch.chunks:
            took_s = (chunk.a.wall_ns + chunk.b.wall_ns) / 1e9
            placed.append(_Placed(number, now + took_s / 2, chunk))
            now += took_s
        bounds.append(now)
    return placed, bounds


def _log_ratio(chunk: Chunk, cost: str) -> float | None:
    a, b = (_VALUES[cost](work) for work in (chunk.a, chunk.b))
    return math.log(b / a) if a and b else None


def _middle(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return (ordered[len(ordered) // 2] + ordered[(len(ordered) - 1) // 2]) / 2 if ordered else 0.0


def _core(values: Sequence[float]) -> list[float]:
    """The values without those far from the middle ones: they would make everything else flat."""
    ordered = sorted(values)
    count = len(ordered)
    low, high = ordered[count // 10], ordered[count - 1 - count // 10]
    reach = _NEAR * (high - low)
    return [value for value in ordered if low - reach <= value <= high + reach]


def _change_axis(
    dots: Sequence[tuple[float, float]],
    epochs: Sequence[tuple[int, float]],
    metric: MetricResult | None,
    frame: Frame,
) -> Axis:
    values = [*_core([value for _, value in dots]), *(value for _, value in epochs), 0.0]
    if metric is not None and metric.limit is not None:
        values.append(_limit_of(metric))
    reach = max(map(abs, values)) * 1.1 or 0.01
    # The interval may be wider than all that was seen; it is drawn as far as there is room.
    low = min(values) - 0.08 * reach
    return Axis(low, max(values) + 0.08 * reach, *frame.upwards)


def _limit_of(metric: MetricResult) -> float:
    limit = metric.limit or 0.0
    return limit if metric.direction == "lower" else -limit


def _interval_band(metric: MetricResult, y: Axis, frame: Frame) -> Markup | None:
    if metric.low is None or metric.high is None:
        return None
    left, right = frame.across
    return band(left, right, y.at(metric.high), y.at(metric.low), "band")


def _limit_line(metric: MetricResult, y: Axis, frame: Frame) -> list[Markup]:
    if not metric.limit:
        return []
    place = y.at(_limit_of(metric))
    # On the side away from zero, whose line may be close.
    outside = place - 5 if metric.direction == "lower" else place + 14
    beside = outside if frame.top + 8 < outside < frame.upwards[0] - 2 else place + place - outside + 9
    return [
        across(frame, place, "limit"),
        label(fine(f"limit {percent_text(_limit_of(metric))}"), frame.across[1] - 2, beside, "end limit"),
    ]


def _epoch_lines(bounds: Sequence[float], x: Axis, frame: Frame) -> Iterator[Markup]:
    low, high = frame.upwards
    for bound in bounds[1:-1]:
        yield tag("line", x1=x.at(bound), x2=x.at(bound), y1=low, y2=high, class_="split")


def _change_description(metric: MetricResult | None, epochs: Sequence[tuple[int, float]]) -> str:
    each = ", ".join(fine(percent_text(value)) for _, value in epochs)
    text = f"Epochs in order: {each}." if each else "Too few blocks for epochs of their own."
    if metric is None:
        return f"Against the run's own middle. {text}"
    return f"Change {change_text(metric)}, interval {interval_words(metric)}. {text}"


def _change_caption(
    test: TestReport, metric: MetricResult | None, placed: Sequence[_Placed], cost: str, frame: Frame
) -> str:
    blocks = sum(one.chunk.blocks for one in placed)
    epochs = len({one.epoch for one in placed})
    text = f"{blocks:,} blocks of four slices in {epochs} pairs of processes. {_dot_words(placed)}; diamonds: epochs."
    if metric is None:
        return f"No baseline yet, so zero is this run's own middle: how steady it was. {text}"
    better = "Higher is better" if metric.direction == "higher" else "Lower is better"
    limit = f"; dashed: the limit ({fine(share_text(metric.limit))})" if metric.limit else ""
    return f"{text} Shaded: the 95\u00a0% interval of the change. {better}{limit}."


def _dot_words(placed: Sequence[_Placed]) -> str:
    most = max((one.chunk.blocks for one in placed), default=1)
    return "Dots: single blocks" if most == 1 else f"Dots: up to {most} blocks in a row, added up"


def _level_caption(test: TestReport, placed: Sequence[_Placed]) -> str:
    text = "Measured in slices, the sides in turn on one core; a line a pair of processes."
    most = max((one.chunk.blocks for one in placed), default=1)
    if most > 1:
        text += f" Each point adds up to {most} blocks."
    if test.mode == "stored":
        text += " The reference app, a frozen one, has a scale of its own: what moves both is the machine."
    return text


def _level_numbers(evidence: Evidence, cost: str, names: tuple[str, str], write: Callable[[float], str]) -> Markup:
    rows = []
    for number, epoch in enumerate(evidence.epochs):
        totals = [_total([getattr(chunk, side) for chunk in epoch.chunks]) for side in ("a", "b")]
        values = [_VALUES[cost](total) for total in totals]
        rows.append([str(number + 1), *(write(value) if value is not None else DASH for value in values)])
    return table(f"{_TITLES[cost]}: epochs", ["epoch", *names], rows, "numbers")


def _total(works: Sequence[Work]) -> Work:
    return Work(sum(one.requests for one in works), sum(one.wall_ns for one in works), sum(one.cpu_ns for one in works))
