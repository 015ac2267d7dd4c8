"""What differs between two states of stored baselines. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_fastr.gate.levels import LevelChange, change_between, metrics_of
from pytest_fastr.gate.snapshot import ProfileSnapshot
from pytest_fastr.gate.stored_test import Era, StoredTest

Kind = Literal["added", "removed", "changed"]


@dataclass(frozen=True, slots=True)
class TestDiff:
    """One test: sessions that came and went, eras that began, what differs in its load, and how its levels moved."""

    __test__ = False  # pytest collects classes by the name Test*

    nodeid: str
    kind: Kind
    came: int = 0
    went: int = 0
    eras: tuple[Era, ...] = ()
    load: tuple[str, ...] = ()
    """What differs, in words; then levels are not compared."""
    lane: tuple[str | None, str | None] | None = None
    levels: tuple[LevelChange, ...] = ()


@dataclass(frozen=True, slots=True)
class ProfileDiff:
    """One hardware profile."""

    slug: str
    kind: Kind
    tests: tuple[TestDiff, ...] = ()
    equals: tuple[int, int] = (0, 0)
    """Sessions of ``--perf-aa`` that came and went."""
    void: str = ""
    """Why it is not compared."""


def diff_of(before: Sequence[ProfileSnapshot], after: Sequence[ProfileSnapshot]) -> tuple[ProfileDiff, ...]:
    """The profiles in which anything differs, by name."""
    a, b = ({one.slug: one for one in side} for side in (before, after))
    compared = [_profile(a.get(slug), b.get(slug)) for slug in sorted(a.keys() | b.keys())]
    return tuple(one for one in compared if one is not None)


def load_differences(before: Mapping[str, object], after: Mapping[str, object]) -> tuple[str, ...]:
    """``users was 4 and is 7``, for each key."""
    return tuple(
        f"{key} was {before.get(key)!r} and is {after.get(key)!r}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    )


def _profile(a: ProfileSnapshot | None, b: ProfileSnapshot | None) -> ProfileDiff | None:
    one = b or a
    assert one is not None
    kind: Kind = "added" if a is None else "removed" if b is None else "changed"
    void = one.void or (a.void if a is not None else "")
    if void:
        return ProfileDiff(one.slug, kind, void=void) if kind != "changed" else None
    before, after = (side.tests if side is not None else {} for side in (a, b))
    tests = tuple(
        test
        for nodeid in sorted(before.keys() | after.keys())
        if (test := _test(nodeid, before.get(nodeid), after.get(nodeid), one)) is not None
    )
    left, right = (side.equals.sessions if side is not None else () for side in (a, b))
    equals = (sum(one not in left for one in right), sum(one not in right for one in left))
    return ProfileDiff(one.slug, kind, tests, equals) if kind != "changed" or tests or any(equals) else None


def _test(nodeid: str, a: StoredTest | None, b: StoredTest | None, profile: ProfileSnapshot) -> TestDiff | None:
    if a == b:
        return None
    if a is None or b is None:
        one = b or a
        assert one is not None
        levels = tuple(_alone(name, one, is_added=a is None) for name in metrics_of(one))
        if a is None:
            return TestDiff(nodeid, "added", came=len(one.sessions), eras=one.eras, levels=levels)
        return TestDiff(nodeid, "removed", went=len(one.sessions), levels=levels)
    return TestDiff(
        nodeid,
        "changed",
        came=sum(one not in a.sessions for one in b.sessions),
        went=sum(one not in b.sessions for one in a.sessions),
        eras=tuple(era for era in b.eras if era not in a.eras),
        load=() if a.has_load(b.load) else load_differences(a.load, b.load),
        lane=None if a.lane == b.lane else (a.lane, b.lane),
        levels=tuple(change_between(name, a, b, profile.ratios_like(b)) for name in metrics_of(a, b)),
    )


def _alone(name: str, test: StoredTest, *, is_added: bool) -> LevelChange:
    alone = change_between(name, test, test, lambda _: ())
    return LevelChange(name, alone.unit, None, alone.after) if is_added else LevelChange(
        name, alone.unit, alone.before, None
    )  # fmt: skip
