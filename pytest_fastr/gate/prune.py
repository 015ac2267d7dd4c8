"""Which stored baselines can go, each for a reason that somebody named, and their removal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from pytest_fastr.gate.collect import Collected
from pytest_fastr.gate.merge import moment
from pytest_fastr.gate.profile_folder import EQUALS_FILE, ProfileFolder
from pytest_fastr.gate.snapshot import ProfileSnapshot, read_snapshots
from pytest_fastr.gate.snapshot_files import own_files
from pytest_fastr.gate.stored_test import StoredTest


@dataclass(frozen=True, slots=True)
class Removal:
    """A profile, or one test of it, and why it can go."""

    profile: ProfileSnapshot
    nodeid: str | None
    """None: the whole profile."""
    why: str


def old_profiles(profiles: Iterable[ProfileSnapshot], age: timedelta, now: datetime) -> list[Removal]:
    """The profiles in which nothing was recorded for so long. Void ones do not say when, and stay."""
    found = []
    for profile in profiles:
        dates = [moment(text, f"a session in {profile.where}") for text in profile.recorded]
        if dates and max(dates) < now - age:
            found.append(Removal(profile, None, f"last updated {max(dates):%Y-%m-%d}"))
    return found


def void_profiles(profiles: Iterable[ProfileSnapshot]) -> list[Removal]:
    """The profiles that nothing is compared with."""
    return [Removal(profile, None, profile.void) for profile in profiles if profile.void]


def gone_tests(profiles: Iterable[ProfileSnapshot], collected: Collected) -> list[Removal]:
    """The tests that pytest does not know, where it has looked."""
    return [
        Removal(profile, nodeid, "pytest collects no such test")
        for profile in profiles
        for nodeid in sorted(profile.tests)
        if collected.is_gone(nodeid)
    ]


def remove(root: Path, removals: Sequence[Removal]) -> list[Removal]:
    """Removes them. Those that are left: somebody has updated them meanwhile. Raises BaselineError."""
    left = []
    whole = {one.profile.slug for one in removals if one.nodeid is None}
    for removal in removals:
        folder = ProfileFolder(root / removal.profile.slug)
        if removal.nodeid is None:
            if not folder.remove(unless=partial(_has_changed, root, removal.profile)):
                left.append(removal)
        elif removal.profile.slug not in whole:
            folder.change(folder.path_of(removal.nodeid), partial(_forget, removal.nodeid))
            if not folder.files() and not (folder.folder / EQUALS_FILE).exists():
                folder.remove(unless=partial(_has_tests, folder))
    return left


def _forget(nodeid: str, tests: dict[str, StoredTest]) -> None:
    tests.pop(nodeid, None)


def _has_tests(folder: ProfileFolder) -> bool:
    return bool(folder.files())


def _has_changed(root: Path, then: ProfileSnapshot) -> bool:
    profiles = read_snapshots(own_files(root), forgiving=True)
    return next((one for one in profiles if one.slug == then.slug), None) != then
