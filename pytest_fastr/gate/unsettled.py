"""Sessions that wait for the end of their test: what a test has measured that then fails is not stored."""

from __future__ import annotations

from collections.abc import Callable


class Unsettled:
    """The sessions of the test that runs. ``stored``: how many were stored until now."""

    def __init__(self) -> None:
        self._waiting: list[Callable[[], object]] = []
        self.stored = 0

    def add(self, store: Callable[[], object]) -> None:
        """Remembers what stores a session, for the end of the test."""
        self._waiting.append(store)

    def settle(self, passed: bool) -> None:
        """The test is over: stores what it measured if it passed. Raises BaselineError."""
        waiting, self._waiting = self._waiting, []
        for store in waiting if passed else ():
            store()
            self.stored += 1
