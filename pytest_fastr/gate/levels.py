"""The level of a stored metric, and how far levels and further sessions may lie apart: what the gate judges by."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pytest_fastr import _native
from pytest_fastr.gate.basis import Stored, prior_spread
from pytest_fastr.gate.compare import CONFIDENCE, UNITS
from pytest_fastr.gate.stored_test import StoredSession, StoredTest

History = Callable[[str], Sequence[Sequence[float]]]
"""Per metric the log ratios of every test of a profile."""

# The interval depends on neither the limit nor the false-alarm rate.
_RULE = _native.JudgeRule(
    lower_is_better=True, limit=0.05, false_alarm=0.01, confidence=CONFIDENCE, most_epochs=1, last_false_alarm=0.01
)


@dataclass(frozen=True, slots=True)
class Level:
    """One metric of one test over its stored sessions."""

    name: str
    unit: str
    value: float
    """The median of the app's own values, for people."""
    log_ratio: float
    """The mean of the log ratios to the reference app, which is what is compared."""
    sessions: int
    low: float | None = None
    """By how much a further session may be lower, as a fraction, without a change of the app."""
    high: float | None = None
    """By how much it may be higher."""


@dataclass(frozen=True, slots=True)
class LevelChange:
    """A metric in two states of a baseline. ``change``, ``low``, ``high`` are fractions; None: cannot be told."""

    name: str
    unit: str
    before: float | None
    after: float | None
    change: float | None = None
    low: float | None = None
    high: float | None = None


def levels_of(test: StoredTest, history: History) -> tuple[Level, ...]:
    """The level of every metric of the test, the gate's metrics first."""
    return tuple(_level(name, test, history) for name in _ordered(test.sessions))


def change_between(name: str, before: StoredTest, after: StoredTest, history: History) -> LevelChange:
    """How a metric's level moved. Sessions that are in both states move nothing."""
    a, b = (tuple(one for one in test.sessions if name in one.metrics) for test in (before, after))
    unit = (b or a)[-1].metrics[name].unit
    values = (_median(name, a), _median(name, b))
    if not a or not b or not before.has_load(after.load):
        return LevelChange(name, unit, *values)
    moved = _mean(name, b) - _mean(name, a)
    spread = _interval(name, StoredTest(before.load, a), history)
    if spread is None:
        return LevelChange(name, unit, *values, _fraction(moved))
    # The interval of one further session, without the share of that session and of the sessions' mean: the spread of
    # one session, times its quantile. A session counts with the difference of its shares of the two means.
    one_session = spread / math.sqrt(1 + 1 / len(a))
    shared = sum(one in a for one in b)
    shares = shared * (1 / len(a) - 1 / len(b)) ** 2 + (len(a) - shared) / len(a) ** 2 + (len(b) - shared) / len(b) ** 2
    margin = one_session * math.sqrt(max(shares, 0.0))
    return LevelChange(
        name, unit, *values, _fraction(moved), _fraction(moved - margin), _fraction(moved + margin)
    )  # fmt: skip


def metrics_of(*tests: StoredTest) -> list[str]:
    """The metrics that any of their sessions has, the gate's first."""
    return _ordered([one for test in tests for one in test.sessions])


def _ordered(sessions: Sequence[StoredSession]) -> list[str]:
    names = {name for one in sessions for name in one.metrics}
    return [*(name for name in UNITS if name in names), *sorted(names - UNITS.keys())]


def _level(name: str, test: StoredTest, history: History) -> Level:
    sessions = [one for one in test.sessions if name in one.metrics]
    spread = _interval(name, test, history)
    return Level(
        name=name,
        unit=sessions[-1].metrics[name].unit,
        value=_median(name, sessions) or 0.0,
        log_ratio=_mean(name, sessions),
        sessions=len(sessions),
        low=None if spread is None else _fraction(-spread),
        high=None if spread is None else _fraction(spread),
    )


def _interval(name: str, test: StoredTest, history: History) -> float | None:
    """Half of the interval, as a log ratio, in which the gate expects a further session that has no error of its own.
    None for a metric that the gate does not know, or numbers that it cannot judge."""
    sessions = [one for one in test.sessions if name in one.metrics]
    prior = prior_spread(test.load)
    if name not in prior or not sessions:
        return None
    known: Mapping[str, Sequence[Sequence[float]]] = {name: history(name)}
    try:
        now = _native.session_estimate([_native.EpochEstimate.exact(_mean(name, sessions))], ())
        judged = Stored(test, known, spread=prior).judge(name, now, _RULE)
        spread = math.log1p(judged.high) - math.log1p(judged.change)
    except ValueError:
        return None
    return spread if math.isfinite(spread) else None


def _mean(name: str, sessions: Sequence[StoredSession]) -> float:
    return math.fsum(one.metrics[name].log_ratio / len(sessions) for one in sessions)


def _median(name: str, sessions: Sequence[StoredSession]) -> float | None:
    return statistics.median(one.metrics[name].candidate for one in sessions) if sessions else None


def _fraction(log_ratio: float) -> float:
    try:
        return math.expm1(log_ratio)
    except OverflowError:
        return math.inf
