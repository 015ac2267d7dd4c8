"""The time that a session may measure, and what becomes of tests when it is short."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pytest_fastr.gate.model import ValidityNote

START_S = 0.5
"""What a pair of servers takes to start, about."""
WARM_UP_S = 0.6
"""What warming up a pair takes, about."""
OWN_RUN_S = 1.0
"""What pytest-benchmark itself takes for a function, about."""
LEAST_SHARE = 0.2
"""Load times are not cut below this share of what was asked for."""


class Budget:
    """The time that a session may measure. ``tests`` perf tests are expected; each takes about as long as those before
    it did. What else the session does (ordinary tests, building another ref) costs none of it."""

    def __init__(self, total_s: float, tests: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        self.tests = tests
        self.functions = 0
        """How many of the tests measure a function of this process, for which no servers are started."""
        self.total_s = total_s
        self._clock = clock
        self._used_s = 0.0
        self._since_s: float | None = None
        self._first_looks_s: list[float] = []

    def duration_s(self, asked_s: float, epochs: int, comparisons: int = 1) -> float:
        """The load time a side of each test that fits, at most what was asked for, at least a fifth of it."""
        served = max(self.tests - self.functions, 0 if self.functions else 1) * comparisons
        fixed = served * epochs * (START_S + WARM_UP_S) + self.functions * OWN_RUN_S
        load = (served + self.functions) * 2 * asked_s
        share = (self.total_s - fixed) / load
        return asked_s * min(1.0, max(share, LEAST_SHARE))

    @contextmanager
    def spending(self) -> Iterator[None]:
        """Counts the time inside."""
        self._since_s = self._clock()
        try:
            yield
        finally:
            self._used_s += self._clock() - self._since_s
            self._since_s = None

    def first_look(self, took_s: float) -> None:
        """A comparison had its first look, which every one gets."""
        self._first_looks_s.append(took_s)

    def allows(self, look_s: float) -> bool:
        """Whether a further look of about this time leaves the other tests their first one."""
        done = len(self._first_looks_s)
        mean = sum(self._first_looks_s) / done if done else 0.0
        running_s = 0.0 if self._since_s is None else self._clock() - self._since_s
        return self._used_s + running_s + look_s + max(self.tests - done, 0) * mean <= self.total_s


def spent_note(budget_s: float) -> ValidityNote:
    """No time was left for another look."""
    message = f"the session's budget of {budget_s:g} s left no time for another look: raise `budget` to know more"
    return ValidityNote("warn", "budget", message)


def short_note(budget_s: float, fits_s: float, asked_s: float) -> ValidityNote:
    """Less was measured than was asked for."""
    message = (
        f"the session's budget of {budget_s:g} s leaves {fits_s:.1f} s of load a side, not {asked_s:g} s: raise "
        "`budget`, or measure fewer tests"
    )
    return ValidityNote("warn", "budget", message)
