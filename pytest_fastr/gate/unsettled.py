"""Sessions that wait for the end of their test: what a test has measured that then fails is not stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pytest_fastr.gate.baseline import BaselineStore
from pytest_fastr.gate.stored_test import Era, StoredSession


@dataclass(frozen=True, slots=True)
class _Waiting:
    nodeid: str
    load: Mapping[str, object]
    session: StoredSession
    era: Era | None
    lane: str | None


class Unsettled:
    """The sessions of the test that runs. ``stored``: how many were stored until now."""

    def __init__(self, store: BaselineStore) -> None:
        self._store = store
        self._waiting: list[_Waiting] = []
        self.stored = 0

    def append(
        self,
        nodeid: str,
        load: Mapping[str, object],
        session: StoredSession,
        era: Era | None = None,
        lane: str | None = None,
    ) -> None:
        """Remembers a session for the end of the test."""
        self._waiting.append(_Waiting(nodeid, load, session, era, lane))

    def settle(self, passed: bool) -> None:
        """The test is over: stores what it measured if it passed. Raises BaselineError."""
        waiting, self._waiting = self._waiting, []
        for one in waiting if passed else ():
            self._store.append(one.nodeid, one.load, one.session, one.era, one.lane)
            self.stored += 1
