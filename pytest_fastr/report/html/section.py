"""One test's section: the verdict in words, its metrics, its plots, and what may be doubted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_fastr.gate.evidence import Evidence
from pytest_fastr.gate.model import TestReport, Verdict
from pytest_fastr.report.html.drawing import cards
from pytest_fastr.report.html.history import eras_words, history_plot
from pytest_fastr.report.html.markup import Markup, join, tag
from pytest_fastr.report.html.metrics import absolute_table, growth_part, metrics_table
from pytest_fastr.report.html.over_time import change_plot, level_plot
from pytest_fastr.report.html.overview import Entry, badge
from pytest_fastr.report.html.percentiles import percentile_plot
from pytest_fastr.report.html.words import MEANINGS, breakable, fine
from pytest_fastr.report.paragraph import errors_text, paragraph
from pytest_fastr.report.quantity import bytes_text, rate_text, time_text

_IN_HISTORY = ("cpu", "throughput", "p99")
_LEVELS = {"void": (Verdict.INVALID, "voids the result"), "warn": (Verdict.INCONCLUSIVE, "warning")}


def section(entry: Entry) -> Markup:
    """All that is known about one test."""
    test = entry.test
    return tag(
        "section",
        tag("h3", breakable(entry.title), id=entry.anchor, tabindex=-1),
        tag("p", badge(test.verdict), " ", _facts(test), class_="facts"),
        _said(test),
        metrics_table(test),
        absolute_table(test),
        growth_part(test),
        _plots(test, entry.anchor),
        _validity(test),
        _output(test),
        tag("p", tag("a", "Back to the overview", href="#overview"), class_="back"),
        class_="test",
        aria_labelledby=entry.anchor,
    )


def _facts(test: TestReport) -> str:
    """What was done and what it came to, in one line."""
    return " · ".join(_fact_words(test))


def _fact_words(test: TestReport) -> Iterator[str]:
    names = test.load.get("requests")
    if isinstance(names, Sequence) and not isinstance(names, str):
        yield ", ".join(map(str, names))
    if test.requests:
        yield f"{test.requests:,} {'calls' if test.is_function else 'requests'}"
    for key, noun in (("users", "users"), ("epochs", "epochs")):
        if key in test.load:
            yield f"{test.load[key]} {noun}"
    duration = test.load.get("duration_s")
    if isinstance(duration, int | float):
        yield f"{duration:g}\u00a0s of {'calls' if test.is_function else 'load a side'}"
    if test.rps is not None:
        yield f"{rate_text(test.rps)}\u00a0rps"
    if test.p50_us is not None:
        yield f"p50 {fine(time_text(test.p50_us))}"
    if test.peak_rss_bytes is not None:
        yield f"{fine(bytes_text(test.peak_rss_bytes))} of memory"
    if test.against and test.mode != "none":
        yield f"compared with {test.against}"
    yield f"{test.path}:{test.line}"


def _said(test: TestReport) -> Markup:
    """The verdict's own words, as the terminal has them."""
    text = paragraph(test)
    if not text:
        looks = f" after {test.looks} looks" if test.looks > 1 else ""
        return tag("p", f"{str(test.verdict).capitalize()}{looks}: {MEANINGS[test.verdict]}.", class_="said")
    _, _, body = text.partition("\n")
    lines = [line.removeprefix("  ") for line in body.split("\n")]
    return tag("pre", "\n".join(lines), class_=f"said {test.verdict}", tabindex=0)


def _plots(test: TestReport, anchor: str) -> Markup:
    evidence = test.evidence
    if evidence is None:
        return tag("p", "Nothing was measured, so there is nothing to plot.", class_="missing")
    if test.is_function:
        stored = list(_history(test, evidence, anchor))
        return join([tag("div", stored, class_="figures"), _history_words(test, evidence, stored)])
    found = [percentile_plot(test, evidence, f"{anchor}-q"), *_time_plots(test, evidence, anchor)]
    words = ("No response times were measured.", "The CPU time of single blocks is not known.",
             "The throughput of single blocks is not known.")  # fmt: skip
    missing = [tag("p", text, class_="missing") for plot, text in zip(found, words, strict=False) if plot is None]
    stored = list(_history(test, evidence, anchor))
    return join([tag("div", found, stored, class_="figures"), missing, _history_words(test, evidence, stored)])


def _time_plots(test: TestReport, evidence: Evidence, anchor: str) -> Iterator[Markup | None]:
    for cost in ("cpu", "throughput"):
        yield change_plot(test, evidence, cost, f"{anchor}-c-{cost}")
    for cost in ("throughput", "cpu"):
        yield level_plot(test, evidence, cost, f"{anchor}-l-{cost}")


def _history(test: TestReport, evidence: Evidence, anchor: str) -> Iterator[Markup]:
    for metric in _IN_HISTORY:
        unchanged = evidence.unchanged.get(metric)
        if evidence.history is not None and unchanged is not None:
            plot = history_plot(test, evidence.history, metric, unchanged, f"{anchor}-h-{metric}")
            if plot is not None:
                yield plot


def _history_words(test: TestReport, evidence: Evidence, plots: Sequence[Markup]) -> Markup | None:
    """When another level was accepted, and why there is no history where there is none."""
    history = evidence.history
    if history is None or test.mode != "stored":
        return None
    if not history.sessions:
        return tag("p", "No baseline yet: no session of this test is stored for this hardware.", class_="missing")
    eras = eras_words(history)
    words = None if plots else tag("p", "The stored sessions have none of the metrics that decide.", class_="missing")
    return join([words, tag("ul", eras, class_="notes") if eras else None])


def _validity(test: TestReport) -> Markup:
    """What was checked beside the numbers."""
    title = tag("h4", "Validity")
    errors = errors_text(test.errors, test.requests)
    wrong = tag("p", errors, class_="said invalid") if errors else None
    if not test.validity:
        return join([title, wrong, tag("p", "No rule of validity had anything to say.", class_="muted")])
    rows = [[badge(*_LEVELS[note.level]), tag("code", note.code), note.message] for note in test.validity]
    return join(
        [title, wrong, cards("Validity notes", ["level", "rule", "what it saw, and what to do"], rows, "words")]
    )


def _output(test: TestReport) -> Markup | None:
    if not test.output.strip():
        return None
    return tag("details", tag("summary", "The end of what the server logged"), tag("pre", test.output, tabindex=0))
