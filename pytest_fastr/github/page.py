"""The result as a page of GitHub's Markdown, within a size: for the job summary, the check run and the comment.

What matters most comes first, and what has no room is counted in a sentence: a page is never cut in its middle.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pytest_fastr.gate.model import MetricResult, TestReport, Verdict, severity
from pytest_fastr.github.decision import Decision
from pytest_fastr.github.markdown import block, cell, code, folded, html_code, size
from pytest_fastr.report.load_reader import LoadRun
from pytest_fastr.report.paragraph import paragraph
from pytest_fastr.report.quantity import interval_text, percent_text, rate_text, time_text
from pytest_fastr.report.result_reader import ResultFile
from pytest_fastr.report.terminal import smallest_detectable, worst_metric

SUMMARY_LIMIT = 1024 * 1024
"""Bytes of a step's summary; more is not shown at all.
https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands#step-isolation-and-limits"""
TEXT_LIMIT = 65_535
"""Characters of a check run's summary, https://docs.github.com/rest/checks/runs#create-a-check-run. A comment's body
may have as many (https://github.com/orgs/community/discussions/27190)."""

_MARKS = {
    Verdict.REGRESSED: "🔴",
    Verdict.INVALID: "🔴",
    Verdict.NEW: "🔵",
    Verdict.INCONCLUSIVE: "🟡",
    Verdict.IMPROVED: "🟢",
    Verdict.EQUIVALENT: "🟢",
}
_HEADER = "| test | rps | p50 | p99 | CPU/req | change | verdict |\n|---|--:|--:|--:|--:|---|---|"
_LOAD_HEADER = "| load run | rps | p50 | p99 | limits | verdict |\n|---|--:|--:|--:|---|---|"
# The table may take this share of the page, so that there is room for why.
_TABLE_SHARE = 0.6
_RESERVE = 600


def page(result: ResultFile, decision: Decision, limit: int, notes: Sequence[str] = (), run_url: str = "") -> str:
    """The page in at most ``limit`` bytes. ``notes``: what could not be done. ``run_url``: where all of it is."""
    tests = sorted(result.session.tests, key=lambda test: (severity(test.verdict), test.nodeid))
    tail = _tail(result, run_url)
    parts = [_head(result, decision, notes)]
    room = limit - _RESERVE - size(parts[0]) - size(tail)
    tables = _tables(tests, result.loads, int(room * _TABLE_SHARE))
    parts += tables
    parts += _details(tests, decision, room - sum(size(one) + 2 for one in tables))
    text = "\n\n".join([*parts, tail]) + "\n"
    if size(text) <= limit:
        return text
    # Next to nothing is left, such as behind a long summary of something else in the same step.
    return f"{_title(decision)}\n\n{decision.headline}. There was no room here for more.\n"


def _title(decision: Decision) -> str:
    mark = _MARKS[Verdict.INVALID if decision.fails else decision.verdict]
    return f"### {mark} Performance: {decision.verdict}"


def _head(result: ResultFile, decision: Decision, notes: Sequence[str]) -> str:
    lines = [_title(decision), ""]
    against = result.session.against
    lines.append(decision.headline + (f", against {code(against)}." if against is not None else "."))
    lines += [f"**Failed:** {' '.join(decision.problems)}"] if decision.problems else []
    lines += [f"\n> [!NOTE]\n> {note}" for note in notes]
    changes = result.session.changes
    lines += [f"* {code(change, 300)}" for change in changes[:20]]
    if len(changes) > 20:
        lines.append(f"* {len(changes) - 20} more things to know are in the result file.")
    return "\n".join(lines)


def _tables(tests: Sequence[TestReport], loads: Sequence[LoadRun], room: int) -> list[str]:
    made = []
    if tests:
        made.append(_table(_HEADER, [_row(test) for test in tests], room, "test"))
        room -= size(made[0])
    if loads:
        ordered = sorted(loads, key=lambda run: severity(run.verdict))
        made.append(_table(_LOAD_HEADER, [_load_row(run) for run in ordered], room, "load run"))
    return made


def _table(header: str, rows: Sequence[str], room: int, noun: str) -> str:
    kept = _fitting(rows, room - size(header))
    text = "\n".join([header, *kept])
    left = len(rows) - len(kept)
    return text if not left else f"{text}\n\n{_left_out(left, noun)}"


def _row(test: TestReport) -> str:
    metric = worst_metric(test)
    numbers = [rate_text(test.rps), time_text(test.p50_us), time_text(test.p99_us), time_text(test.cpu_us_per_request)]
    name = cell(test.nodeid) + (" (stored)" if test.mode == "stored" else "")
    return f"| {' | '.join([name, *numbers, _change(test, metric), f'{_MARKS[test.verdict]} {test.verdict}'])} |"


def _change(test: TestReport, metric: MetricResult | None) -> str:
    broken = next((one for one in test.absolute if one.verdict is Verdict.REGRESSED), None)
    if broken is not None and not (metric and metric.verdict is Verdict.REGRESSED):
        return f"{cell(broken.limit)} is broken"
    if metric is None or metric.change is None:
        return "-"
    return f"{cell(metric.name)} {percent_text(metric.change)} {interval_text(metric.low, metric.high)}".rstrip()


def _load_row(run: LoadRun) -> str:
    limits = ", ".join(cell(one.text) + _KEPT[one.kept] for one in run.limits[:5]) or "-"
    numbers = [rate_text(run.rps), time_text(run.p50_us), time_text(run.p99_us)]
    return f"| {' | '.join([cell(run.nodeid), *numbers, limits, f'{_MARKS[run.verdict]} {run.verdict}'])} |"


_KEPT = {True: " kept", False: " broken", None: " not known"}


def _details(tests: Sequence[TestReport], decision: Decision, room: int) -> list[str]:
    """A paragraph for each test that is not green, and the names of those that failed for another reason."""
    said = [(test, paragraph(test)) for test in tests]
    blocks = [
        folded(f"{_MARKS[test.verdict]} {test.verdict}: {html_code(test.nodeid)}", block(text))
        for test, text in said
        if text
    ]
    if decision.also_failed:
        names = "\n".join(f"* {code(name)}" for name in decision.also_failed[:50])
        blocks.insert(0, f"Failed for another reason than a verdict (pytest's log says which):\n\n{names}")
    kept = _fitting(blocks, room)
    left = len(blocks) - len(kept)
    return blocks if not left else [*kept, _left_out(left, "explanation")]


def _fitting(parts: Iterable[str], room: int) -> list[str]:
    """The parts that have room, the first ones first. One that is too long for itself does not hide the others."""
    kept = []
    for part in parts:
        needed = size(part) + 2
        if needed <= room:
            kept.append(part)
            room -= needed
    return kept


def _left_out(count: int, noun: str) -> str:
    plural = "" if count == 1 else "s"
    return f"**{count:,} more {noun}{plural} had no room here: the result file has all of them.**"


def _tail(result: ResultFile, run_url: str) -> str:
    session = result.session
    parts = [f"Profile {code(session.profile.slug)}", f"measured in {session.duration_s:,.0f} s"]
    sizes = smallest_detectable(metric for test in session.tests for metric in test.metrics.values())
    if sizes:
        parts.append(f"smallest change every test could see: {code(sizes, 500)}")
    if run_url:
        parts.append(f"[the run]({run_url})")
    return f"<sub>{' · '.join(parts)}</sub>"
