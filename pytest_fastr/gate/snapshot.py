"""All baselines of one place at one moment: a folder, a zip file, a git ref (`snapshot_files` reads those)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath

from pytest_fastr.errors import BaselineError
from pytest_fastr.gate.baseline_file import corrupt, read_tests
from pytest_fastr.gate.equals import Equals, read_equals
from pytest_fastr.gate.profile import HardwareProfile
from pytest_fastr.gate.profile_file import read_profile
from pytest_fastr.gate.profile_folder import EQUALS_FILE, OTHER_FILES, PROFILE_FILE
from pytest_fastr.gate.stored_test import StoredTest

_SLUG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,200}-[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A JSON file below the place: its path from there, how messages call it, and what is in it."""

    path: PurePosixPath
    where: str
    data: bytes


@dataclass(frozen=True, slots=True)
class ProfileSnapshot:
    """What is stored for one hardware profile. What is void or damaged has no tests."""

    slug: str
    where: str
    """How messages call the folder."""
    profile: HardwareProfile | None = None
    """None: the folder does not say, or not in a way that this version knows."""
    tests: Mapping[str, StoredTest] = field(default_factory=dict)
    equals: Equals = field(default_factory=Equals)
    void: str = ""
    """Why nothing is compared with it: it was measured by another protocol."""
    damaged: tuple[str, ...] = ()
    """What could not be read, a sentence a file."""

    def ratios(self, metric: str, functions: bool = False) -> list[list[float]]:
        """The log ratios of a metric, one list a test: what its spread is learned from. ``functions``: of tests that
        measure a function of the tests' own process, which differ otherwise than servers do."""
        found = (
            [one.metrics[metric].log_ratio for one in test.sessions if metric in one.metrics]
            for test in self.tests.values()
            if ("function" in test.load) is functions
        )
        return [values for values in found if values]

    def ratios_like(self, test: StoredTest) -> Callable[[str], list[list[float]]]:
        """`ratios` of tests that measure what this one does: requests, or a function."""
        return partial(self.ratios, functions="function" in test.load)

    @property
    def recorded(self) -> list[str]:
        """When each of its sessions was recorded, those of equals among them."""
        stored = [one.recorded for test in self.tests.values() for one in test.sessions]
        return [*stored, *(one.recorded for one in self.equals.sessions)]


def read_snapshots(files: Iterable[FoundFile], *, forgiving: bool = False) -> tuple[ProfileSnapshot, ...]:
    """The profiles among the files, by name. A folder counts as one's if it says so, or is called like one.

    Raises BaselineError for what cannot be understood; ``forgiving``: says it in the snapshot instead.
    """
    folders: dict[PurePosixPath, list[FoundFile]] = {}
    for file in files:
        folders.setdefault(file.path.parent, []).append(file)
    found = []
    for folder, members in folders.items():
        if any(file.path.name in OTHER_FILES for file in members) or _SLUG.fullmatch(folder.name):
            found.append(_read_folder(folder.name, members, forgiving))
    return tuple(sorted(found, key=lambda one: one.slug))


def _read_folder(name: str, files: list[FoundFile], forgiving: bool) -> ProfileSnapshot:
    where = files[0].where.removesuffix(files[0].path.name).rstrip("/") or "it"
    profile: HardwareProfile | None = None
    tests: dict[str, StoredTest] = {}
    equals = Equals()
    damaged: list[str] = []
    own = next((file for file in files if file.path.name == PROFILE_FILE), None)
    for file in [*([own] if own is not None else []), *(file for file in files if file is not own)]:
        try:
            text = _text(file)
            if file is own:
                read = read_profile(text, file.where)
                if isinstance(read, str):
                    return ProfileSnapshot(name or "an unnamed profile", where, void=read)
                if name not in ("", read.slug):
                    raise BaselineError(f"{file.where} is the profile of {read.slug}, and lies in another's folder")
                profile = read
            elif file.path.name == EQUALS_FILE:
                equals = read_equals(text, file.where)
            else:
                tests.update(read_tests(text, file.where))
        except BaselineError as error:
            if not forgiving:
                raise
            damaged.append(str(error))
    if tests and own is None and not forgiving:
        raise BaselineError(f"{where} has no {PROFILE_FILE}, so whose numbers these are is not known; restore it")
    slug = profile.slug if profile is not None else name
    if not _SLUG.fullmatch(slug) and not forgiving:
        raise BaselineError(f"{where} is called {slug!r}, which is the name of no hardware profile; restore it")
    return ProfileSnapshot(slug, where, profile, tests, equals, damaged=tuple(damaged))


def _text(file: FoundFile) -> str:
    try:
        return file.data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise corrupt(file.where, "it is not UTF-8") from error
