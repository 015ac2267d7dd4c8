"""The gate of one pytest session: measures, compares, confirms, stores and remembers what was decided."""

from __future__ import annotations

import hashlib
import secrets
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from pytest_fastr.errors import MeasurementError
from pytest_fastr.gate.baseline import BaselineStore, StoredTest
from pytest_fastr.gate.compare import Comparison, Estimate, Rules, compare, estimates, session_record, validity
from pytest_fastr.gate.epochs import AppSource, EpochPool
from pytest_fastr.gate.looks import LOOKS, SPENT, Look, is_decided, outcome_of_looks
from pytest_fastr.gate.measure import LoadShape, Samples, Show, measure
from pytest_fastr.gate.model import (
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
from pytest_fastr.load import RequestSpec, failures


@dataclass(frozen=True, slots=True)
class Measurement:
    """One call of the ``perf`` fixture: what to measure, and whose it is."""

    nodeid: str
    path: str
    line: int
    source: AppSource
    request: RequestSpec
    shape: LoadShape
    limits: Mapping[str, float]

    @property
    def load(self) -> dict[str, object]:
        """What must be the same for two sessions to be comparable."""
        request = self.request
        return {
            "users": self.shape.users,
            "mount": "asgi",
            "request": f"{request.method} {request.path}",
            "slice_users": self.shape.slice_users,
            "body": hashlib.sha256(request.body).hexdigest()[:16] if request.body else None,
            "expect": request.expect,
        }


@dataclass(frozen=True, slots=True)
class GateSettings:
    """What the session decides by."""

    gated: tuple[str, ...]
    false_alarm: float
    policy: Policy
    update: bool


class GateSession:
    """Collects the reports of one pytest session."""

    def __init__(self, settings: GateSettings, store: BaselineStore, profile: HardwareProfile, rootdir: Path) -> None:
        self.pool = EpochPool(secrets.randbits(32))
        self.reports: list[TestReport] = []
        self.profile = profile
        self.expected_tests = 1
        self._settings = settings
        self._store = store
        self._rootdir = rootdir
        self._epoch_ratios: dict[str, list[tuple[float, ...]]] = {}
        self._started = datetime.now(timezone.utc)
        self._clock = time.monotonic()

    def run(self, measurement: Measurement, show: Show) -> tuple[TestReport, Samples]:
        """Measures and judges; stores if asked to. Raises MeasurementError, MountError and BaselineError."""
        # Read before loading anything: a baseline that cannot be read must not cost minutes first.
        stored = self._store.load(measurement.nodeid)
        measurement = _at_the_stored_operating_point(measurement, stored)
        if stored is not None and not stored.has_load(measurement.load):
            if not self._settings.update:
                raise MeasurementError(_load_changed(measurement, stored))
            stored = None
        samples = self._measure(measurement, range(measurement.shape.epochs), show)
        measurement = replace(measurement, shape=samples.shape)
        found = self._estimate(samples)
        looks = [Look(self._compare(measurement, found, stored, look=0))]
        if not self._settings.update and not _is_void(validity(samples)):
            samples = self._look_on(measurement, samples, looks, stored, show)
        if measurement.source.is_object:
            # The object may change before the next measurement; a fork would not see it.
            self.pool.release(measurement.source)
        report = _report(measurement, samples, looks)
        self.reports.append(report)
        for metric, estimate in found.items():
            self._epoch_ratios.setdefault(metric, []).append(estimate.epochs)
        if self._settings.update and report.verdict is not Verdict.INVALID:
            self._append(measurement, found)
        return report, samples

    def outcome(self, report: TestReport) -> Outcome:
        """What the report does to the build. What is stored passes, if it is valid."""
        if self._settings.update and report.verdict is not Verdict.INVALID:
            return Outcome.PASS
        return outcome_of(report.verdict, self._settings.policy)

    def record_failure(self, nodeid: str, path: str, line: int, message: str, output: str) -> None:
        """Remembers a test that could not be measured."""
        # One line: the failed test itself quotes the whole message, the server's log included.
        note = ValidityNote(level="void", code="failed", message=message.partition("\n")[0])
        self.reports.append(
            TestReport(nodeid=nodeid, path=path, line=line, verdict=Verdict.INVALID, validity=(note,), output=output)
        )

    def session_report(self, versions: Mapping[str, str], command: str) -> SessionReport:
        """Everything so far."""
        return SessionReport(
            profile=self.profile,
            tests=tuple(self.reports),
            started=self._started.isoformat(timespec="seconds"),
            duration_s=round(time.monotonic() - self._clock, 3),
            versions=versions,
            command=command,
        )

    def close(self) -> None:
        """Ends every server."""
        self.pool.close()

    def _look_on(
        self, measurement: Measurement, samples: Samples, looks: list[Look], stored: StoredTest | None, show: Show
    ) -> Samples:
        """Measures with fresh processes until the looks decide, each look appended. Returns all samples."""
        for look, times in enumerate(LOOKS[1:], start=1):
            if is_decided(looks[-1]):
                break

            def show_look(phase: str, share: float, rps: float | None, number: int = look + 1) -> None:
                show(f"look {number}: {phase}", share, rps)

            indices = range(len(samples.epochs), times * measurement.shape.epochs)
            samples = samples.plus(self._measure(measurement, indices, show_look))
            if _is_void(validity(samples)):
                break
            pooled, later = (
                self._compare(measurement, self._estimate(some), stored, look) for some in (samples, samples.later)
            )
            looks.append(Look(pooled, later))
        return samples

    def _measure(self, measurement: Measurement, indices: range, show: Show) -> Samples:
        return measure(self.pool, measurement.source, measurement.request, measurement.shape, indices, show)

    def _estimate(self, samples: Samples) -> dict[str, Estimate]:
        try:
            return estimates(samples, self._epoch_ratios, samples.epochs[0].coin)
        except ValueError as error:
            # Too little was measured for an estimate: a slow endpoint under a short load.
            raise MeasurementError(
                f"{samples.request.name}: {error} (raise `duration`, now {samples.shape.duration_s:g} s over "
                f"{samples.shape.epochs} epochs, or lower `epochs`)"
            ) from error

    def _compare(
        self, measurement: Measurement, found: Mapping[str, Estimate], stored: StoredTest | None, look: int
    ) -> Comparison:
        gated = self._settings.gated
        false_alarm = self._settings.false_alarm / (max(self.expected_tests, 1) * len(gated))
        rules = Rules(
            limits=measurement.limits,
            gated=gated,
            false_alarm=false_alarm * SPENT[look],
            most_epochs=LOOKS[-1] * measurement.shape.epochs,
            last_false_alarm=false_alarm * SPENT[-1],
        )
        history = {metric: self._store.history(metric) for metric in found}
        return compare(found, stored, history, rules)

    def _append(self, measurement: Measurement, found: Mapping[str, Estimate]) -> None:
        recorded = datetime.now(timezone.utc).isoformat(timespec="seconds")
        engine = self.profile.recorded.engine_version
        session = session_record(found, recorded, current_commit(self._rootdir), engine)
        self._store.append(measurement.nodeid, measurement.load, session)


def _at_the_stored_operating_point(measurement: Measurement, stored: StoredTest | None) -> Measurement:
    """Slices as the baseline's, if it was recorded for as many users."""
    users = measurement.shape.users
    slices = stored.load.get("slice_users") if stored is not None and stored.load.get("users") == users else None
    if isinstance(slices, int) and 1 <= slices <= users:
        return replace(measurement, shape=replace(measurement.shape, slice_users=slices))
    return measurement


def _load_changed(measurement: Measurement, stored: StoredTest) -> str:
    changed = [
        f"{key} was {stored.load.get(key)!r} and is {value!r}"
        for key, value in measurement.load.items()
        if stored.load.get(key) != value
    ]
    return (
        f"the baseline was recorded under another load ({'; '.join(changed) or 'it had more keys'}), so nothing was "
        f'measured; record it anew with `pytest --perf --perf-update "{measurement.nodeid}"`'
    )


def _is_void(notes: tuple[ValidityNote, ...]) -> bool:
    return any(note.level == "void" for note in notes)


def _report(measurement: Measurement, samples: Samples, looks: Sequence[Look]) -> TestReport:
    candidate, stretch = samples.candidate, samples.stretch
    notes = validity(samples)
    results, confirmed = outcome_of_looks(looks)
    gated = [result.verdict for result in results.values() if result.verdict is not None]
    verdict = Verdict.INVALID if _is_void(notes) else worst(gated)

    def quantile(q: float) -> float | None:
        value = stretch.quantile_ns(q)
        return None if value is None else value / 1000

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
            **measurement.load,
            "requests": [measurement.request.name],
            "duration_s": measurement.shape.duration_s * len(samples.epochs) / measurement.shape.epochs,
            "epochs": len(samples.epochs),
            "mode": "stored",
            "generator_utilisation": max(one.paired.generator.utilisation or 0.0 for one in samples.epochs),
        },
        rps=stretch.requests * 1e9 / stretch.duration_ns,
        p50_us=quantile(0.50),
        p99_us=quantile(0.99),
        cpu_us_per_request=candidate.cpu_ns / 1000 / candidate.requests if candidate.cpu_ns else None,
        peak_rss_bytes=candidate.peak_rss_bytes,
        confirmed=confirmed,
        looks=len(looks),
    )


def current_commit(folder: Path) -> str | None:
    """The commit checked out in ``folder``; None outside a repository or without git."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
