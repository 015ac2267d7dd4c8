"""Decides about functions of the tests' own process: measure, compare with the stored baseline, look again, store."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import partial

from pytest_fastr import _native
from pytest_fastr.config import DEFAULT_FUNCTION_LIMITS
from pytest_fastr.errors import MeasurementError
from pytest_fastr.gate.acceptance import acceptance
from pytest_fastr.gate.baseline import BaselineStore
from pytest_fastr.gate.basis import FUNCTION_SPREAD, Stored
from pytest_fastr.gate.blocks import Cost, epoch_estimate
from pytest_fastr.gate.budget import Budget, short_note, spent_note
from pytest_fastr.gate.calls import (
    Caller,
    CallSamples,
    CallShape,
    Function,
    measure_calls,
    plan_calls,
    reference_caller,
)
from pytest_fastr.gate.compare import FUNCTION_UNITS, Comparison, Estimate, Rules, compare, session_record
from pytest_fastr.gate.evidence import Curve, EpochEvidence, Evidence, Ratio, Rounds
from pytest_fastr.gate.gather import MOST_CHUNKS, chunks, history_of, unchanged_of
from pytest_fastr.gate.looks import LOOKS, SPENT, Look, is_decided, outcome_of_looks
from pytest_fastr.gate.model import MetricResult, TestReport, ValidityNote, Verdict, worst
from pytest_fastr.gate.progress import Show
from pytest_fastr.gate.stored_test import StoredTest
from pytest_fastr.gate.tasks import WantedMode
from pytest_fastr.gate.unsettled import Unsettled
from pytest_fastr.gate.validity import is_void
from pytest_fastr.mount.runtime import tracing_tool

COSTS: tuple[Cost, ...] = ("cpu", "time")
WAITING = 0.75
"""The CPU time of a function that waits for more than this share of its time decides nothing: it does not see the
waiting, and after each wait it hangs on who else has used the core."""
_UNPAIRED = (
    "a function of the tests' own process cannot be paired with another ref: it was compared with its stored baseline"
)


@dataclass(frozen=True, slots=True)
class FunctionMeasurement:
    """One call of the ``benchmark`` fixture: what to measure, and whose it is. ``limits``: those that were given."""

    nodeid: str
    path: str
    line: int
    function: Function
    shape: CallShape
    limits: Mapping[str, float] = field(default_factory=dict)

    @property
    def gated(self) -> tuple[str, ...]:
        """What decides: CPU time, and wall time where it was given a limit."""
        return ("cpu", "time") if "time" in self.limits else ("cpu",)


@dataclass(frozen=True, slots=True)
class FunctionRules:
    """What a session decides functions by. ``commit`` and ``engine`` are stored with what is measured."""

    false_alarm: float
    update: bool = False
    reason: str | None = None
    mode: WantedMode | None = None
    is_paired: bool = False
    """Whether the session has another ref to compare apps with."""
    commit: Callable[[], str | None] = lambda: None
    engine: str = ""


class FunctionGate:
    """Decides the functions of one session, which learn from one another how much epochs differ."""

    def __init__(self, store: BaselineStore, unsettled: Unsettled, budget: Budget, rules: FunctionRules) -> None:
        self._store = store
        self._unsettled = unsettled
        self._budget = budget
        self._rules = rules
        self._epoch_ratios: dict[str, list[Sequence[float]]] = {}

    def run(self, measurement: FunctionMeasurement, caller: Caller, show: Show) -> TestReport:
        """Measures and judges; stores if asked to. What the function raises goes through.

        Raises MeasurementError and BaselineError.
        """
        basis = self._basis(measurement)
        notes = self._notes(measurement)
        reference = reference_caller()
        asked_s = measurement.shape.duration_s
        shape = replace(measurement.shape, duration_s=self._budget.duration_s(asked_s, measurement.shape.epochs))
        if shape.duration_s < asked_s:
            notes = (*notes, short_note(self._budget.total_s, shape.duration_s, asked_s))
        plan = plan_calls(caller, reference, measurement.function.name, shape)

        def measure(epochs: int) -> CallSamples:
            coins = [random.getrandbits(32) for _ in range(epochs)]
            return measure_calls((reference, caller), plan, measurement.function.disable_gc, coins, show)

        began_s = time.monotonic()
        samples = measure(plan.shape.epochs)
        took_s = time.monotonic() - began_s
        self._budget.first_look(took_s)
        is_waiting = samples.waits > WAITING
        found = self._estimate(samples, is_waiting)
        looks = [Look(self._compare(measurement, samples, basis, is_waiting, look=0))]
        for look, times in enumerate(LOOKS[1:], start=1):
            if self._rules.update or is_void(notes) or is_decided(looks[-1]):
                break
            more = times * plan.shape.epochs - len(samples.epochs)
            if not self._budget.allows(more * took_s / plan.shape.epochs):
                notes = (*notes, spent_note(self._budget.total_s))
                break
            samples = samples.plus(measure(more))
            both = (samples, samples.later)
            looks.append(Look(*(self._compare(measurement, some, basis, is_waiting, look) for some in both)))
        for metric, estimate in found.items():
            self._epoch_ratios.setdefault(metric, []).append(estimate.epochs)
        if is_waiting and "time" not in measurement.gated:
            notes = (*notes, _waiting(samples))
        if self._rules.update and not is_void(notes):
            notes = (*notes, *self._append(measurement, found, looks[0].pooled))
        return _report(measurement, basis, samples, looks, notes, looked_once=self._rules.update)

    def _basis(self, measurement: FunctionMeasurement) -> Stored:
        stored = self._store.load(measurement.nodeid)
        if stored is not None and not stored.has_load(measurement.function.load):
            if not self._rules.update:
                raise MeasurementError(_changed(measurement, stored))
            stored = None
        history: dict[str, list[list[float]]] = {
            metric: self._store.history(metric, functions=True) for metric in COSTS
        }
        return Stored(stored, history, spread=FUNCTION_SPREAD)

    def _notes(self, measurement: FunctionMeasurement) -> tuple[ValidityNote, ...]:
        if self._rules.mode == "paired":
            raise MeasurementError(
                f"{measurement.function.name} is a function of the tests' own process, which cannot be paired with "
                "another ref: leave --perf-mode out, so that its stored baseline decides, or deselect the test"
            )
        notes = []
        if self._rules.is_paired:
            notes.append(ValidityNote("warn", "unpaired", _UNPAIRED))
        if tool := tracing_tool():
            message = f"{tool} is active in the tests' process: run perf tests without it (--no-cov)"
            notes.append(ValidityNote("void", "tracing", message))
        return tuple(notes)

    def _estimate(self, samples: CallSamples, is_waiting: bool) -> dict[str, Estimate]:
        calls, *costs_ns = samples.total(1)
        found = {}
        for cost, total_ns in list(zip(("time", "cpu"), costs_ns, strict=True))[: 1 if is_waiting else 2]:
            try:
                epochs = [epoch_estimate(epoch.blocks, cost) for epoch in samples.epochs]  # type: ignore[arg-type]
            except ValueError as error:
                raise MeasurementError(f"no {cost} was measured: {error}") from error
            ratio = _native.session_estimate(epochs, self._epoch_ratios.get(cost, ()))
            found[cost] = Estimate(ratio, tuple(one.log_ratio for one in epochs), total_ns / calls / 1000)
        return found

    def _compare(
        self, measurement: FunctionMeasurement, samples: CallSamples, basis: Stored, is_waiting: bool, look: int
    ) -> Comparison:
        gated = tuple(one for one in measurement.gated if not (is_waiting and one == "cpu"))
        false_alarm = self._rules.false_alarm / (self._budget.tests * len(measurement.gated))
        rules = Rules(
            limits={**DEFAULT_FUNCTION_LIMITS, **measurement.limits},
            gated=gated,
            false_alarm=false_alarm * SPENT[look],
            most_epochs=LOOKS[-1] * samples.shape.epochs,
            last_false_alarm=false_alarm * SPENT[-1],
        )
        compared = compare(self._estimate(samples, is_waiting), basis, rules)
        results = {metric: replace(one, unit=FUNCTION_UNITS[metric]) for metric, one in compared.results.items()}
        if not gated:
            note = "not compared: the function waits for most of its time"
            open_ = MetricResult("cpu", FUNCTION_UNITS["cpu"], "lower", verdict=Verdict.INCONCLUSIVE, notes=(note,))
            results = {"cpu": open_, **results}
        return replace(compared, results=results)

    def _append(
        self, measurement: FunctionMeasurement, found: Mapping[str, Estimate], compared: Comparison
    ) -> tuple[ValidityNote, ...]:
        """Keeps the session to be stored, unless it is worse without a reason; that is returned."""
        recorded, commit = datetime.now(timezone.utc).isoformat(timespec="seconds"), self._rules.commit()
        accepted = acceptance(compared, self._rules.reason, recorded, commit)
        if accepted.refusal is not None:
            return (accepted.refusal,)
        session = session_record(found, recorded, commit, self._rules.engine, FUNCTION_UNITS)
        load = measurement.function.load
        self._unsettled.add(partial(self._store.append, measurement.nodeid, load, session, accepted.era))
        return ()


def _waiting(samples: CallSamples) -> ValidityNote:
    message = (
        f"the function waits for {samples.waits:.0%} of its time (I/O, sleeps, other processes), so that its CPU time "
        'decides nothing: let its wall time decide, by @pytest.mark.perf(limit={"time": "10%"})'
    )
    return ValidityNote("warn", "waiting", message)


def _changed(measurement: FunctionMeasurement, stored: StoredTest) -> str:
    load = measurement.function.load
    changed = [f"{key} was {stored.load.get(key)!r} and is {value!r}" for key, value in load.items()
               if stored.load.get(key) != value]  # fmt: skip
    return (
        f"the baseline was recorded in another way ({'; '.join(changed) or 'it had more keys'}), so nothing was "
        f'measured; record it anew with `pytest --perf --perf-update "{measurement.nodeid}"`'
    )


def _report(
    measurement: FunctionMeasurement,
    basis: Stored,
    samples: CallSamples,
    looks: Sequence[Look],
    notes: tuple[ValidityNote, ...],
    looked_once: bool,
) -> TestReport:
    results, confirmed = (looks[0].pooled.results, None) if looked_once else outcome_of_looks(looks)
    gated = [result.verdict for result in results.values() if result.verdict is not None]
    calls, _, cpu_ns = samples.total(1)
    return TestReport(
        nodeid=measurement.nodeid,
        path=measurement.path,
        line=measurement.line,
        verdict=Verdict.INVALID if is_void(notes) else worst(gated),
        requests=calls,
        validity=notes,
        metrics=results,
        load={
            **measurement.function.load,
            "requests": [measurement.function.name],
            "duration_s": round(samples.total(1)[1] / 1e9, 3),
            "epochs": len(samples.epochs),
        },
        cpu_us_per_request=cpu_ns / calls / 1000,
        confirmed=confirmed,
        looks=len(looks),
        against=basis.title,
        evidence=_evidence(samples, basis, looks[-1].pooled),
    )


def _evidence(samples: CallSamples, basis: Stored, compared: Comparison) -> Evidence:
    an_epoch = max(MOST_CHUNKS // len(samples.epochs), 1)
    epochs = []
    for epoch in samples.epochs:
        estimate = epoch_estimate(epoch.blocks, "cpu")
        ratios = {"cpu": Ratio(estimate.log_ratio, estimate.se)}
        epochs.append(EpochEvidence(chunks(epoch.blocks, an_epoch), ratios))
    slices_s = sorted(seconds for epoch in samples.epochs for seconds in epoch.slices_s)
    return Evidence(
        a_title="the reference function",
        b_title="the function",
        epochs=tuple(epochs),
        curves=(Curve(0, ()), Curve(0, ())),
        rounds=Rounds(tuple((seconds, 1) for seconds in slices_s), samples.calls_a_slice),
        unchanged=unchanged_of(compared.found, compared.results),
        history=history_of(basis, compared.found),
    )
