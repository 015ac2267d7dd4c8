"""A test's metrics, absolute limits and load as tables."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_fastr.gate.model import AbsoluteResult, MetricResult, TestReport, Verdict
from pytest_fastr.gate.where import Growth
from pytest_fastr.report.html.axes import Axis
from pytest_fastr.report.html.drawing import cards, table
from pytest_fastr.report.html.interval import interval_plot, scale
from pytest_fastr.report.html.markup import Child, Markup, join, tag
from pytest_fastr.report.html.overview import badge
from pytest_fastr.report.html.words import DASH, MINUS, breakable, change_text, fine, interval_words, title_of
from pytest_fastr.report.paragraph import absolute_words
from pytest_fastr.report.quantity import share_text, time_text, value_text

_HEAD = ("metric", "baseline", "this run", "change", "95 % interval", "limit", "can see", "better ← → worse", "verdict")


def metrics_table(test: TestReport) -> Markup:
    """Every metric, those that decide first."""
    ordered = sorted(test.metrics.values(), key=lambda metric: metric.verdict is None)
    if not ordered:
        return tag("p", "No metric was measured.", class_="missing")
    axis = scale(ordered)
    note = tag(
        "p",
        "Small plots: worse is to the right; the long line is no change, the dashed one the limit, and all rows are "
        "drawn in units of their limits. “Can see”: the smallest change that this run would have found.",
        class_="note",
    )
    return join([cards("Metrics", _HEAD, [_row(metric, axis) for metric in ordered], "metrics"), note, _notes(test)])


def absolute_table(test: TestReport) -> Markup | None:
    """Limits that no baseline moves. None: there are none."""
    if not test.absolute:
        return None
    states = {Verdict.EQUIVALENT: "kept", Verdict.REGRESSED: "broken"}
    rows = [[one.limit, _absolute_value(one), badge(one.verdict, states.get(one.verdict, "not known"))]
            for one in test.absolute]  # fmt: skip
    return join([tag("h4", "Absolute limits"), table("Absolute limits", ["limit", "measured", "state"], rows, "plain")])


def growth_part(test: TestReport) -> Markup | None:
    """The functions whose cost grew, or what is known instead. None: nothing was looked at."""
    growths = test.evidence.growths if test.evidence is not None else ()
    if growths:
        widest = max(growth.growth_us for growth in growths)
        rows = [_growth_row(growth, widest) for growth in growths]
        head = ["function", "before", "now", "growth", "share of the request"]
        body = cards("Functions that grew", head, rows, "growths")
        text = "CPU time a request, by samples of both sides after the measurement."
        return join([tag("h4", "Functions that grew"), tag("p", text, class_="note"), body])
    if not test.where:
        return None
    return join([tag("h4", "Where the time went"), tag("pre", "\n".join(test.where))])


def _row(metric: MetricResult, axis: Axis) -> list[Child]:
    sign = "+" if metric.direction == "lower" else MINUS
    limit = (
        f"{sign}{fine(share_text(metric.limit))}" if metric.limit is not None and metric.change is not None else DASH
    )
    seen = fine(share_text(metric.smallest_detectable)) if metric.smallest_detectable is not None else DASH
    verdict: Child = badge(metric.verdict) if metric.verdict is not None else tag("span", "shown only", class_="muted")
    return [
        title_of(metric.name, metric.unit),
        fine(value_text(metric.baseline, metric.unit)).replace("/request", ""),
        fine(value_text(metric.candidate, metric.unit)).replace("/request", ""),
        tag("strong", change_text(metric)),
        interval_words(metric),
        limit,
        seen,
        interval_plot(metric, axis) or DASH,
        verdict,
    ]


def _notes(test: TestReport) -> Markup | None:
    said = [tag("li", f"{title_of(one.name, one.unit)}: {note}") for one in test.metrics.values() for note in one.notes]
    return tag("ul", said, class_="notes") if said else None


def _absolute_value(one: AbsoluteResult) -> str:
    text = absolute_words(one)
    return fine(text.rpartition(": ")[2])


def _growth_row(growth: Growth, widest: float) -> list[Child]:
    name: Iterator[Child] = iter(
        [breakable(growth.name), tag("span", " with what it calls", class_="muted") if growth.inclusive else None]
    )
    share = f"{growth.growth_us / widest * 100 if widest else 0:.0f}%"
    return [
        join(name),
        fine(time_text(growth.baseline_us)),
        fine(time_text(growth.candidate_us)),
        tag("strong", f"+{fine(time_text(growth.growth_us))}"),
        join([tag("span", "", class_="gauge", style=f"width:calc({share} * .7)"), fine(share_text(growth.share))]),
    ]
