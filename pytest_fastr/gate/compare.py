"""From samples and stored sessions to verdicts: pure functions, no clock, no I/O."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_fastr import _native
from pytest_fastr.gate.baseline import StoredMetric, StoredSession, StoredTest
from pytest_fastr.gate.measure import Samples
from pytest_fastr.gate.model import MetricResult, ValidityNote, Verdict

# Session-to-session standard deviation of a stored log ratio until this profile's own sessions say better.
PRIOR_SPREAD = {"cpu": 0.03, "throughput": 0.03, "p50": 0.10, "p90": 0.10, "p99": 0.10, "memory": 0.05}
CONFIDENCE = 0.95
BOOTSTRAP_RESAMPLES = 400
QUANTILES = {"p50": 0.50, "p90": 0.90, "p99": 0.99}
UNITS = {"cpu": "us/request", "throughput": "rps", "p50": "us", "p90": "us", "p99": "us", "memory": "bytes"}
HIGHER_IS_BETTER = frozenset({"throughput"})

# Validity: above these shares a run is worth a warning.
BUSY_GENERATOR = 0.9
HIGH_STEAL = 0.25


@dataclass(frozen=True, slots=True)
class Estimate:
    """One metric of one session: the log ratio against the reference application, and the candidate's own value."""

    ratio: _native.SessionEstimate
    epochs: tuple[float, ...]
    candidate: float


@dataclass(frozen=True, slots=True)
class Rules:
    """What decides one look: limits per metric (fractions), the gated metrics, and the false-alarm rate of this look at
    one metric. And of the last look that may come: how many epochs it has, and its false-alarm rate."""

    limits: Mapping[str, float]
    gated: tuple[str, ...]
    false_alarm: float
    most_epochs: int
    last_false_alarm: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Every metric judged, and per gated metric the chance that more epochs would call it regressed (0 to 1)."""

    results: Mapping[str, MetricResult]
    chances: Mapping[str, float]


def estimates(samples: Samples, others: Mapping[str, Sequence[Sequence[float]]], seed: int) -> dict[str, Estimate]:
    """Estimates every metric that the samples can bear.

    ``others``: per metric the epoch log ratios of the session's other tests, for the pooled between-epoch variance.
    """
    found: dict[str, Estimate] = {}
    candidate, stretch = samples.candidate, samples.stretch
    paired = [epoch.paired for epoch in samples.epochs]
    values = {
        "cpu": candidate.cpu_ns / 1000 / candidate.requests if candidate.cpu_ns else None,
        "throughput": stretch.requests * 1e9 / stretch.duration_ns,
    }
    costs: tuple[Literal["cpu", "throughput"], ...] = ("cpu", "throughput")
    for cost in costs:
        value = values[cost]
        if value is None:
            continue
        epochs = [one.epoch_estimate(cost) for one in paired]
        ratio = _native.session_estimate(epochs, others.get(cost, ()))
        found[cost] = Estimate(ratio, tuple(one.log_ratio for one in epochs), value)
    for metric, q in QUANTILES.items():
        quantile = candidate.quantile_ns(q)
        ratio_or_none = _native.quantile_estimate(paired, q, BOOTSTRAP_RESAMPLES, seed)
        if quantile is not None and ratio_or_none is not None:
            found[metric] = Estimate(ratio_or_none, (), quantile / 1000)
    reference_memory = _native.Side.merged([one.sides[0] for one in paired]).peak_rss_bytes
    if candidate.peak_rss_bytes and reference_memory:
        found["memory"] = Estimate(_memory_ratio(paired), (), float(candidate.peak_rss_bytes))
    return found


def _memory_ratio(paired: Sequence[_native.PairedResult]) -> _native.SessionEstimate:
    ratios = [
        math.log(candidate.peak_rss_bytes / reference.peak_rss_bytes)
        for reference, candidate in (one.sides for one in paired)
        if reference.peak_rss_bytes and candidate.peak_rss_bytes
    ]
    return _native.session_estimate([_native.EpochEstimate.exact(ratio) for ratio in ratios], ())


def compare(
    found: Mapping[str, Estimate],
    stored: StoredTest | None,
    history: Mapping[str, Sequence[Sequence[float]]],
    rules: Rules,
) -> Comparison:
    """Judges every metric. Gated ones without a stored value are ``new``.

    Without an estimate a gated quantile is ``inconclusive`` (too few answers to know), anything else ``invalid``.
    """
    results = {}
    chances = {}
    for metric in UNITS:
        estimate = found.get(metric)
        gated = metric in rules.gated
        past = stored_ratios(stored, metric)
        if estimate is None:
            if gated:
                verdict = Verdict.INCONCLUSIVE if metric in QUANTILES else Verdict.INVALID
                results[metric] = _without_comparison(metric, None, verdict, rules, _MISSING[metric])
        elif not past:
            verdict, why = (Verdict.INCONCLUSIVE, _NOT_STORED) if _is_known(stored, metric) else (Verdict.NEW, ())
            results[metric] = _without_comparison(metric, estimate, verdict if gated else None, rules, why)
        else:
            results[metric], chance = _judged(metric, estimate, past, history.get(metric, ()), rules)
            if gated:
                chances[metric] = chance
    return Comparison(results, chances)


def _is_known(stored: StoredTest | None, metric: str) -> bool:
    """Whether the stored sessions lack this quantile because they had too few answers for it."""
    return metric in QUANTILES and stored is not None and bool(stored.sessions)


_NOT_STORED = ("the stored sessions had too few answers for this quantile: raise `duration` and store it anew",)
_TOO_FEW = ("fewer than ten answers lie beyond this quantile: raise `duration`",)
_MISSING = {
    "cpu": ("the CPU time of the server's processes cannot be read on this machine",),
    "throughput": ("no throughput was measured",),
    "p50": _TOO_FEW,
    "p90": _TOO_FEW,
    "p99": _TOO_FEW,
    "memory": ("the memory of the server's processes cannot be read on this machine",),
}


def _without_comparison(
    metric: str, estimate: Estimate | None, verdict: Verdict | None, rules: Rules, notes: tuple[str, ...]
) -> MetricResult:
    return MetricResult(
        name=metric,
        unit=UNITS[metric],
        direction="higher" if metric in HIGHER_IS_BETTER else "lower",
        baseline=None,
        candidate=None if estimate is None else estimate.candidate,
        change=None,
        low=None,
        high=None,
        limit=rules.limits.get(metric),
        verdict=verdict,
        smallest_detectable=None,
        notes=notes,
    )


def _judged(
    metric: str,
    estimate: Estimate,
    past: Sequence[tuple[float, float]],
    history: Sequence[Sequence[float]],
    rules: Rules,
) -> tuple[MetricResult, float]:
    limit = rules.limits[metric]
    judged = _native.judge_against_sessions(
        estimate.ratio,
        past,
        history=history,
        prior_spread=PRIOR_SPREAD[metric],
        lower_is_better=metric not in HIGHER_IS_BETTER,
        limit=limit,
        false_alarm=rules.false_alarm,
        confidence=CONFIDENCE,
        most_epochs=rules.most_epochs,
        last_false_alarm=rules.last_false_alarm,
    )
    notes = ("bursts: the mean moved differently from the typical request",) if judged.bursts else ()
    result = MetricResult(
        name=metric,
        unit=UNITS[metric],
        direction="higher" if metric in HIGHER_IS_BETTER else "lower",
        # What the stored sessions predict for this machine as it runs today.
        baseline=estimate.candidate / (1 + judged.change),
        candidate=estimate.candidate,
        change=judged.change,
        low=judged.low,
        high=judged.high,
        limit=limit,
        verdict=Verdict(judged.verdict) if metric in rules.gated else None,
        smallest_detectable=judged.smallest_detectable,
        notes=notes,
    )
    return result, judged.chance_of_red


def validity(samples: Samples) -> tuple[ValidityNote, ...]:
    """What makes the samples worthless (void) or doubtful (warn). The numbers are in docs/validity.md."""
    notes: list[ValidityNote] = []

    def note(level: Literal["void", "warn"], code: str, message: str) -> None:
        notes.append(ValidityNote(level=level, code=code, message=message))

    tracing = next((epoch.tracing for epoch in samples.epochs if epoch.tracing), None)
    if tracing:
        note("void", "tracing", f"{tracing} is active in the server: run perf tests without it (--no-cov)")
    if any(epoch.debug_build for epoch in samples.epochs):
        note("void", "debug-build", "the engine is a debug build: install it with `maturin develop --release`")
    sides = [epoch.paired.sides[1] for epoch in samples.epochs]
    generators = [epoch.paired.generator for epoch in samples.epochs]
    busy = max((one.utilisation or 0.0) for one in generators)
    if busy > BUSY_GENERATOR:
        note(
            "warn",
            "generator",
            f"the load generator was busy {busy:.0%} of the time and may be the limit itself",
        )
    steal = max((one.steal or 0.0) for one in generators)
    if steal > HIGH_STEAL:
        note("warn", "steal", f"the host took {steal:.0%} of the CPU away while this was measured")
    if not all(epoch.steady for epoch in samples.epochs):
        note("warn", "warm-up", "throughput was not steady when the warm-up ended: raise `warmup_max`")
    if any(side.processes_changed for side in sides):
        note(
            "warn",
            "processes",
            "the server started or ended processes; the CPU time of ended ones is missing",
        )
    if sys.platform == "linux" and any(epoch.paired.core is None for epoch in samples.epochs):
        note("warn", "placement", "the system did not let servers and generator share a core: intervals will be wide")
    if samples.forked:
        note("warn", "forked", "an application object: epochs are forks, their hash seed is this process' own")
    return tuple(notes)


def stored_ratios(stored: StoredTest | None, metric: str) -> list[tuple[float, float]]:
    """The metric's log ratios of the stored sessions (robust centre, totals), oldest first."""
    sessions = () if stored is None else stored.sessions
    found = [one.metrics[metric] for one in sessions if metric in one.metrics]
    return [(one.log_ratio, one.totals_log_ratio) for one in found]


def session_record(found: Mapping[str, Estimate], recorded: str, commit: str | None, engine: str) -> StoredSession:
    """What a baseline keeps of this session."""
    metrics = {
        metric: StoredMetric(
            log_ratio=estimate.ratio.log_ratio,
            totals_log_ratio=estimate.ratio.totals_log_ratio,
            se=estimate.ratio.se,
            candidate=estimate.candidate,
            unit=UNITS[metric],
        )
        for metric, estimate in found.items()
    }
    return StoredSession(recorded=recorded, commit=commit, engine=engine, metrics=metrics)
