"""Brings stored sessions of elsewhere together with those that are here. Pure, but for `import_profiles`.

A side's sessions are all of its last era. Sides with the same last era, or none, have the same level and are united. Of
two different eras the newer one's level counts; a session that was stored without knowing of it is of another level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from pytest_fastr.errors import BaselineError
from pytest_fastr.gate.baseline_diff import load_differences
from pytest_fastr.gate.equals import EqualsStore
from pytest_fastr.gate.profile_folder import PROFILE_FILE, ProfileFolder
from pytest_fastr.gate.snapshot import ProfileSnapshot
from pytest_fastr.gate.stored_test import MAX_ERAS, MAX_SESSIONS, Era, StoredSession, StoredTest

_CLOCKS_DIFFER = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Merged:
    """What became of one test. ``test``: what is to be stored."""

    test: StoredTest
    came: int = 0
    """Sessions that were brought."""
    left_out: int = 0
    """Sessions of the other side that were not brought, though they are not here."""
    went: int = 0
    """Sessions of here that were dropped."""
    notes: tuple[str, ...] = ()
    """Why, in words."""
    conflict: bool = False
    """The two could not be brought together, and what is here stays."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of one profile: by node id, and how many sessions of ``--perf-aa`` came."""

    slug: str
    tests: tuple[tuple[str, Merged], ...] = ()
    equals: int = 0
    void: str = ""
    """Why nothing of it was brought."""

    @property
    def is_complete(self) -> bool:
        """Whether all of it could be brought together with what is here."""
        return not self.void and not any(merged.conflict for _, merged in self.tests)


def merge_tests(ours: StoredTest | None, theirs: StoredTest) -> Merged:
    """Theirs brought to ours."""
    if ours is None:
        return _united(StoredTest(theirs.load, (), theirs.eras, theirs.lane), theirs)
    if not ours.has_load(theirs.load):
        why = "; ".join(load_differences(ours.load, theirs.load))
        new = sum(one not in ours.sessions for one in theirs.sessions)
        note = f"recorded under another load ({why}): what is here stays"
        return Merged(ours, left_out=new, notes=(note,), conflict=True)
    if _last(ours) == _last(theirs):
        return _united(ours, theirs)
    # Eras that here are none begin before any.
    is_theirs_newer = _since(theirs) > _since(ours)
    newer, older = (theirs, ours) if is_theirs_newer else (ours, theirs)
    notes = [f"{'theirs' if is_theirs_newer else 'ours'} is of a newer era ({_words(newer)}), which alone counts"]
    if _last(older) is not None and _last(older) not in newer.eras:
        notes.append(
            f"the other side's era ({_words(older)}) began without it: where the code now has both changes, measure "
            "anew with `pytest-fastr baseline update`"
        )
    eras = _eras(ours, theirs)
    if is_theirs_newer:
        merged = _united(StoredTest(ours.load, (), eras, theirs.lane or ours.lane), theirs)
        return Merged(merged.test, merged.came, merged.left_out, len(ours.sessions), tuple(notes))
    left_out = sum(one not in ours.sessions for one in theirs.sessions)
    return Merged(StoredTest(ours.load, ours.sessions, eras, ours.lane), 0, left_out, 0, tuple(notes))


def import_profiles(root: Path, here: Sequence[ProfileSnapshot], found: Sequence[ProfileSnapshot]) -> list[Imported]:
    """Merges all of them into the baselines folder ``root``, of which ``here`` is known to be readable.

    Raises BaselineError; what is there then is as it was, test by test.
    """
    voids = {one.slug: one.void for one in here if one.void}
    for profile in found:
        _refuse_wrong_dates(profile)
    return [_import(root, profile, profile.void or voids.get(profile.slug, "")) for profile in found]


def moment(text: str, what: str) -> datetime:
    """The date that a file holds. Raises BaselineError, which calls it ``what``."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise BaselineError(f"{what} was recorded at {text!r}, which is no date with a time zone; mend or remove it")
    return found


def _import(root: Path, profile: ProfileSnapshot, void: str) -> Imported:
    if void:
        return Imported(profile.slug, void=void)
    folder = ProfileFolder(root / profile.slug)
    done: dict[str, Merged] = {}
    for path in sorted({folder.path_of(nodeid) for nodeid in profile.tests}):
        theirs = {nodeid: test for nodeid, test in profile.tests.items() if folder.path_of(nodeid) == path}

        def edit(tests: dict[str, StoredTest], theirs: dict[str, StoredTest] = theirs) -> None:
            for nodeid, test in theirs.items():
                done[nodeid] = merge_tests(tests.get(nodeid), test)
                tests[nodeid] = done[nodeid].test

        is_known = (folder.folder / PROFILE_FILE).exists()
        folder.change(path, edit, None if is_known else profile.profile)
    equals = EqualsStore(folder.folder).merge(profile.equals.sessions) if profile.equals.sessions else 0
    return Imported(profile.slug, tuple(sorted(done.items())), equals)


def _united(ours: StoredTest, theirs: StoredTest) -> Merged:
    """Both, by date, without what is older than the era. The lane is the newest session's."""
    since = _since(theirs if ours.sessions == () else ours)
    new = [one for one in theirs.sessions if one not in ours.sessions]
    fitting = [one for one in new if _date(one) >= since]
    # What is here keeps its place among what was recorded within the same second.
    everything = sorted([*ours.sessions, *fitting], key=_date)
    kept = everything[-MAX_SESSIONS:]
    came = sum(one in kept for one in fitting)
    notes = []
    if len(fitting) < len(new):
        notes.append(f"{len(new) - len(fitting)} older than the era ({_words(theirs)})")
    if came < len(fitting):
        notes.append(f"{len(fitting) - came} older than the {MAX_SESSIONS} that are kept")
    lane = theirs.lane if fitting and kept[-1] is fitting[-1] else ours.lane
    went = sum(one not in kept for one in ours.sessions)
    if not kept:
        # A file in which all sessions are older than their era was not written by this program.
        raise BaselineError(f"all sessions are older than their own era ({_words(theirs)}); mend or remove them")
    test = StoredTest(ours.load, tuple(kept), _eras(ours, theirs), lane or ours.lane or theirs.lane)
    return Merged(test, came, len(new) - came, went, tuple(notes))


def _eras(ours: StoredTest, theirs: StoredTest) -> tuple[Era, ...]:
    both = {*ours.eras, *theirs.eras}
    return tuple(sorted(both, key=lambda era: (moment(era.since, "an era"), era.reason))[-MAX_ERAS:])


def _last(test: StoredTest) -> Era | None:
    return test.eras[-1] if test.eras else None


def _since(test: StoredTest) -> datetime:
    last = _last(test)
    return datetime.min.replace(tzinfo=timezone.utc) if last is None else moment(last.since, "an era")


def _words(test: StoredTest) -> str:
    last = _last(test)
    return "none" if last is None else f"since {last.since}: {last.reason}"


def _date(session: StoredSession) -> datetime:
    return moment(session.recorded, "a session")


def _refuse_wrong_dates(profile: ProfileSnapshot) -> None:
    """Refuses dates that are none, or to come: they would rule over all that is measured until then."""
    latest = datetime.now(timezone.utc) + _CLOCKS_DIFFER
    eras = [era.since for test in profile.tests.values() for era in test.eras]
    for text in (*profile.recorded, *eras):
        if moment(text, f"a session or era in {profile.where}") > latest:
            raise BaselineError(f"{profile.where} has a session or era of {text!r}, which is to come; mend its date")
