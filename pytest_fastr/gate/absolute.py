"""Absolute limits of a test: what its response times, throughput, CPU time and memory must keep, always."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_fastr import _native
from pytest_fastr.config import AbsoluteLimit
from pytest_fastr.gate.measure import Samples, cpu_us_per_request, quantile_us
from pytest_fastr.gate.model import AbsoluteResult, ValidityNote, Verdict

_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}


def hold(samples: Samples, limits: Mapping[str, AbsoluteLimit]) -> tuple[AbsoluteResult, ...]:
    """Every limit with its value, from the user's own closed loop (CPU time and memory: from the slices)."""
    return tuple(_held(samples, limit) for limit in limits.values())


def _held(samples: Samples, limit: AbsoluteLimit) -> AbsoluteResult:
    value = _value(samples, limit.metric)
    if value is None:
        return _bounded(samples, limit)
    kept = value < limit.bound if limit.sign == "<" else value > limit.bound
    return AbsoluteResult(limit.text, limit.metric, value, Verdict.EQUIVALENT if kept else Verdict.REGRESSED)


def _bounded(samples: Samples, limit: AbsoluteLimit) -> AbsoluteResult:
    """What is known where the value is not: for a quantile, the longest answer and the lower quantiles."""
    if limit.metric in _QUANTILES:
        longest, lower = _longest_us(samples), _lower_us(samples, limit.metric)
        if longest is not None and longest < limit.bound:
            return AbsoluteResult(limit.text, limit.metric, longest, Verdict.EQUIVALENT, at_most=True)
        if lower is not None and lower >= limit.bound:
            return AbsoluteResult(limit.text, limit.metric, lower, Verdict.REGRESSED, at_least=True)
    return AbsoluteResult(limit.text, limit.metric, None, Verdict.INCONCLUSIVE)


def notes(results: Sequence[AbsoluteResult]) -> tuple[ValidityNote, ...]:
    """What could not be told."""
    unknown = [one.limit for one in results if one.verdict is Verdict.INCONCLUSIVE]
    if not unknown:
        return ()
    message = f"{', '.join(unknown)} could not be told: too few answers; raise `duration`"
    return (ValidityNote("warn", "absolute", message),)


def _lower_us(samples: Samples, metric: str) -> float | None:
    """The highest quantile below this one that is known: it is no longer than this one."""
    below = [q for q in _QUANTILES.values() if q < _QUANTILES[metric]]
    known = [us for q in below if (us := quantile_us(samples.stretch, q)) is not None]
    return known[-1] if known else None


def _longest_us(samples: Samples) -> float | None:
    longest = _native.Histogram.merged([epoch.stretch.response for epoch in samples.epochs]).max_ns
    return None if longest is None else longest / 1000


def _value(samples: Samples, metric: str) -> float | None:
    slices = samples.candidate
    if metric == "rps":
        return samples.rps
    if metric == "cpu":
        return cpu_us_per_request(slices)
    if metric == "memory":
        return None if slices.peak_rss_bytes is None else float(slices.peak_rss_bytes)
    return quantile_us(samples.stretch, _QUANTILES[metric])
