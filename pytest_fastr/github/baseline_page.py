"""What differs between two states of stored baselines, for the body of a pull request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_fastr.gate.baseline_diff import ProfileDiff, TestDiff
from pytest_fastr.gate.levels import LevelChange
from pytest_fastr.github.markdown import cell, code, size
from pytest_fastr.report.baseline_text import era_words, sessions_words
from pytest_fastr.report.quantity import interval_text, percent_text, value_text

MOST_BYTES = 60_000
"""A pull request's body may have 65,536 characters."""

_COLUMNS = ("cpu", "throughput", "p50", "p99", "memory", "rate_p99")
_LEGEND = (
    "Levels are compared as ratios to the reference app; in brackets the interval, in percent, that the stored "
    "sessions leave open."
)


def diff_page(diffs: Sequence[ProfileDiff], most_bytes: int = MOST_BYTES) -> str:
    """Markdown of at most so many bytes; what has no room is counted."""
    if not diffs:
        return "No baseline differs.\n"
    parts = [_LEGEND]
    left = 0
    for diff in diffs:
        lines = list(_profile(diff))
        room = most_bytes - size("\n\n".join(parts)) - 200
        fitting = []
        for line in lines:
            room -= size(line) + 1
            if room < 0:
                break
            fitting.append(line)
        left += len(lines) - len(fitting)
        parts.append("\n".join(fitting))
    if left:
        parts.append(f"{left} more lines have no room here; `pytest-fastr baseline diff` has them all.")
    return "\n\n".join(part for part in parts if part) + "\n"


def _profile(diff: ProfileDiff) -> Iterator[str]:
    yield f"### {code(diff.slug)}: {diff.kind}"
    yield ""
    if diff.void:
        yield f"Void: {code(diff.void)}. Nothing is compared with it."
    came, went = diff.equals
    if came or went:
        yield f"`--perf-aa`: {came} sessions more, {went} dropped."
        yield ""
    if not diff.tests:
        return
    shown = [name for name in _COLUMNS if any(level.name == name for test in diff.tests for level in test.levels)]
    yield f"| test | sessions |{''.join(f' {name} |' for name in shown)}"
    yield f"|---|---|{'---|' * len(shown)}"
    for test in diff.tests:
        yield _row(test, shown)
    yield ""
    for test in diff.tests:
        yield from _notes(test)


def _row(test: TestDiff, shown: Sequence[str]) -> str:
    levels = {level.name: level for level in test.levels}
    cells = [_level(levels.get(name)) for name in shown]
    return f"| {cell(test.nodeid)} | {sessions_words(test)} |{''.join(f' {one} |' for one in cells)}"


def _level(level: LevelChange | None) -> str:
    if level is None:
        return ""
    if level.change is None:
        values = [value_text(value, level.unit) for value in (level.before, level.after) if value is not None]
        return cell(" -> ".join(values)) if values else ""
    return f"{percent_text(level.change)} {interval_text(level.low, level.high)}".strip()


def _notes(test: TestDiff) -> Iterator[str]:
    name = code(test.nodeid)
    for era in test.eras:
        yield f"* {name}: another level was accepted {code(era_words(era), 400)}"
    if test.load:
        yield f"* {name}: another load, so levels are not compared: {code('; '.join(test.load), 400)}"
    if test.lane is not None:
        yield f"* {name}: lane {' to '.join(code(lane or 'not known') for lane in test.lane)}"
