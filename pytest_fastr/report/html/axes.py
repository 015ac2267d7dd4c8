"""From values to places on a plot, and the round values that are written beside it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

SPREAD_FOR_LOG = 8.0
"""From this ratio of the largest to the smallest value on, an axis is logarithmic."""


@dataclass(frozen=True, slots=True)
class Axis:
    """Maps ``low`` to ``start`` and ``high`` to ``end``; what lies outside lands on the nearer end."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def at(self, value: float) -> float:
        """The value's place."""
        low, high, value = (self._scaled(one) for one in (self.low, self.high, value))
        share = (value - low) / (high - low) if high > low else 0.5
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)

    def ticks(self, most: int = 5) -> list[float]:
        """Round values within the axis."""
        found = log_ticks(self.low, self.high) if self.is_log else []
        if len(found) < 3:
            found = linear_ticks(self.low, self.high, most)
        return found

    def _scaled(self, value: float) -> float:
        return math.log(max(value, 1e-12)) if self.is_log else value


def axis_for(values: Iterable[float], start: float, end: float, from_zero: bool = False) -> Axis:
    """An axis on which all values have room; logarithmic where they differ by much and are all positive."""
    finite = [value for value in values if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    if low > 0 and high / low >= SPREAD_FOR_LOG:
        return Axis(low / 1.15, high * 1.15, start, end, is_log=True)
    if from_zero and low >= 0:
        return Axis(0.0, high * 1.08 or 1.0, start, end)
    margin = (high - low) * 0.12 or abs(high) * 0.05 or 1.0
    return Axis(low - margin, high + margin, start, end)


def linear_ticks(low: float, high: float, most: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten, at most so many."""
    if not high > low:
        return [low]
    rough = (high - low) / max(most, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step for factor in (1, 2, 5, 10, 20) if (step := factor * power) >= rough)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten, or the powers alone where those would be too many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    fine = [factor * 10.0**power for power in powers for factor in (1, 2, 5) if low <= factor * 10.0**power <= high]
    return fine if len(fine) <= 6 else [one for one in fine if round(math.log10(one), 9).is_integer()]
