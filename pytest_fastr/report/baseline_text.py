"""Stored baselines, what differs between two states of them, and what became of them, for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pytest_fastr.gate.baseline_diff import ProfileDiff, TestDiff
from pytest_fastr.gate.levels import Level, LevelChange, levels_of
from pytest_fastr.gate.merge import Imported, Merged
from pytest_fastr.gate.prune import Removal
from pytest_fastr.gate.snapshot import ProfileSnapshot
from pytest_fastr.gate.stored_test import Era, StoredTest
from pytest_fastr.report.quantity import interval_text, percent_text, printable, value_text

_GAP = "  "
_COMMIT_DIGITS = 12


def counted(number: int, noun: str) -> str:
    """``1 session``, ``3 sessions``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def show_text(profiles: Sequence[ProfileSnapshot], here: str, tests: Mapping[str, Sequence[str]], width: int) -> str:
    """The profiles, and of each the tests named for its slug. ``here``: this machine's profile; ``width``: columns."""
    return "\n".join(line for profile in profiles for line in _profile(profile, here, tests[profile.slug], width))


def diff_text(diffs: Sequence[ProfileDiff], width: int) -> str:
    """What differs, or that nothing does."""
    if not diffs:
        return "nothing differs"
    return "\n".join(line for diff in diffs for line in _diff(diff, width))


def import_text(imports: Sequence[Imported], width: int) -> str:
    """What was brought, and why the rest was not."""
    return "\n".join(line for one in imports for line in _imported(one, width))


def removals_text(removals: Sequence[Removal], verb: str, width: int) -> str:
    """A line for each. ``verb``: what is or would be done with them."""
    lines = []
    for one in removals:
        what = f"profile {one.profile.slug}" if one.nodeid is None else f"{one.nodeid} of {one.profile.slug}"
        lines += _wrapped(f"{verb} {what}: {one.why}", width)
    return "\n".join(lines)


def sessions_words(diff: TestDiff) -> str:
    """``added, 3 sessions``, ``2 sessions more``, ``1 session more, 4 dropped``."""
    if diff.kind != "changed":
        return f"{diff.kind}, {counted(diff.came or diff.went, 'session')}"
    parts = [f"{counted(diff.came, 'session')} more"] if diff.came else []
    parts += [f"{counted(diff.went, 'session') if not parts else diff.went} dropped"] if diff.went else []
    return ", ".join(parts) or "the same sessions"


def era_words(era: Era) -> str:
    """``since 2026-01-31 at commit 3f2a9c1: sorted results``."""
    return f"since {era.since[:10]}{_commit(era.commit)}: {era.reason or 'no reason given'}"


def _profile(profile: ProfileSnapshot, here: str, tests: Sequence[str], width: int) -> Iterator[str]:
    yield printable(f"profile {profile.slug}") + (" (this machine)" if profile.slug == here else "")
    if profile.profile is not None:
        key = profile.profile.key
        cores = counted(key.cores, "core")
        words = (key.cpu_model, cores, key.architecture, key.system, f"{key.implementation} {key.python}")
        yield from _wrapped(", ".join(words), width, _GAP)
    if profile.void:
        yield from _wrapped(f"void: {profile.void}; nothing is compared with it", width, _GAP)
    if profile.equals.sessions:
        red = profile.equals.red_builds
        yield f"  {counted(profile.equals.builds, 'session')} of --perf-aa, {red} of them called regressed"
    for nodeid in tests:
        yield ""
        yield printable(nodeid)
        yield from _test(profile.tests[nodeid], profile, width)
    yield ""


def _test(test: StoredTest, profile: ProfileSnapshot, width: int) -> Iterator[str]:
    first, last = test.sessions[0], test.sessions[-1]
    dates = dict.fromkeys((first.recorded[:10], last.recorded[:10]))
    about = f"{counted(len(test.sessions), 'session')}, {' to '.join(dates)}{_commit(last.commit)}; {_load(test.load)}"
    yield from _wrapped(about + (f"; lane {test.lane}" if test.lane else ""), width, _GAP)
    for era in test.eras:
        yield from _wrapped(f"era {era_words(era)}", width, _GAP)
    rows = [("metric", "level", "a further session"), *map(_level_row, levels_of(test, profile.ratios_like(test)))]
    yield from _columns(rows)


def _level_row(level: Level) -> tuple[str, ...]:
    interval = interval_text(level.low, level.high)
    return level.name, value_text(level.value, level.unit), f"{interval} %" if interval else ""


def _load(load: Mapping[str, object]) -> str:
    """The load in the order that people ask for it; what is as usual is left to JSON."""
    if "function" in load:
        return f"calls of {'an async' if load['function'] == 'async' else 'a'} function"
    words = [str(load[name]) for name in ("request",) if name in load]
    words += [f"{load['users']} users"] if "users" in load else []
    words += [f"mount {load['mount']}"] if "mount" in load else []
    words += [f"{name} {load[name]}" for name in ("rate", "workers", "body") if load.get(name) is not None]
    return ", ".join(words) or "no load"


def _diff(diff: ProfileDiff, width: int) -> Iterator[str]:
    yield printable(f"profile {diff.slug}: {diff.kind}")
    if diff.void:
        yield from _wrapped(f"void: {diff.void}; nothing is compared with it", width, _GAP)
    came, went = diff.equals
    if came or went:
        yield f"  --perf-aa: {counted(came, 'session')} more, {went} dropped"
    for test in diff.tests:
        yield from _wrapped(f"{test.nodeid}: {sessions_words(test)}", width, _GAP)
        for era in test.eras:
            yield from _wrapped(f"era {era_words(era)}", width, _GAP * 2)
        if test.load:
            yield from _wrapped(f"another load: {'; '.join(test.load)}", width, _GAP * 2)
        if test.lane is not None:
            yield f"    lane {' -> '.join(lane or 'not known' for lane in test.lane)}"
        yield from _columns([_change_row(level) for level in test.levels], _GAP * 2)


def _change_row(level: LevelChange) -> tuple[str, ...]:
    values = [value_text(value, level.unit) for value in (level.before, level.after) if value is not None]
    change = "" if level.change is None else percent_text(level.change)
    return level.name, " -> ".join(values), change, interval_text(level.low, level.high)


def _imported(one: Imported, width: int) -> Iterator[str]:
    yield printable(f"profile {one.slug}")
    if one.void:
        yield from _wrapped(f"not imported: {one.void}", width, _GAP)
    if one.equals:
        yield f"  --perf-aa: {counted(one.equals, 'session')} imported"
    for nodeid, merged in one.tests:
        yield from _wrapped(f"{nodeid}: {', '.join(_merged(merged))}", width, _GAP)
        for note in merged.notes:
            yield from _wrapped(note, width, _GAP * 2)


def _merged(merged: Merged) -> Iterator[str]:
    if merged.came:
        yield f"{counted(merged.came, 'session')} imported"
    else:
        yield "nothing imported" if merged.left_out else "nothing that is not here"
    if merged.left_out:
        yield f"{merged.left_out} left out"
    if merged.went:
        yield f"{merged.went} of here dropped"


def _commit(commit: str | None) -> str:
    return f" at commit {commit[:_COMMIT_DIGITS]}" if commit else ""


def _columns(rows: Iterable[Sequence[str]], indent: str = _GAP) -> Iterator[str]:
    shown = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        yield indent + _GAP.join(f"{cell:<{size}}" for cell, size in zip(row, widths, strict=True)).rstrip()


def _wrapped(text: str, width: int, indent: str = "") -> list[str]:
    return textwrap.wrap(
        printable(text), max(width, 20), initial_indent=indent, subsequent_indent=indent + _GAP,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
