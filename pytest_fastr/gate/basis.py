"""What a test is compared with: stored sessions of the same test, or the other side of this very run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from pytest_fastr import _native
from pytest_fastr.gate.stored_test import StoredTest

Mode = Literal["paired", "stored", "equal"]
"""``paired``: another git ref, measured in the same run. ``stored``: a baseline. ``equal``: the application itself."""

# Session-to-session standard deviation of a stored log ratio until this profile's own sessions say better.
PRIOR_SPREAD = {
    "cpu": 0.03, "throughput": 0.03, "p50": 0.10, "p90": 0.10, "p99": 0.10, "memory": 0.05,
    "rate_p50": 0.15, "rate_p90": 0.20, "rate_p99": 0.30,
}  # fmt: skip
FUNCTION_SPREAD = {"cpu": 0.05, "time": 0.20}
"""The same of a function, which lives in one process: what processes differ by is between sessions alone."""


def prior_spread(load: Mapping[str, object]) -> Mapping[str, float]:
    """The one of these that holds for what was measured under this load."""
    return FUNCTION_SPREAD if "function" in load else PRIOR_SPREAD


UNKNOWN_FLOOR = (0.001, float("inf"))
"""What runs differ by beyond their own errors until ``--perf-aa`` has measured it: 0.1 %, as a log ratio's standard
deviation, and its degrees of freedom."""


class Basis(Protocol):
    """What a test is compared with."""

    @property
    def mode(self) -> Mode:
        """What kind it is."""

    @property
    def title(self) -> str:
        """How reports call it."""

    @property
    def exists(self) -> bool:
        """Whether there is anything to compare with."""

    def knows(self, metric: str) -> bool:
        """Whether it has this metric."""

    def judge(self, metric: str, now: _native.SessionEstimate, rule: _native.JudgeRule) -> _native.Judgement:
        """Judges a metric that it knows."""


@dataclass(frozen=True, slots=True)
class Stored:
    """The stored sessions of a test, and per metric the log ratios of every test of this hardware profile."""

    test: StoredTest | None
    history: Mapping[str, Sequence[Sequence[float]]] = field(default_factory=dict)
    mode: Mode = "stored"
    title: str = "the stored baseline"
    spread: Mapping[str, float] = field(default_factory=lambda: PRIOR_SPREAD)
    """What sessions differ by until the history says better."""

    @property
    def exists(self) -> bool:
        """Whether a session is stored."""
        return self.test is not None and bool(self.test.sessions)

    def knows(self, metric: str) -> bool:
        """Whether a stored session has this metric."""
        return bool(self._ratios(metric))

    def judge(self, metric: str, now: _native.SessionEstimate, rule: _native.JudgeRule) -> _native.Judgement:
        """Judges the session as one more of those that are stored."""
        history = self.history.get(metric, ())
        return _native.judge_against_sessions(now, self._ratios(metric), history, self.spread[metric], rule)

    def _ratios(self, metric: str) -> list[tuple[float, float]]:
        """The log ratios of the stored sessions (robust centre, totals), oldest first."""
        sessions = () if self.test is None else self.test.sessions
        found = [one.metrics[metric] for one in sessions if metric in one.metrics]
        return [(one.log_ratio, one.totals_log_ratio) for one in found]


@dataclass(frozen=True, slots=True)
class Direct:
    """The other side of the same run. ``floors``: per metric, what runs here differ by beyond their errors."""

    mode: Mode
    title: str
    floors: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def exists(self) -> bool:
        """It was measured, or there would be no estimate."""
        return True

    def knows(self, metric: str) -> bool:
        """Both sides have every metric that there is an estimate of."""
        return True

    def judge(self, metric: str, now: _native.SessionEstimate, rule: _native.JudgeRule) -> _native.Judgement:
        """Judges the ratio of the sides itself."""
        return _native.judge_pair(now, self.floors.get(metric, UNKNOWN_FLOOR), rule)
