"""From samples and what they are compared with to verdicts: pure functions, no clock, no I/O."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from pytest_fastr import _native
from pytest_fastr.gate.basis import Basis
from pytest_fastr.gate.measure import Samples, cpu_us_per_request
from pytest_fastr.gate.model import MetricResult, Verdict
from pytest_fastr.gate.stored_test import StoredMetric, StoredSession

CONFIDENCE = 0.95
BOOTSTRAP_RESAMPLES = 400
QUANTILES = {"p50": 0.50, "p90": 0.90, "p99": 0.99}
AT_RATE = {"rate_p50": 0.50, "rate_p90": 0.90, "rate_p99": 0.99}
"""Response times at a rate, from the intended start. Only where a test asks for a rate."""
MOST_AT_RATE = 1.0
"""To no more than this is the limit of a tail at a rate widened: who cannot see a doubling has seen nothing."""
UNITS = {
    "cpu": "us/request", "throughput": "rps", "p50": "us", "p90": "us", "p99": "us", "memory": "bytes",
    "rate_p50": "us", "rate_p90": "us", "rate_p99": "us", "time": "us",
}  # fmt: skip
FUNCTION_UNITS = {"cpu": "us/call", "time": "us/call"}
"""The metrics of a function: CPU time and wall time per call."""
HIGHER_IS_BETTER = frozenset({"throughput"})


@dataclass(frozen=True, slots=True)
class Estimate:
    """One metric of one session: the log ratio of the sides, B to A, and the candidate's own value."""

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
    """Every metric judged, per gated metric the chance that more epochs would call it regressed (0 to 1), and the
    estimates that were judged."""

    results: Mapping[str, MetricResult]
    chances: Mapping[str, float]
    found: Mapping[str, Estimate] = field(default_factory=dict)


def estimates(samples: Samples, others: Mapping[str, Sequence[Sequence[float]]], seed: int) -> dict[str, Estimate]:
    """Estimates every metric that the samples can bear.

    ``others``: per metric the epoch log ratios of the session's other tests, for the pooled between-epoch variance.
    """
    found: dict[str, Estimate] = {}
    candidate = samples.candidate
    at_rate = [epoch.at_rate for epoch in samples.epochs]
    paired = [epoch.paired for epoch in samples.epochs]
    both_known = cpu_us_per_request(samples.baseline) is not None
    values = {"cpu": cpu_us_per_request(candidate) if both_known else None, "throughput": samples.rps}
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
    times_at_rate = _native.Histogram.merged([b.response for pairs in at_rate for _, b in pairs])
    for metric, q in AT_RATE.items():
        quantile = times_at_rate.quantile_ns(q)
        ratio_or_none = _native.stretch_quantile_estimate(at_rate, q, BOOTSTRAP_RESAMPLES, seed)
        if quantile is not None and ratio_or_none is not None:
            found[metric] = Estimate(ratio_or_none, (), quantile / 1000)
    if candidate.peak_rss_bytes and samples.baseline.peak_rss_bytes:
        found["memory"] = Estimate(_memory_ratio(paired), (), float(candidate.peak_rss_bytes))
    return found


def _memory_ratio(paired: Sequence[_native.PairedResult]) -> _native.SessionEstimate:
    ratios = [
        math.log(candidate.peak_rss_bytes / baseline.peak_rss_bytes)
        for baseline, candidate in (one.sides for one in paired)
        if baseline.peak_rss_bytes and candidate.peak_rss_bytes
    ]
    return _native.session_estimate([_native.EpochEstimate.exact(ratio) for ratio in ratios], ())


def compare(found: Mapping[str, Estimate], basis: Basis, rules: Rules) -> Comparison:
    """Judges every metric. Gated ones that the basis knows nothing of are ``new``.

    Where there were too few answers for a gated quantile, the next lower one that is known is gated instead. Without
    any, it is ``inconclusive``; any other gated metric without an estimate is ``invalid``.
    """
    results = {}
    chances = {}
    instead = {metric: _known_quantile(metric, found, basis) for metric in rules.gated if metric in _MAY_LACK}
    all_gated = {instead.get(metric) or metric for metric in rules.gated}
    for metric in UNITS:
        estimate = found.get(metric)
        gated = metric in all_gated
        if estimate is None:
            if gated:
                verdict = Verdict.INCONCLUSIVE if metric in _MAY_LACK else Verdict.INVALID
                results[metric] = _without_comparison(metric, None, verdict, rules, _MISSING[metric])
        elif not basis.knows(metric):
            lacks = metric in _MAY_LACK and basis.exists
            verdict, why = (Verdict.INCONCLUSIVE, _NOT_STORED) if lacks else (Verdict.NEW, ())
            results[metric] = _without_comparison(metric, estimate, verdict if gated else None, rules, why)
        else:
            result, chance = _judged(metric, estimate, basis, rules, gated)
            stands_for = [wanted for wanted, other in instead.items() if other == metric and wanted != metric]
            if stands_for:
                note = (
                    f"gated instead of {', '.join(stands_for)}, for which there were too few answers: raise `duration`"
                )
                result = replace(result, notes=(*result.notes, note))
            results[metric] = result
            if gated:
                chances[metric] = chance
    return Comparison(results, chances, found)


def _known_quantile(wanted: str, found: Mapping[str, Estimate], basis: Basis) -> str | None:
    """The highest quantile, up to the wanted one, that there are enough answers for on all sides."""
    family = next(names for names in (list(QUANTILES), list(AT_RATE)) if wanted in names)
    lower = reversed(family[: family.index(wanted) + 1])
    return next((name for name in lower if name in found and basis.knows(name)), None)


_MAY_LACK = frozenset({*QUANTILES, *AT_RATE})
_NOT_STORED = ("the stored sessions had too few answers for this quantile: raise `duration` and store it anew",)
_TOO_FEW = ("fewer than ten answers lie beyond this quantile: raise `duration`",)
_MISSING = {
    "cpu": ("the CPU time of the server's processes cannot be read on this machine",),
    "throughput": ("no throughput was measured",),
    "p50": _TOO_FEW,
    "p90": _TOO_FEW,
    "p99": _TOO_FEW,
    "rate_p50": _TOO_FEW,
    "rate_p90": _TOO_FEW,
    "rate_p99": _TOO_FEW,
    "time": ("the wall time of no call could be read",),
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
        log_ratio=None if estimate is None else estimate.ratio.log_ratio,
        log_ratio_se=None if estimate is None else estimate.ratio.se,
    )


def _judged(metric: str, estimate: Estimate, basis: Basis, rules: Rules, gated: bool) -> tuple[MetricResult, float]:
    limit = rules.limits[metric]
    judged = basis.judge(metric, estimate.ratio, _rule(metric, limit, rules))
    notes = ["bursts: the mean moved differently from the typical request"] if judged.bursts else []
    if metric in AT_RATE and limit < judged.smallest_detectable <= MOST_AT_RATE:
        # A tail at a rate is known so roughly that its usual limit would never be met.
        limit = judged.smallest_detectable
        judged = basis.judge(metric, estimate.ratio, _rule(metric, limit, rules))
        notes.append(f"held to {limit:.0%}, the smallest change that this run could have seen")
    result = MetricResult(
        name=metric,
        unit=UNITS[metric],
        direction="higher" if metric in HIGHER_IS_BETTER else "lower",
        # What the baseline would have shown in this session.
        baseline=estimate.candidate / (1 + judged.change),
        candidate=estimate.candidate,
        change=judged.change,
        low=judged.low,
        high=judged.high,
        limit=limit,
        verdict=Verdict(judged.verdict) if gated else None,
        smallest_detectable=judged.smallest_detectable,
        notes=tuple(notes),
        log_ratio=estimate.ratio.log_ratio,
        log_ratio_se=estimate.ratio.se,
    )
    return result, judged.chance_of_red


def _rule(metric: str, limit: float, rules: Rules) -> _native.JudgeRule:
    return _native.JudgeRule(
        lower_is_better=metric not in HIGHER_IS_BETTER,
        limit=limit,
        false_alarm=rules.false_alarm,
        confidence=CONFIDENCE,
        most_epochs=rules.most_epochs,
        last_false_alarm=rules.last_false_alarm,
    )


def session_record(
    found: Mapping[str, Estimate],
    recorded: str,
    commit: str | None,
    engine: str,
    units: Mapping[str, str] = UNITS,
) -> StoredSession:
    """What a baseline keeps of this session."""
    metrics = {
        metric: StoredMetric(
            log_ratio=estimate.ratio.log_ratio,
            totals_log_ratio=estimate.ratio.totals_log_ratio,
            se=estimate.ratio.se,
            candidate=estimate.candidate,
            unit=units[metric],
        )
        for metric, estimate in found.items()
    }
    return StoredSession(recorded=recorded, commit=commit, engine=engine, metrics=metrics)
