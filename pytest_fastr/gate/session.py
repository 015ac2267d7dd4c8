"""The gate of one pytest session: measures, compares, confirms, stores and remembers what was decided."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

from pytest_fastr.config import LanesKind
from pytest_fastr.errors import MeasurementError
from pytest_fastr.gate import absolute
from pytest_fastr.gate.acceptance import acceptance
from pytest_fastr.gate.against import Against
from pytest_fastr.gate.baseline import BaselineStore
from pytest_fastr.gate.budget import Budget, short_note
from pytest_fastr.gate.calls import Caller
from pytest_fastr.gate.compare import session_record
from pytest_fastr.gate.decide import Decider, Decision
from pytest_fastr.gate.epochs import EpochPool
from pytest_fastr.gate.equals import Equals, EqualsSession, EqualsStore
from pytest_fastr.gate.functions import FunctionGate, FunctionMeasurement, FunctionRules
from pytest_fastr.gate.gather import gather
from pytest_fastr.gate.lanes import Lanes
from pytest_fastr.gate.locate import locate
from pytest_fastr.gate.looks import outcome_of_looks
from pytest_fastr.gate.measure import Samples, cpu_us_per_request, quantile_us
from pytest_fastr.gate.model import (
    LaneResult,
    Outcome,
    Policy,
    SessionReport,
    TestReport,
    ValidityNote,
    Verdict,
    outcome_of,
    worst,
)
from pytest_fastr.gate.profile import HardwareProfile
from pytest_fastr.gate.progress import Moment, Show
from pytest_fastr.gate.ref import current_commit
from pytest_fastr.gate.tasks import Measurement, Surroundings, Task, WantedMode
from pytest_fastr.gate.unknown_hardware import unknown_hardware
from pytest_fastr.gate.unsettled import Unsettled
from pytest_fastr.gate.validity import is_void, validity
from pytest_fastr.load import failures


@dataclass(frozen=True, slots=True)
class GateSettings:
    """What the session decides by.

    ``update``: what is measured is stored; ``reason``: why a worse baseline is accepted. ``equal``: every application
    is compared with itself. ``mode``: what is compared with; None: what is there.
    """

    gated: tuple[str, ...]
    false_alarm: float
    policy: Policy
    update: bool = False
    reason: str | None = None
    equal: bool = False
    mode: WantedMode | None = None
    budget_s: float = 600.0
    profile: bool = True
    """Whether to look where the time of a regressed test went."""
    lanes: LanesKind = "gate"
    """What a route that has left its lane does to the build."""


class GateSession:
    """Collects the reports of one pytest session."""

    def __init__(
        self,
        settings: GateSettings,
        store: BaselineStore,
        profile: HardwareProfile,
        rootdir: Path,
        against: Against | None = None,
    ) -> None:
        self.pool = EpochPool(secrets.randbits(32))
        self.reports: list[TestReport] = []
        self.profile = profile
        self.against = against
        self.settings = settings
        self._budget = Budget(settings.budget_s)
        self._store = store
        self.unsettled = Unsettled()
        self._equals_store = EqualsStore(store.folder)
        # Read before anything is measured: a file that cannot be read must not cost minutes first.
        self.equals: Equals = self._equals_store.load()
        self._rootdir = rootdir
        uses_stored = settings.mode != "paired" and not settings.equal and not settings.update
        self._unknown_hardware = unknown_hardware(store.folder.parent, profile.slug) if uses_stored else None
        self._surroundings = Surroundings(
            self.pool, store, self.equals, settings.mode, against, settings.equal, settings.update,
            self._unknown_hardware,
        )  # fmt: skip
        both = against is not None and settings.mode in (None, "both") and self._unknown_hardware is None
        comparisons = 2 if both else 1
        self._comparisons = comparisons
        self._decider = Decider(
            self.pool,
            self._budget,
            settings.gated,
            settings.false_alarm,
            comparisons=comparisons,
            history=self.equals.epoch_ratios(),
        )
        rules = FunctionRules(
            false_alarm=settings.false_alarm,
            update=settings.update,
            reason=settings.reason,
            mode=settings.mode,
            is_paired=against is not None,
            commit=lambda: current_commit(rootdir),
            engine=profile.recorded.engine_version,
        )
        self._functions = FunctionGate(store, self.unsettled, self._budget, rules)
        self._lanes = None if settings.lanes == "off" else Lanes(gated=settings.lanes == "gate")
        self._again: ValidityNote | None = None
        self._equal_ratios: dict[str, list[tuple[float, float]]] = {}
        self._equal_epochs: dict[str, list[tuple[float, ...]]] = {}
        self._started = datetime.now(timezone.utc)
        self._clock = time.monotonic()

    def expect(self, tests: int, functions: int = 0) -> None:
        """So many perf tests are to come, some of them of functions: time and the false-alarm rate of the build are
        divided over them."""
        self._budget.tests = max(tests, 1)
        self._budget.functions = functions

    def start(self, nodeid: str) -> None:
        """A test starts. Where it has run before in this session, what is measured now replaces what was."""
        before = [one for one in self.reports if is_of(one, nodeid)]
        self._again = again_note(worst(one.verdict for one in before)) if before else None
        self.reports = [one for one in self.reports if not is_of(one, nodeid)]

    def run(self, measurement: Measurement, show: Show) -> tuple[tuple[TestReport, ...], Samples]:
        """Measures and judges, once for each thing it is compared with; stores if asked to.

        Raises MeasurementError, MountError, RefError and BaselineError.
        """
        tasks = self._surroundings.tasks(measurement)
        asked_s = measurement.shape.duration_s
        fits_s = self._budget.duration_s(asked_s, measurement.shape.epochs, self._comparisons)
        reports = []
        samples = None
        for task in tasks:
            if fits_s < asked_s:
                task = task.said(short_note(self.settings.budget_s, fits_s, asked_s))
            shaped = replace(task, shape=replace(task.shape, duration_s=fits_s))
            with self._budget.spending():
                report, measured = self._run(measurement, shaped, show)
            reports.append(self._keep(report))
            samples = samples or measured
        assert samples is not None  # there is always a task
        if measurement.source.is_object:
            # The object may change before the next measurement; a fork would not see it.
            self.pool.release(measurement.source)
        return tuple(reports), samples

    def run_function(self, measurement: FunctionMeasurement, caller: Caller, show: Show) -> TestReport:
        """Measures and judges a function of this process; stores if asked to.

        Raises MeasurementError, BaselineError, and what the function raises.
        """
        with self._budget.spending():
            report = self._functions.run(measurement, caller, show)
        return self._keep(report)

    def outcome(self, report: TestReport) -> Outcome:
        """What the report does to the build. What is stored passes, if it is valid, and so do equals."""
        if any(one.verdict is Verdict.REGRESSED for one in report.absolute):
            return Outcome.FAIL
        if (self.settings.update or self.settings.equal) and report.verdict is not Verdict.INVALID:
            return Outcome.PASS
        if report.mode == "paired" and report.verdict is Verdict.NEW:
            return Outcome.PASS
        return outcome_of(report.verdict, self.settings.policy)

    def record_failure(self, nodeid: str, path: str, line: int, message: str, output: str) -> None:
        """Remembers a test that could not be measured."""
        # One line: the failed test itself quotes the whole message, the server's log included.
        note = ValidityNote(level="void", code="failed", message=message.partition("\n")[0])
        self._keep(
            TestReport(
                nodeid=nodeid,
                path=path,
                line=line,
                verdict=Verdict.INVALID,
                validity=(note,),
                output=output,
                mode="none",
            )
        )

    def _keep(self, report: TestReport) -> TestReport:
        if self._again is not None:
            report = replace(report, validity=(*report.validity, self._again))
        self.reports.append(report)
        return report

    def session_report(self, versions: Mapping[str, str], command: str) -> SessionReport:
        """Everything so far."""
        return SessionReport(
            profile=self.profile,
            tests=tuple(self.reports),
            started=self._started.isoformat(timespec="seconds"),
            duration_s=round(time.monotonic() - self._clock, 3),
            versions=versions,
            command=command,
            against=None if self.against is None else self.against.title,
            changes=(
                *(() if self.against is None else self.against.changes),
                *(() if self._unknown_hardware is None else (self._unknown_hardware,)),
            ),
        )

    def store_equals(self) -> None:
        """Stores what comparisons of equals have shown, if there were any; ``equals`` is all that is stored then."""
        tests = [report for report in self.reports if report.verdict is not Verdict.INVALID]
        if self.settings.equal and tests:
            red = sum(report.verdict is Verdict.REGRESSED for report in tests)
            self._equals_store.append(EqualsSession(_now(), len(tests), red, self._equal_ratios, self._equal_epochs))
            self.equals = self._equals_store.load()

    def close(self) -> None:
        """Ends every server, and removes the other ref's checkout."""
        self.pool.close()
        if self.against is not None:
            self.against.close()

    def _run(self, measurement: Measurement, task: Task, show: Show) -> tuple[TestReport, Samples]:
        lane = None
        if self._lanes is not None:
            show(Moment("lanes"))
            lane, notes = self._lanes.judge(task)
            task = task.said(*notes)
        try:
            decision = self._decider.decide(task, show, one_look=self.settings.update)
        except MeasurementError as error:
            if lane is None or lane.verdict is not Verdict.REGRESSED:
                raise
            # What is known without measuring must not be lost with the measurement.
            raise MeasurementError(f"{lane.message}; besides, {error}") from error
        if self.settings.update:
            decision = replace(decision, task=self._append(measurement, decision, lane))
        if task.basis.mode == "equal":
            for metric, estimate in decision.found.items():
                self._equal_ratios.setdefault(metric, []).append((estimate.ratio.log_ratio, estimate.ratio.se))
                if estimate.epochs:
                    self._equal_epochs.setdefault(metric, []).append(estimate.epochs)
        report = _report(measurement, decision, lane, looked_once=self.settings.update)
        if self.settings.profile and task.mode == "paired" and _has_regressed(report):
            where = locate(decision.samples, show)
            evidence = report.evidence and replace(report.evidence, growths=where.growths)
            report = replace(report, where=where.lines, evidence=evidence)
        return report, decision.samples

    def _append(self, measurement: Measurement, decision: Decision, lane: LaneResult | None) -> Task:
        """Keeps the session to be stored, unless it is void or worse without a reason; then the task says so."""
        task, compared = decision.task, decision.looks[0].pooled
        if is_void(validity(decision.samples)):
            return task
        left = lane.message if lane is not None and lane.verdict is Verdict.REGRESSED else ""
        recorded, commit = _now(), current_commit(self._rootdir)
        accepted = acceptance(compared, self.settings.reason, recorded, commit, left)
        if accepted.refusal is not None:
            return task.said(accepted.refusal)
        session = session_record(decision.found, recorded, commit, self.profile.recorded.engine_version)
        own_lane = None if lane is None else lane.lane
        self.unsettled.add(partial(self._store.append, measurement.nodeid, task.load, session, accepted.era, own_lane))
        return task


def is_of(report: TestReport, nodeid: str) -> bool:
    """Whether a report is of this pytest item, which may measure several requests."""
    return report.nodeid == nodeid or report.nodeid.startswith(f"{nodeid} [")


def again_note(before: Verdict) -> ValidityNote:
    """The test was run again."""
    message = (
        f"the test was run again, and before that it was {before}: tests that are repeated until they pass are blind "
        "to small slowdowns"
    )
    return ValidityNote("warn", "rerun", message)


def _has_regressed(report: TestReport) -> bool:
    return any(metric.verdict is Verdict.REGRESSED for metric in report.metrics.values())


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _report(measurement: Measurement, decision: Decision, lane: LaneResult | None, looked_once: bool) -> TestReport:
    task, samples, looks = decision.task, decision.samples, decision.looks
    candidate, stretch = samples.candidate, samples.stretch
    absolutes = absolute.hold(samples, measurement.limits.absolute)
    notes = (*validity(samples), *task.notes, *absolute.notes(absolutes))
    # What is stored is not confirmed: it is what it is.
    results, confirmed = (looks[0].pooled.results, None) if looked_once else outcome_of_looks(looks)
    gated = [result.verdict for result in results.values() if result.verdict is not None]
    # A better lane promises nothing about cost: it is said, and speaks for no test.
    left = [Verdict.REGRESSED] if lane is not None and lane.verdict is Verdict.REGRESSED else []
    verdict = Verdict.INVALID if is_void(notes) else worst([*gated, *(one.verdict for one in absolutes), *left])

    return TestReport(
        nodeid=measurement.nodeid,
        path=measurement.path,
        line=measurement.line,
        verdict=verdict,
        requests=candidate.requests + stretch.requests,
        errors=failures(candidate.outcomes),
        validity=notes,
        metrics=results,
        load={
            **task.load,
            "requests": [samples.request.name],
            "duration_s": task.shape.duration_s * len(samples.epochs) / task.shape.epochs,
            "epochs": len(samples.epochs),
            "rate": task.shape.rate,
            "generator_utilisation": max(one.paired.generator.utilisation or 0.0 for one in samples.epochs),
            "cpu_pressure": _mean([one.cpu_pressure for one in samples.epochs]),
        },
        rps=samples.rps,
        p50_us=quantile_us(stretch, 0.50),
        p99_us=quantile_us(stretch, 0.99),
        cpu_us_per_request=cpu_us_per_request(candidate),
        peak_rss_bytes=candidate.peak_rss_bytes,
        confirmed=confirmed,
        looks=len(looks),
        mode=task.mode,
        against=task.basis.title,
        absolute=absolutes,
        lane=lane,
        evidence=gather(decision, results),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
