"""From a task to a decision: measure, estimate, compare, and look again with fresh processes until it is decided."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_fastr.errors import MeasurementError
from pytest_fastr.gate.budget import Budget, spent_note
from pytest_fastr.gate.compare import Comparison, Estimate, Rules, compare, estimates
from pytest_fastr.gate.epochs import EpochPool
from pytest_fastr.gate.looks import LOOKS, SPENT, Look, is_decided
from pytest_fastr.gate.measure import Samples, measure
from pytest_fastr.gate.model import ValidityNote
from pytest_fastr.gate.progress import Show, part_of
from pytest_fastr.gate.tasks import Task
from pytest_fastr.gate.validity import is_void, validity


@dataclass(frozen=True, slots=True)
class Decision:
    """What came of a task: all samples, the estimates of the first look, and every look. The task has the shape that
    was measured, and more to say."""

    task: Task
    samples: Samples
    found: Mapping[str, Estimate]
    looks: tuple[Look, ...]


class Decider:
    """Decides the tasks of one session, which learn from one another how much epochs differ.

    ``false_alarm``: of the whole build; it is divided over the budget's tests, ``comparisons`` of each, and metrics.
    ``history``: per metric the epochs' log ratios of pairs that were measured on this hardware before.
    """

    def __init__(
        self,
        pool: EpochPool,
        budget: Budget,
        gated: tuple[str, ...],
        false_alarm: float,
        *,
        comparisons: int = 1,
        history: Mapping[str, Sequence[Sequence[float]]] | None = None,
    ) -> None:
        self._pool = pool
        self._budget = budget
        self._gated = gated
        self._false_alarm = false_alarm
        self._comparisons = comparisons
        self._history = history or {}
        self._epoch_ratios: dict[tuple[str, str], list[Sequence[float]]] = {}

    def decide(self, task: Task, show: Show, one_look: bool = False) -> Decision:
        """Measures and judges. Raises MeasurementError, MountError and RefError."""
        self._refuse_nothing_to_gate(task)
        began = time.monotonic()
        samples = self._measure(task, range(task.shape.epochs), show)
        took_s = time.monotonic() - began
        self._budget.first_look(took_s)
        task = replace(task, shape=samples.shape)
        found = self._estimate(task, samples)
        looks = [Look(self._compare(task, found, look=0))]
        if not one_look and not is_void(validity(samples)):
            samples, notes = self._look_on(task, samples, looks, took_s / task.shape.epochs, show)
            task = task.said(*notes)
        # Epochs of the same processes say nothing about how much processes differ.
        if not task.pair.is_running:
            for metric, estimate in found.items():
                self._epoch_ratios.setdefault((task.basis.mode, metric), []).append(estimate.epochs)
        return Decision(task, samples, found, tuple(looks))

    def _look_on(
        self, task: Task, samples: Samples, looks: list[Look], epoch_s: float, show: Show
    ) -> tuple[Samples, tuple[ValidityNote, ...]]:
        """Measures with fresh processes until the looks decide, each look appended. Returns all samples, and why it
        ended before that."""
        for look, times in enumerate(LOOKS[1:], start=1):
            if is_decided(looks[-1]):
                break
            indices = range(len(samples.epochs), times * task.shape.epochs)
            if not self._budget.allows(len(indices) * epoch_s):
                return samples, (spent_note(self._budget.total_s),)
            showing = part_of(show, 0.0, 1.0, f"look {look + 1}: ")
            samples = samples.plus(self._measure(task, indices, showing))
            if is_void(validity(samples)):
                break
            pooled, later = (self._compare(task, self._estimate(task, some), look) for some in (samples, samples.later))
            looks.append(Look(pooled, later))
        return samples, ()

    def _measure(self, task: Task, indices: range, show: Show) -> Samples:
        return measure(self._pool, task.pair, task.shape, indices, show)

    def _estimate(self, task: Task, samples: Samples) -> dict[str, Estimate]:
        stored = task.basis.mode == "stored"
        # The reference app differs from every other by more than two states of one app do.
        others = {} if stored else {metric: list(ratios) for metric, ratios in self._history.items()}
        for (mode, metric), ratios in self._epoch_ratios.items():
            if (mode == "stored") == stored:
                others[metric] = [*others.get(metric, ()), *ratios]
        try:
            return estimates(samples, others, samples.epochs[0].coin)
        except ValueError as error:
            # Too little was measured for an estimate: a slow endpoint under a short load.
            raise MeasurementError(
                f"{samples.request.name}: {error} (raise `duration`, now {samples.shape.duration_s:g} s over "
                f"{samples.shape.epochs} epochs, or lower `epochs`)"
            ) from error

    def _compare(self, task: Task, found: Mapping[str, Estimate], look: int) -> Comparison:
        gated = self._gated_of(task)
        false_alarm = self._false_alarm / (self._budget.tests * self._comparisons * len(gated))
        rules = Rules(
            limits=task.limits,
            gated=gated,
            false_alarm=false_alarm * SPENT[look],
            most_epochs=LOOKS[-1] * task.shape.epochs,
            last_false_alarm=false_alarm * SPENT[-1],
        )
        return compare(found, task.basis, rules)

    def _gated_of(self, task: Task) -> tuple[str, ...]:
        rate = () if task.shape.rate is None else ("rate_p99",)
        return tuple(one for one in dict.fromkeys((*self._gated, *rate)) if one not in task.pair.unmeasured)

    def _refuse_nothing_to_gate(self, task: Task) -> None:
        if not self._gated_of(task):
            raise MeasurementError(
                f"{task.pair.b.request.name}: nothing would be gated: `gate` has {', '.join(self._gated)} only, not "
                "known of a server whose `pid` is not given; give it, or add throughput to `gate`"
            )
