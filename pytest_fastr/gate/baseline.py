"""Stored baselines: what was measured before on this hardware, as files a person can review.

One folder a hardware profile, one JSON file a test module, sorted keys, so that a diff shows what changed. A
session keeps, per metric, the log ratio of the app to the bundled reference app; the last sessions are kept,
because their spread is what a new one is judged by. A file that cannot be understood is an error and never
"no baseline".
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import Path

from pytest_fastr.errors import BaselineError
from pytest_fastr.gate.baseline_file import session_document, session_of
from pytest_fastr.gate.profile import HardwareProfile
from pytest_fastr.gate.profile_folder import ProfileFolder
from pytest_fastr.gate.stored_test import MAX_ERAS, MAX_SESSIONS, Era, StoredSession, StoredTest, canonical


class Appended(str, Enum):
    """What appending a session did."""

    FIRST = "first"
    """The test had no baseline."""
    ADDED = "added"
    """The session joined those before it."""
    RESTARTED = "restarted"
    """The load differs from the stored one, or an era began: the sessions before were dropped."""


class BaselineStore:
    """The baselines of one hardware profile below `root`. Safe for several writing processes."""

    def __init__(self, root: Path, profile: HardwareProfile) -> None:
        self.folder = root / profile.slug
        self._files = ProfileFolder(self.folder)
        self._profile = profile

    def load(self, nodeid: str) -> StoredTest | None:
        """What is stored for the test; None when nothing is."""
        return self._files.read(self.path_of(nodeid)).get(nodeid)

    def history(self, metric: str, functions: bool = False) -> list[list[float]]:
        """The log ratios of a metric, one list a test of the profile: what its pooled spread comes from. ``functions``:
        of tests that measure a function of the tests' own process, which differ otherwise than servers do."""
        found = [test for path in self._files.files() for test in self._files.read(path).values()]
        tests = [test for test in found if ("function" in test.load) is functions]
        ratios = (
            [session.metrics[metric].log_ratio for session in test.sessions if metric in session.metrics]
            for test in tests
        )
        return [values for values in ratios if values]

    def append(
        self,
        nodeid: str,
        load: Mapping[str, object],
        session: StoredSession,
        era: Era | None = None,
        lane: str | None = None,
    ) -> Appended:
        """Adds a session to the test's, dropping the oldest beyond `MAX_SESSIONS`, or all where an era begins. What was
        known of its lane stays as it is without a `lane`."""
        added = _rounded(session, nodeid)
        stored_load = canonical(load, f"the load of {nodeid}")
        done = Appended.FIRST

        def add(tests: dict[str, StoredTest]) -> None:
            nonlocal done
            before = tests.get(nodeid)
            comparable = before is not None and before.has_load(load)
            kept = before.sessions if before is not None and comparable and era is None else ()
            known_lane = lane or (before.lane if before is not None and comparable else None)
            eras = (*(before.eras if before is not None else ()), *([era] if era is not None else []))
            tests[nodeid] = StoredTest(stored_load, (*kept, added)[-MAX_SESSIONS:], eras[-MAX_ERAS:], known_lane)
            if before is not None:
                done = Appended.ADDED if kept else Appended.RESTARTED

        self._files.change(self.path_of(nodeid), add, self._profile)
        return done

    def path_of(self, nodeid: str) -> Path:
        """The file of the test's module."""
        return self._files.path_of(nodeid)


def _rounded(session: StoredSession, nodeid: str) -> StoredSession:
    """The session as it comes back from its file, checked by what will read it."""
    what = f"the session of {nodeid}"
    try:
        return session_of(canonical(session_document(session), what), what)
    except ValueError as error:
        raise BaselineError(f"{error}; nothing was written") from error
