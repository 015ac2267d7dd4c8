"""How long the report waits for GitHub: a deadline for all of it, and growing pauses in between."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

TOTAL_S = 180.0
"""All that a build may lose to a GitHub that is slow or down."""
_FIRST_S = 1.0
_MOST_S = 30.0


@dataclass(slots=True)
class Patience:
    """Counts the pauses down. Clock, sleep and chance can be replaced, so that tests need not wait."""

    total_s: float = TOTAL_S
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    """Seconds since 1970, which is what GitHub counts in."""
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random
    _deadline: float = field(init=False)

    def __post_init__(self) -> None:
        self._deadline = self.clock() + self.total_s

    @property
    def left_s(self) -> float:
        """What is left of the time."""
        return self._deadline - self.clock()

    def backed_off(self, attempt: int) -> float:
        """The pause after so many failed attempts: twice the last one, and not the same for all builds at once."""
        longest = min(_MOST_S, _FIRST_S * 2.0 ** (attempt - 1))
        return longest * (0.5 + 0.5 * self.chance())

    def pause(self, seconds: float) -> bool:
        """Waits. False, at once, where that would be longer than what is left."""
        if seconds >= self.left_s:
            return False
        self.sleep(seconds)
        return True
