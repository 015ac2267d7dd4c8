"""What to know and do about a test that is not green: what got worse, by how much, how sure, the way out.

Plain ASCII lines besides the node id, for a pytest failure as well as for a log file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from pytest_fastr.gate.model import AbsoluteResult, MetricResult, TestReport, Verdict
from pytest_fastr.report.quantity import (
    MISSING,
    bytes_text,
    interval_text,
    metric_title,
    percent_text,
    printable,
    rate_text,
    share_text,
    time_text,
    value_text,
)


def paragraph(test: TestReport) -> str:
    """Several lines for a test that is regressed, inconclusive, invalid or new; empty for the others."""
    body = _BODIES.get(test.verdict)
    if body is None:
        return ""
    against = f" against {printable(test.against)}" if test.mode == "paired" else ""
    return "\n".join([f"{printable(test.nodeid)}: {test.verdict}{against}", *(f"  {line}" for line in body(test))])


def errors_text(errors: Mapping[str, int], requests: int) -> str:
    """`12 errors in 1,000 requests: timeout 10, status 5xx 2`; empty when there were none."""
    counted = sorted(((count, kind) for kind, count in errors.items() if count), key=lambda one: (-one[0], one[1]))
    if not counted:
        return ""
    total = sum(count for count, _ in counted)
    kinds = ", ".join(f"{printable(kind)} {count:,}" for count, kind in counted)
    return f"{_count(total, 'error')} in {_count(requests, 'request')}: {kinds}"


def update_command(nodeid: str) -> str:
    """The command that stores this test's numbers as its baseline."""
    if any(one in nodeid for one in '"$`\\!') or not nodeid.isprintable():
        # Single quotes hold everything but themselves.
        quoted = "'" + nodeid.replace("'", "'\"'\"'") + "'"
    else:
        quoted = f'"{nodeid}"'
    return f"pytest --perf --perf-update {printable(quoted)}"


def _regressed(test: TestReport) -> list[str]:
    lines = [f"{absolute_words(one)}." for one in test.absolute if one.verdict is Verdict.REGRESSED]
    broken = bool(lines)
    if left_lane(test) and test.lane is not None:
        lines += [f"{printable(test.lane.message)}.", "  That is told by the routes' structure, without timing."]
    moved = _of_verdict(test, Verdict.REGRESSED)
    for metric in moved:
        lines += [f"{_movement(metric)}.", f"  {_certainty(metric)}.", *_notes(metric)]
    if test.confirmed:
        lines.append(f"It was measured again {again_with(test)}, and was seen again.")
    elif moved and test.confirmed is None:
        lines.append("It was measured once, without a confirmation.")
    elif moved:
        lines.append(f"It was measured again {again_with(test)}, and was not seen again.")
    if test.where:
        lines += ["Where the time went, per request:", *(f"  {printable(line)}" for line in test.where)]
    lines += _warnings(test)
    return [*lines, *_ways_out(test, moved, broken)]


def _ways_out(test: TestReport, moved: Sequence[MetricResult], broken: bool) -> list[str]:
    """How a regressed test gets green again."""
    left = left_lane(test)
    lines = ["Make the code cheaper again, or change the limit."] if not moved and (broken or not left) else []
    if test.mode == "paired" and moved:
        lines += [
            "Make the code cheaper again. A cost that is meant is accepted by a limit of the test, which reports name:",
            f"  {_accepting_limit(moved)}",
        ]
    if test.mode == "paired" and left:
        lines += [
            "Give the route its lane back. A change that is meant is accepted by a setting, which reports name:",
            '  [tool.pytest-fastr] lanes = "report"',
        ]
    if test.mode != "paired" and (moved or left):
        what = "Make the code cheaper again" if moved else "Give the route its lane back"
        lines += [f"{what}, or accept the change as the new baseline:", f'{_command(test)} --perf-reason "..."']
    return lines


def left_lane(test: TestReport) -> bool:
    """Whether its route has left its lane, and that is gated."""
    return test.lane is not None and test.lane.verdict is Verdict.REGRESSED


def again_with(test: TestReport) -> str:
    """What a further look was made with."""
    if test.is_function:
        return "in this process"
    running = any(note.code == "same-processes" for note in test.validity)
    return "on the servers that run" if running else "with new server processes"


def absolute_words(result: AbsoluteResult) -> str:
    """``p99<50ms is broken: 71.2 ms``."""
    state = {Verdict.EQUIVALENT: "kept", Verdict.REGRESSED: "broken"}.get(result.verdict, "not known")
    if result.value is None:
        return f"{result.limit} is {state}: too few answers to tell"
    bound = "at most " if result.at_most else "at least " if result.at_least else ""
    if result.metric == "rps":
        value = f"{rate_text(result.value)} rps"
    else:
        value = bytes_text(result.value) if result.metric == "memory" else time_text(result.value)
    return f"{result.limit} is {state}: {bound}{value}"


def metric_words(metric: MetricResult) -> str:
    """``cpu: 2,308 us -> 2,707 us, +17.3 % [+9.3, +25.9], limit 5 %, could have seen 18.3 %: regressed``."""
    value, seen = value_text(metric.candidate, metric.unit), metric.smallest_detectable
    parts = [value if metric.baseline is None else f"{value_text(metric.baseline, metric.unit)} -> {value}"]
    if metric.change is not None:
        parts.append(_change_words(metric))
    if metric.limit is not None and metric.verdict is not None:
        parts.append(f"limit {share_text(metric.limit)}")
    if seen is not None:
        parts.append(f"could have seen {share_text(seen)}")
    verdict = "not gated" if metric.verdict is None else str(metric.verdict)
    return f"{metric.name}: {', '.join(parts)}: {verdict}"


def at_rate_words(metric: MetricResult, test: TestReport) -> str:
    """``p99 at 500 a second: 3.2 ms, +1.0 % [-9, +12], limit 41 %: equivalent``."""
    rate = test.load.get("rate")
    at = f" at {rate:g} a second" if isinstance(rate, float) else " at a rate"
    change = f", {_change_words(metric)}" if metric.change is not None else ""
    limit = f", limit {share_text(metric.limit)}" if metric.limit is not None and metric.verdict is not None else ""
    verdict = f": {metric.verdict}" if metric.verdict is not None else ""
    return f"{metric.name.removeprefix('rate_')}{at}: {time_text(metric.candidate)}{change}{limit}{verdict}"


def _change_words(metric: MetricResult) -> str:
    return f"{percent_text(metric.change)} {interval_text(metric.low, metric.high)}".rstrip()


def _accepting_limit(moved: Sequence[MetricResult]) -> str:
    limits = ", ".join(f'"{one.name}": "{math.ceil(100 * abs(one.change or 0.0)) + 1}%"' for one in moved)
    return f"@pytest.mark.perf(limit={{{limits}}})"


def _inconclusive(test: TestReport) -> list[str]:
    lines = [f"{absolute_words(one)}." for one in test.absolute if one.verdict is Verdict.INCONCLUSIVE]
    for metric in _of_verdict(test, Verdict.INCONCLUSIVE):
        if metric.change is None:
            lines += [f"{metric_title(metric.name, metric.unit)} could not be compared.", *_notes(metric)]
            continue
        lines += [
            f"{metric_title(metric.name, metric.unit)} moved by {percent_text(metric.change)},"
            " which shows neither a regression nor its absence.",
            f"  {_certainty(metric)}.",
            *_notes(metric),
        ]
    lines += _warnings(test)
    return [
        *lines,
        "See more with a longer `duration`, more `epochs`, or a quieter machine;",
        "`--perf-inconclusive=fail` makes such a test fail the build.",
    ]


def _new(test: TestReport) -> list[str]:
    if test.mode == "paired":
        return [*_warnings(test), "It will be compared once it is on the other side too."]
    missing = [metric_title(metric.name, metric.unit) for metric in _of_verdict(test, Verdict.NEW)]
    of_what = f" of {', '.join(missing)}" if missing else ""
    return [
        f"There is no baseline{of_what} for this test under this load on this hardware,",
        "so nothing was compared. Store one, and commit the file it writes:",
        _command(test),
    ]


def _invalid(test: TestReport) -> list[str]:
    voids = [note for note in test.validity if note.level == "void"]
    lines = ["Its numbers cannot be trusted, so they say nothing about the app:"]
    lines += [f"- {printable(note.message)} [{printable(note.code)}]" for note in voids]
    errors = errors_text(test.errors, test.requests)
    if errors:
        lines.append(f"- {errors}")
    if not test.requests:
        lines.append("- nothing was measured")
    for metric in _of_verdict(test, Verdict.INVALID):
        lines += [f"- {metric_title(metric.name, metric.unit)}: {printable(note)}" for note in metric.notes]
    if len(lines) == 1:
        lines.append("- the reason was not recorded, which is a fault of pytest-fastr: please report it")
    return [
        *lines,
        *_warnings(test),
        "Mend this and run the test again; a result like this cannot become a baseline.",
    ]


_BODIES: Mapping[Verdict, Callable[[TestReport], list[str]]] = {
    Verdict.REGRESSED: _regressed,
    Verdict.INCONCLUSIVE: _inconclusive,
    Verdict.NEW: _new,
    Verdict.INVALID: _invalid,
}


def _of_verdict(test: TestReport, verdict: Verdict) -> list[MetricResult]:
    return [metric for metric in test.metrics.values() if metric.verdict is verdict]


def _movement(metric: MetricResult) -> str:
    if metric.change is None:
        return f"{metric_title(metric.name, metric.unit)} got worse"
    verb = "rose" if metric.change >= 0 else "fell"
    text = f"{metric_title(metric.name, metric.unit)} {verb} by {share_text(metric.change)}"
    values = (value_text(metric.baseline, metric.unit), value_text(metric.candidate, metric.unit))
    return text if MISSING in values else f"{text}, from {values[0]} to {values[1]}"


def _certainty(metric: MetricResult) -> str:
    parts = []
    if metric.low is not None or metric.high is not None:
        parts.append(f"Interval {percent_text(metric.low)} to {percent_text(metric.high)}")
    if metric.limit is not None:
        sign = "+" if metric.direction == "lower" else "-"
        parts.append(f"limit {sign}{share_text(metric.limit)}")
    if metric.smallest_detectable is not None:
        parts.append(f"this run could have seen a change of {share_text(metric.smallest_detectable)}")
    return "; ".join(parts) or "No interval is known"


def _notes(metric: MetricResult) -> list[str]:
    return [f"  {printable(note)}" for note in metric.notes]


def _warnings(test: TestReport) -> list[str]:
    return [f"Warning: {printable(note.message)}" for note in test.validity if note.level == "warn"]


def _command(test: TestReport) -> str:
    return f"  {update_command(test.nodeid)}"


def _count(number: int, noun: str) -> str:
    return f"{rate_text(number) if number >= 100 else number} {noun}{'' if number == 1 else 's'}"
