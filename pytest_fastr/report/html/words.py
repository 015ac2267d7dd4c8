"""How the report writes: micro signs, minus signs, and spaces that keep a number and its unit together."""

from __future__ import annotations

import re

from pytest_fastr.gate.model import MetricResult, TestReport, Verdict
from pytest_fastr.report.html.markup import Markup, tag
from pytest_fastr.report.quantity import interval_text, metric_title, percent_text

_SPACE = "\u00a0"
MINUS = "\u2212"
DASH = "\u2013"

MEANINGS = {
    Verdict.REGRESSED: "worse by its limit or more",
    Verdict.IMPROVED: "better by its limit or more, and nothing got worse",
    Verdict.EQUIVALENT: "shown to be within its limits",
    Verdict.INCONCLUSIVE: "neither a regression nor its absence was shown",
    Verdict.NEW: "nothing to compare with yet",
    Verdict.INVALID: "not measured, or measured in a way that cannot be trusted",
}


def fine(text: str) -> str:
    """A number that was written for a terminal, such as ``-3.1 %`` or ``213 us``, in fine typography."""
    if text == "-":
        return DASH
    text = re.sub(r"(?<=\d)[ ](?=\S)", _SPACE, text)
    text = re.sub(r"(?<![\w)])-(?=\d)", MINUS, text)
    return re.sub(r"\bus\b", "µs", text)


def breakable(name: str) -> Markup:
    """The name of a test or a function, with places at which a narrow page may break it."""
    parts = re.split(r"(?<=[/_\[])(?![/_])|(?<=::)", name)
    return tag("code", [[tag("wbr") if number else None, part] for number, part in enumerate(parts)])


def tick_text(fraction: float) -> str:
    """A round change beside an axis: ``+20 %``, ``0 %``."""
    return fine(f"{round(fraction * 100, 6):+,g} %") if abs(fraction) > 1e-9 else f"0{_SPACE}%"


def change_text(metric: MetricResult) -> str:
    """``+18.3 %``."""
    return fine(percent_text(metric.change))


def interval_words(metric: MetricResult) -> str:
    """``-1.0 to +1.8 %``; a dash where it is not known."""
    text = interval_text(metric.low, metric.high).strip("[]").replace(", ", " to ")
    return fine(f"{text} %") if text else DASH


def title_of(metric: str, unit: str = "") -> str:
    """The metric at the beginning of a line."""
    if metric.startswith("rate_"):
        return f"{metric.removeprefix('rate_')} at the rate"
    title = metric_title(metric, unit)
    return title if title[:1] == "p" and title[1:2].isdigit() else title[:1].upper() + title[1:]


def sides(test: TestReport) -> tuple[str, str]:
    """What the two sides of a test's plots are called."""
    if test.mode == "equal":
        return "first copy", "second copy"
    if test.mode == "paired":
        return (test.against or "the other ref"), "this checkout"
    return "reference app", "this run"


def shortened(text: str, most: int) -> str:
    """The text, its end replaced where it is too long for a plot."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
