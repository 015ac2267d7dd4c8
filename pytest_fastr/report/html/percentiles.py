"""The two latency distributions: what share of the answers was how fast, tails drawn as wide as bodies."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pytest_fastr.gate.evidence import Curve, Evidence
from pytest_fastr.gate.model import TestReport
from pytest_fastr.report.html.axes import Axis, axis_for
from pytest_fastr.report.html.drawing import Frame, curve, diamond, figure, label, svg, table
from pytest_fastr.report.html.markup import Markup
from pytest_fastr.report.html.words import DASH, fine, shortened, sides
from pytest_fastr.report.quantity import percent_text, time_text

_TABLED = (0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999)
_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
_LABEL_WIDTH = 90.0
_TITLE = "Response times by percentile"


def percentile_plot(test: TestReport, evidence: Evidence, key: str) -> Markup | None:
    """Both sides' curves; against stored sessions, this run's curve and where the baseline would be. None: no answer
    was measured."""
    a, b = evidence.curves
    names = sides(test)
    marks = _baseline_marks(test) if test.mode == "stored" else []
    if not b.points:
        return None
    shown = [("b", names[1], b)] if test.mode == "stored" else [("a", names[0], a), ("b", names[1], b)]
    frame = Frame(height=270)
    far = max(share for _, _, one in shown for share, _ in one.points)
    x = Axis(0.0, max(_nines(far), 1.0), *frame.across)
    y = axis_for(
        [us for _, _, one in shown for _, us in one.points] + [us for _, us in marks], *frame.upwards, from_zero=True
    )
    lines = [curve([(x.at(_nines(share)), y.at(us)) for share, us in one.points], side) for side, _, one in shown]
    image = svg(
        frame,
        key,
        _TITLE,
        _description(shown, marks),
        frame.y_grid(y, lambda us: fine(time_text(us)) if us else "0"),
        frame.x_ticks((x.at(_nines(share)), _percent(share)) for share in _ticks(far)),
        frame.base("share of answers that were at least as fast"),
        lines,
        [diamond(x.at(_nines(share)), y.at(us), "mark a") for share, us in marks],
        _labels(shown, marks, x, y),
    )
    return figure(_TITLE, image, _caption(shown, marks, y), _numbers(shown, marks))


def _nines(share: float) -> float:
    """How many nines: 0.9 is 1, 0.99 is 2."""
    return -math.log10(max(1.0 - share, 1e-12))


def _ticks(far: float) -> list[float]:
    return [share for share in _TABLED if share <= far + 1e-12]


def _percent(share: float) -> str:
    return f"{share * 100:.5g}\u00a0%"


def _baseline_marks(test: TestReport) -> list[tuple[float, float]]:
    known = [(share, test.metrics.get(name)) for name, share in _QUANTILES.items()]
    return [(share, one.baseline) for share, one in known if one is not None and one.baseline is not None]


def _labels(
    shown: Sequence[tuple[str, str, Curve]], marks: Sequence[tuple[float, float]], x: Axis, y: Axis
) -> list[Markup]:
    """Names beside the curves' ends: the higher curve's above, the lower one's below."""
    ends = sorted(((one.points[-1], side, name) for side, name, one in shown if one.points), key=lambda end: -end[0][1])
    by_side = {side: one for side, _, one in shown}
    found = []
    for number, ((share, us), side, name) in enumerate(ends):
        place = max(x.at(_nines(share)) - 6, x.start + 90)
        # The curves rise: the lower name stays below its curve where it begins, the upper one above its end.
        begins = _near_place(by_side[side], place - _LABEL_WIDTH, x)
        height = max(y.at(us) - 9, y.end + 2) if number == 0 else min(y.at(begins) + 22, y.start - 6)
        found.append(label(shortened(name, 30), place, height, f"end {side}"))
    if marks:
        share, us = marks[-1]
        found.append(label("baseline", x.at(_nines(share)) - 9, min(y.at(us) + 16, y.start - 6), "end a"))
    return found


def _near_place(one: Curve, place: float, x: Axis) -> float:
    return min(one.points, key=lambda point: abs(x.at(_nines(point[0])) - place))[1]


def _caption(shown: Sequence[tuple[str, str, Curve]], marks: Sequence[tuple[float, float]], y: Axis) -> str:
    counts = " and ".join(f"{one.answers:,} answers of {name}" for _, name, one in shown)
    text = f"{counts}, in slices of a closed loop. Each curve ends where fewer than ten answers lie beyond it."
    if y.is_log:
        text += " The time axis is logarithmic."
    if marks:
        text += " Diamonds: what the stored baseline would have shown in this run; it keeps no whole distribution."
    return text


def _description(shown: Sequence[tuple[str, str, Curve]], marks: Sequence[tuple[float, float]]) -> str:
    parts = []
    for _, name, one in shown:
        known = [f"{_percent(share)} within {fine(time_text(us))}" for share in _TABLED if (us := _at(one, share))]
        parts.append(f"{name}: {', '.join(known) or 'too few answers'}.")
    if marks:
        expected = ", ".join(f"{_percent(share)} within {fine(time_text(us))}" for share, us in marks)
        parts.append(f"Baseline: {expected}.")
    return " ".join(parts)


def _numbers(shown: Sequence[tuple[str, str, Curve]], marks: Sequence[tuple[float, float]]) -> Markup:
    columns = [(name, dict(one.points)) for _, name, one in shown]
    if marks:
        columns.insert(0, ("baseline", dict(marks)))
    two = len(columns) == 2
    rows = []
    for share in _TABLED:
        values = [_near(points, share) for _, points in columns]
        if all(value is None for value in values):
            continue
        cells = [fine(time_text(value)) if value is not None else DASH for value in values]
        if two:
            before, after = values
            cells.append(fine(percent_text(after / before - 1)) if before and after else DASH)
        rows.append([_percent(share), *cells])
    head = ["percentile", *(name for name, _ in columns), *(["difference"] if two else [])]
    return table("Response times by percentile", head, rows, "numbers")


def _at(one: Curve, share: float) -> float | None:
    return _near(dict(one.points), share)


def _near(points: dict[float, float], share: float) -> float | None:
    """What is known at the share; shares are made by arithmetic and differ in their last digit."""
    return next((us for other, us in points.items() if abs(other - share) < 1e-9), None)
