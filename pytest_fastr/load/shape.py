"""Load shapes: users who wait for answers, or a rate that does not; and how precisely a value is to be known."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from pytest_fastr import _native
from pytest_fastr.errors import LoadError
from pytest_fastr.keys import parse_duration


@dataclass(frozen=True, slots=True)
class Stage:
    """A straight line to ``target`` over ``duration_s`` seconds."""

    duration_s: float
    target: float


@dataclass(frozen=True, slots=True)
class Closed:
    """``users`` send, wait for the answer, think between ``think_s`` seconds, and send again.

    With ``stages`` the number of users starts at 0 and follows them; ``users`` is then the most there can be.
    """

    users: int
    think_s: tuple[float, float] | None = None
    stages: tuple[Stage, ...] = ()

    def native(self) -> _native.Pacing:
        """For the generator."""
        users = (0.0, _pairs(self.stages)) if self.stages else None
        return _native.Pacing.closed(users=users, think=self.think_s)

    def __str__(self) -> str:
        think = "" if self.think_s is None else f", thinking {self.think_s[0]:g} to {self.think_s[1]:g} s"
        users = f"{self.users:,} user{'s' if self.users > 1 else ''}"
        return f"closed loop, {'up to ' if self.stages else ''}{users}{think}"


@dataclass(frozen=True, slots=True)
class Open:
    """``rate`` requests a second are due, whatever becomes of them, on up to ``connections`` connections.

    With ``stages`` the rate starts at ``rate`` and follows them. ``most_queued``: beyond so many that are due and
    unsent, requests are dropped and counted; None: never.
    """

    rate: float
    connections: int
    poisson: bool = False
    stages: tuple[Stage, ...] = ()
    most_queued: int | None = None

    def native(self) -> _native.Pacing:
        """For the generator."""
        return _native.Pacing.open((self.rate, _pairs(self.stages)), poisson=self.poisson, most_queued=self.most_queued)

    def __str__(self) -> str:
        kind = "Poisson arrivals" if self.poisson else "arrivals"
        if self.stages:
            rate = " to ".join(f"{value:,.7g}" for value in (self.rate, *(stage.target for stage in self.stages)))
            kind = f"{kind} ramping from {rate}"
        else:
            kind = f"{kind} at {self.rate:,.7g}" if self.poisson else f"constant {kind} at {self.rate:,.7g}"
        return f"open loop, {kind} a second, up to {self.connections:,} connections"


Shape = Closed | Open


@dataclass(frozen=True, slots=True)
class Precision:
    """Ends a run as soon as a value is known to ``within`` (a share: half the width of its 95 % interval).

    ``quantile`` (0 to 1) of the response times, or None for the throughput.
    """

    quantile: float | None
    within: float

    def __str__(self) -> str:
        value = "throughput" if self.quantile is None else f"p{self.quantile * 100:g}"
        return f"{value} known to {self.within:.1%}"


HIGHEST_RATE = 1_000_000.0
"""More requests a second than any generator sends from one thread."""


def closed_loop(users: int, think_s: tuple[float, float] | None, stages: tuple[Stage, ...]) -> Closed:
    """Users of a closed loop: so many, or as many as the stages have at most."""
    most = max((math.ceil(stage.target) for stage in stages), default=users)
    return Closed(max(1, most), think_s, stages)


def check_rate(rate: float, stages: tuple[Stage, ...], what: str) -> float:
    """The rate that an open loop starts with. Raises LoadError where there is nothing to send, or too much."""
    if not 0 <= rate <= HIGHEST_RATE or (rate == 0 and not stages):
        raise LoadError(f"{what} {rate:g}: must be above 0 and at most {HIGHEST_RATE:,.0f}")
    for stage in stages:
        if stage.target > HIGHEST_RATE:
            raise LoadError(f"{what}: a stage's {stage.target:g} is more than {HIGHEST_RATE:,.0f}")
    return rate


def parse_pause(given: str | float, what: str) -> tuple[float, float]:
    """The least and the most seconds of a pause: ``"100ms"``, ``"1s-3s"``, or a number of seconds."""
    low, dash, high = given.partition("-") if isinstance(given, str) else (given, "", "")
    shortest = parse_duration(low.strip() if isinstance(low, str) else low, what)
    longest = parse_duration(high.strip(), what) if dash else shortest
    if longest < shortest:
        raise LoadError(f"{what} {given!r}: the first time is longer than the second")
    return shortest, longest


def parse_stages(text: str) -> tuple[Stage, ...]:
    """Stages from ``"10s:100,1m:500,5s:0"``: how long, and to what. Raises LoadError naming the part."""
    stages = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*([^:]+):\s*(\d+(?:\.\d+)?)\s*", part, re.ASCII)
        if match is None:
            raise LoadError(f"stage {part.strip()!r}: write TIME:TARGET, such as 30s:200")
        stages.append(Stage(parse_duration(match[1].strip(), f"the time of stage {part.strip()!r}"), float(match[2])))
    return tuple(stages)


def _pairs(stages: tuple[Stage, ...]) -> list[tuple[float, float]]:
    return [(stage.duration_s, stage.target) for stage in stages]
