"""Searches the highest rate at which a server keeps its limits: an open loop for each step, and bisection."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from pytest_fastr.load.limits import Limit, hold, why_refused
from pytest_fastr.load.result import LoadReport

TOLERANCE = 0.05
"""The search ends when the lowest rate that broke a limit is so little above the highest that kept all."""
FIRST_SHARE = 0.5
# While only one end is known.
UP, DOWN = 2.0, 0.25
MOST_STEPS = 36
LOWEST_RATE = 1.0


@dataclass(frozen=True, slots=True)
class RateStep:
    """One rate that was tried. ``broken``: why it was not kept, in words; empty where it was."""

    rate: float
    report: LoadReport
    broken: str

    @property
    def kept(self) -> bool:
        """Whether all limits were kept at this rate."""
        return not self.broken


@dataclass(frozen=True, slots=True)
class RateSearch:
    """All rates that were tried, in their order."""

    steps: tuple[RateStep, ...]

    @property
    def highest(self) -> RateStep | None:
        """The highest rate below all that were broken for good. None: there is none."""
        ceiling = self.lowest_broken
        kept = [step for step in self.steps if step.kept and (ceiling is None or step.rate < ceiling.rate)]
        return max(kept, key=lambda step: step.rate, default=None)

    @property
    def lowest_broken(self) -> RateStep | None:
        """The lowest rate that broke a limit each time it was tried."""
        kept = {step.rate for step in self.steps if step.kept}
        broken = [
            step
            for step in self.steps
            if not step.kept and step.rate not in kept and step.report.ended_early != "stopped"
        ]
        return min(broken, key=lambda step: step.rate, default=None)

    @property
    def stopped(self) -> bool:
        """Whether it was interrupted."""
        return any(step.report.ended_early == "stopped" for step in self.steps)


def search_rate(run: Callable[[float], LoadReport], limits: tuple[Limit, ...], capacity_rps: float) -> RateSearch:
    """Tries rates by ``run`` until the highest that keeps the limits is known to :data:`TOLERANCE`.

    ``capacity_rps`` is about what the server can do at most; the first rate is half of it. A rate that breaks a limit
    is tried twice, because a neighbour of this machine may have broken it.
    """
    steps: list[RateStep] = []
    low, high = 0.0, float("inf")
    rate = _rounded(max(capacity_rps * FIRST_SHARE, LOWEST_RATE))
    while len(steps) < MOST_STEPS:
        step = _step(run, limits, rate)
        steps.append(step)
        if step.report.ended_early == "stopped":
            break
        if not step.kept:
            steps.append(step := _step(run, limits, rate))
            if step.report.ended_early == "stopped":
                break
        if step.kept:
            low = rate
        else:
            high = rate
        if high <= LOWEST_RATE or high <= low * (1 + TOLERANCE):
            break
        rate = _rounded(_next_rate(low, high))
    return RateSearch(tuple(steps))


def _next_rate(low: float, high: float) -> float:
    if high == float("inf"):
        return low * UP
    if low == 0.0:
        return max(high * DOWN, LOWEST_RATE)
    return math.sqrt(low * high)


def _rounded(rate: float) -> float:
    """To three significant digits, far below the tolerance: a rate that can be typed again."""
    return float(f"{rate:.3g}")


def _step(run: Callable[[float], LoadReport], limits: tuple[Limit, ...], rate: float) -> RateStep:
    report = run(rate)
    broken = "interrupted" if report.ended_early == "stopped" else why_broken(report, limits)
    return RateStep(rate, report, broken)


def why_broken(report: LoadReport, limits: tuple[Limit, ...]) -> str:
    """Why a rate was not kept: the run was refused, or the rate was not reached. Empty: it was kept."""
    missed = (note.message for note in report.notes if note.code in ("rate", "dropped"))
    return why_refused(report, hold(report, limits)) or next(missed, "")
