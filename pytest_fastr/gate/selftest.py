"""The gate tried on the machine it runs on: the same application twice, and the same with planted work."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from pytest_fastr.config import DEFAULT_GATE, Limits
from pytest_fastr.gate.basis import Direct
from pytest_fastr.gate.budget import Budget
from pytest_fastr.gate.decide import Decider, Decision
from pytest_fastr.gate.epochs import AppSource, EpochPool
from pytest_fastr.gate.looks import outcome_of_looks
from pytest_fastr.gate.measure import LoadShape, Pair, Side
from pytest_fastr.gate.model import MetricResult, ValidityNote, Verdict, worst
from pytest_fastr.gate.progress import Show, part_of
from pytest_fastr.gate.selftest_app import LOOPS, UNITS
from pytest_fastr.gate.tasks import Task
from pytest_fastr.gate.validity import is_void, validity
from pytest_fastr.load import build_request
from pytest_fastr.mount import AppRef, Launch

REQUEST_UNITS = 45
"""The work of a request: about 0.2 ms on a machine of 2024, its way through the server included."""
LOOPS_PER_UNIT = 90
"""How many loops cost what a unit costs, about."""
SERVER_UNITS = 13
"""What a request's way through the server costs, in units, about."""
UNLIMITED_S = 1e6


@dataclass(frozen=True, slots=True)
class TrialResult:
    """One comparison: what it was, what had to come of it, and what came."""

    title: str
    expected: Verdict
    verdict: Verdict
    metrics: Mapping[str, MetricResult]
    looks: int
    notes: tuple[ValidityNote, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether it came out as it had to."""
        if self.expected is Verdict.EQUIVALENT:
            return self.verdict in (Verdict.EQUIVALENT, Verdict.IMPROVED)
        return self.verdict is self.expected


def try_gate(extra: float, shape: LoadShape, false_alarm: float, show: Show) -> tuple[TrialResult, ...]:
    """Compares an application with itself, and with itself plus ``extra`` work (a fraction, such as 0.1).

    Raises MeasurementError and MountError.
    """
    trials = (
        ("the same application twice", Verdict.EQUIVALENT, 0.0),
        (f"{extra:.0%} more work in every request", Verdict.REGRESSED, extra),
    )
    results = []
    for title, expected, planted in trials:
        pair = Pair(
            side_with(REQUEST_UNITS, 0.0, "the first copy"), side_with(REQUEST_UNITS, planted, "the second copy")
        )
        decision, metrics = compare_pair(pair, shape, false_alarm, part_of(show, 0.0, 1.0, f"{title}: "))
        notes = (*validity(decision.samples), *decision.task.notes)
        found = worst(one.verdict for one in metrics.values() if one.verdict is not None)
        verdict = Verdict.INVALID if is_void(notes) else found
        results.append(TrialResult(title, expected, verdict, metrics, len(decision.looks), notes))
    return tuple(results)


def compare_pair(
    pair: Pair, shape: LoadShape, false_alarm: float, show: Show
) -> tuple[Decision, dict[str, MetricResult]]:
    """Decides a pair by itself, as a build of one test would, and returns what was gated and shown of it."""
    pool = EpochPool(coins=secrets.randbits(32))
    task = Task(
        basis=Direct("equal", pair.a.title), pair=pair, shape=shape, limits=Limits().of(paired=True), mode="equal"
    )
    try:
        decision = Decider(pool, Budget(UNLIMITED_S), DEFAULT_GATE, false_alarm).decide(task, show)
    finally:
        pool.close()
    return decision, outcome_of_looks(decision.looks)[0]


def side_with(units: int, extra: float, title: str) -> Side:
    """The application with so many units of work in a request, and ``extra`` of a request's whole cost (a fraction)
    planted besides."""
    loops = round(extra * (units + SERVER_UNITS) * LOOPS_PER_UNIT)
    launch = Launch(env={UNITS: str(units), LOOPS: str(loops)})
    app = AppRef("pytest_fastr.gate.selftest_app", "app", factory=False)
    return Side(AppSource(app, launch), build_request("GET", "/", name="selftest"), title)
