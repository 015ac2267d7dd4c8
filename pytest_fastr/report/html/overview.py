"""The top of the page: what became of the build, and a row for each test, the worst first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_fastr.gate.model import MetricResult, Outcome, SessionReport, TestReport, Verdict, severity
from pytest_fastr.report.html.drawing import cards
from pytest_fastr.report.html.markup import Child, Markup, join, tag
from pytest_fastr.report.html.words import DASH, MEANINGS, breakable, change_text, fine, interval_words
from pytest_fastr.report.quantity import rate_text, time_text
from pytest_fastr.report.terminal import smallest_detectable, test_title

_ICONS = {
    Verdict.REGRESSED: "M5 5l6 6M11 5l-6 6",
    Verdict.INVALID: "M8 4v5M8 11.4v.2",
    Verdict.NEW: "M8 4.5v7M4.5 8h7",
    Verdict.INCONCLUSIVE: "M5.9 6.3a2.1 2.1 0 1 1 3 1.9c-.6.3-.9.7-.9 1.3M8 11.6v.2",
    Verdict.IMPROVED: "M8 11.5v-7M5 7.3l3-3 3 3",
    Verdict.EQUIVALENT: "M4.7 8.3l2.3 2.3 4.3-5",
}
_COLUMNS = ("test", "verdict", "CPU / request", "throughput", "p99", "requests")


@dataclass(frozen=True, slots=True)
class Entry:
    """One measurement on the page: its report, what it does to the build, and where its section is."""

    test: TestReport
    outcome: Outcome
    anchor: str
    title: str


def entries_of(report: SessionReport, outcomes: Sequence[Outcome]) -> list[Entry]:
    """The measurements, what fails the build first, then by verdict; otherwise in the order of the run."""
    found = [
        Entry(test, outcome, f"test-{number}", test_title(test, report))
        for number, (test, outcome) in enumerate(zip(report.tests, outcomes, strict=True), start=1)
    ]
    return sorted(found, key=lambda one: (one.outcome is Outcome.PASS, severity(one.test.verdict)))


def badge(verdict: Verdict, text: str | None = None) -> Markup:
    """The verdict as an icon and a word."""
    icon = tag(
        "svg", tag("circle", cx=8, cy=8, r=7), tag("path", d=_ICONS[verdict]), viewBox="0 0 16 16", aria_hidden="true"
    )
    return tag("span", icon, text or str(verdict), class_=f"badge {verdict}")


def build_verdict(
    entries: Sequence[Entry], broken_loads: int, loads: int, interrupted: bool, others: int
) -> tuple[Verdict, str]:
    """What speaks for the build: a verdict for its colour, and one sentence. ``others``: tests that failed for reasons
    that are not on this page."""
    total = len(entries) + loads
    red = sum(one.outcome is Outcome.FAIL for one in entries) + broken_loads
    open_ = sum(one.test.verdict in (Verdict.INCONCLUSIVE, Verdict.NEW) for one in entries)
    if red:
        verb = "fails" if red == 1 else "fail"
        sentence = f"{_count(red)} of {_tests(total)} {verb} the build."
        reds = [one.test.verdict for one in entries if one.outcome is Outcome.FAIL]
        verdict = Verdict.REGRESSED if broken_loads or Verdict.REGRESSED in reds else Verdict.INVALID
    elif not total:
        verdict, sentence = Verdict.INVALID, "No performance test was measured."
    elif others:
        verdict, sentence = Verdict.REGRESSED, "No measurement fails the build."
    elif open_:
        verdict = Verdict.INCONCLUSIVE
        some = "none could" if open_ == total else f"{_count(open_).lower()} of {total} could not"
        sentence = f"No performance test fails the build, but {some} be decided."
    elif total == 1:
        verdict, sentence = Verdict.EQUIVALENT, "The performance test passes."
    else:
        verdict, sentence = Verdict.EQUIVALENT, f"All {total} performance tests pass."
    if others:
        reasons = "a reason that is" if others == 1 else "reasons that are"
        sentence += f" {_count(others)} of the run's other tests failed, for {reasons} not on this page."
    return verdict, f"The run was interrupted. {sentence}" if interrupted else sentence


def overview(report: SessionReport, entries: Sequence[Entry], verdict: Verdict, sentence: str) -> Markup:
    """The sentence, what it is made of, and the table."""
    counted = Counter(entry.test.verdict for entry in entries)
    counts = [
        tag("li", badge(one, f"{counted[one]} {one}"), tag("span", MEANINGS[one], class_="muted"))
        for one in sorted(counted, key=severity)
    ]
    sizes = smallest_detectable(metric for entry in entries for metric in entry.test.metrics.values())
    facts = [
        f"against {report.against}" if report.against is not None else None,
        f"smallest change every test could see: {fine(sizes)}" if sizes else None,
    ]
    return tag(
        "section",
        tag("h2", "Overview", id="overview"),
        tag("p", _signal(verdict), tag("span", sentence), class_=f"sentence {verdict}"),
        tag("ul", counts, class_="counts") if counts else None,
        tag("p", " · ".join(fact for fact in facts if fact), class_="note") if any(facts) else None,
        _changes(report),
        _table(entries) if entries else None,
        aria_labelledby="overview",
    )


def _signal(verdict: Verdict) -> Markup:
    return tag(
        "svg", tag("circle", cx=8, cy=8, r=7), tag("path", d=_ICONS[verdict]), viewBox="0 0 16 16", aria_hidden="true"
    )


def _changes(report: SessionReport) -> Markup | None:
    if not report.changes:
        return None
    listed = tag("ul", [tag("li", change) for change in report.changes])
    return tag("div", tag("h3", "What to know besides the app"), listed, class_="callout warn")


def _table(entries: Sequence[Entry]) -> Markup:
    return cards("All performance tests, the worst first", _COLUMNS, map(_row, entries), "overview")


def _row(entry: Entry) -> list[Child]:
    test = entry.test
    return [
        tag("a", breakable(entry.title), href=f"#{entry.anchor}"),
        [badge(test.verdict), _fails(entry)],
        _cell(fine(time_text(test.cpu_us_per_request)), test.metrics.get("cpu")),
        _cell(_rate(test.rps), test.metrics.get("throughput")),
        _cell(fine(time_text(test.p99_us)), test.metrics.get("p99"), with_interval=True),
        tag("span", f"{test.requests:,}" if test.requests else DASH, class_="value"),
    ]


def _fails(entry: Entry) -> Markup | None:
    return tag("span", "fails the build", class_="sub") if entry.outcome is Outcome.FAIL else None


def _rate(rps: float | None) -> str:
    text = rate_text(rps)
    return DASH if text == "-" else f"{text}\u00a0rps"


def _cell(value: str, metric: MetricResult | None, with_interval: bool = False) -> Markup:
    if metric is None or metric.change is None:
        return tag("span", value, class_="value")
    change: list[Child] = [change_text(metric)]
    if with_interval:
        change.append(f" [{interval_words(metric)}]")
    bad = str(metric.verdict) if metric.verdict in (Verdict.REGRESSED, Verdict.IMPROVED) else ""
    return join([tag("span", value, class_="value"), tag("span", change, class_=f"sub {bad}".strip())])


def _count(number: int) -> str:
    words = ("None", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")
    return words[number] if number < len(words) else str(number)


def _tests(number: int) -> str:
    return f"{number} performance test{'' if number == 1 else 's'}"
