"""What comparisons of equals have shown, for a terminal. Values in, text out."""

from __future__ import annotations

import math
from collections.abc import Callable

from pytest_fastr.gate.equals import Equals
from pytest_fastr.report.quantity import share_text

CONFIDENCE = 0.95


def equals_text(equals: Equals) -> str:
    """A sentence for the builds and one for the floors."""
    builds, red = equals.builds, equals.red_builds
    if not builds:
        return "nothing was compared with itself"
    low, high = rate_interval(red, builds)
    floors = ", ".join(f"{metric} {share_text(math.expm1(sd))}" for metric, (sd, _) in sorted(equals.floors().items()))
    return (
        f"compared with themselves: {red} of {builds} builds with a false alarm (95 % interval {share_text(low)} to "
        f"{share_text(high)}); between runs of equals, beyond what their intervals say: {floors}"
    )


def rate_interval(hits: int, trials: int) -> tuple[float, float]:
    """Clopper and Pearson's exact 95 % interval of a rate, by bisection of the binomial distribution."""
    tail = (1 - CONFIDENCE) / 2
    low = 0.0 if hits == 0 else _solve(lambda rate: _at_least(hits, trials, rate) < tail)
    high = 1.0 if hits == trials else _solve(lambda rate: 1 - _at_least(hits + 1, trials, rate) > tail)
    return low, high


def _at_least(hits: int, trials: int, rate: float) -> float:
    return math.fsum(math.comb(trials, k) * rate**k * (1 - rate) ** (trials - k) for k in range(hits, trials + 1))


def _solve(is_below: Callable[[float], bool]) -> float:
    """The rate up to which it holds."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if is_below(middle) else (low, middle)
    return (low + high) / 2
