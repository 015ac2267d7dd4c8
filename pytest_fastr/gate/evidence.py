"""What a verdict rests on, for those who draw it: curves, epochs, stored sessions. Plain, frozen values.

A is the baseline's (or the reference application's) side, B the candidate's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_fastr.gate.where import Growth


@dataclass(frozen=True, slots=True)
class Work:
    """What one side did in a stretch of time."""

    requests: int
    wall_ns: int
    cpu_ns: int

    @property
    def rps(self) -> float | None:
        """Requests a second. None: nothing was done."""
        return self.requests * 1e9 / self.wall_ns if self.requests and self.wall_ns else None

    @property
    def cpu_us(self) -> float | None:
        """CPU microseconds a request. None: nothing was done, or the system does not tell."""
        return self.cpu_ns / 1000 / self.requests if self.requests and self.cpu_ns else None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some consecutive blocks of an epoch, added up."""

    blocks: int
    a: Work
    b: Work


@dataclass(frozen=True, slots=True)
class Ratio:
    """A log ratio of B to A and its standard error."""

    log_ratio: float
    se: float


@dataclass(frozen=True, slots=True)
class EpochEvidence:
    """One pair of processes: its chunks in the order in which they were measured, and per cost what they come to."""

    chunks: tuple[Chunk, ...]
    ratios: Mapping[str, Ratio] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Curve:
    """Response times of one side: pairs of a share and the microseconds that this share kept."""

    answers: int
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Rounds:
    """How long rounds took: pairs of seconds a call and how many rounds took so long, shortest first. A round is so
    many calls; of requests it is one."""

    counts: tuple[tuple[float, int], ...]
    calls: int = 1


@dataclass(frozen=True, slots=True)
class SessionPoint:
    """One stored session: when, at which commit, and its log ratios to the reference application."""

    recorded: str
    commit: str | None
    ratios: Mapping[str, Ratio]


@dataclass(frozen=True, slots=True)
class History:
    """The stored sessions, oldest first, what this session adds to them, and when another level was accepted: since
    when, and why."""

    sessions: tuple[SessionPoint, ...]
    now: Mapping[str, Ratio]
    eras: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is behind one test's verdict."""

    a_title: str
    b_title: str
    epochs: tuple[EpochEvidence, ...]
    curves: tuple[Curve, Curve]
    rounds: Rounds = Rounds(())
    """The candidate's: response times of the user's closed loop, or those of a function's rounds."""
    unchanged: Mapping[str, float] = field(default_factory=dict)
    """Per metric the log ratio of B to A at which nothing would have changed. Not there: nothing to compare with."""
    history: History | None = None
    """None: not compared with stored sessions."""
    growths: tuple[Growth, ...] = ()
