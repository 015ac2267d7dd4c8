"""Absolute limits of a test: what its response times, throughput, CPU time and memory must keep, always."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_fastr import _native
from pytest_fastr.config import AbsoluteLimit
from pytest_fastr.gate.measure import Samples
from pytest_fastr.gate.model import AbsoluteResult, Verdict

_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}


def hold(samples: Samples, limits: Mapping[str, AbsoluteLimit]) -> tuple[AbsoluteResult, ...]:
    """Every limit with its value, from the user's own closed loop (CPU time and memory: from the slices)."""
    return tuple(_held(samples, limit) for limit in limits.values())


def _held(samples: Samples, limit: AbsoluteLimit) -> AbsoluteResult:
    value = _value(samples, limit.metric)
    longest = _longest_us(samples) if value is None and limit.metric in _QUANTILES else None
    if longest is not None and longest < limit.bound:
        return AbsoluteResult(limit.text, limit.metric, longest, Verdict.EQUIVALENT, at_most=True)
    if value is None:
        return AbsoluteResult(limit.text, limit.metric, None, Verdict.INCONCLUSIVE)
    kept = value < limit.bound if limit.sign == "<" else value > limit.bound
    return AbsoluteResult(limit.text, limit.metric, value, Verdict.EQUIVALENT if kept else Verdict.REGRESSED)


def _longest_us(samples: Samples) -> float | None:
    longest = _native.Histogram.merged([epoch.stretch.response for epoch in samples.epochs]).max_ns
    return None if longest is None else longest / 1000


def _value(samples: Samples, metric: str) -> float | None:
    stretch, slices = samples.stretch, samples.candidate
    if metric == "rps":
        return stretch.requests * 1e9 / stretch.duration_ns
    if metric == "cpu":
        return slices.cpu_ns / 1000 / slices.requests if slices.cpu_ns else None
    if metric == "memory":
        return None if slices.peak_rss_bytes is None else float(slices.peak_rss_bytes)
    quantile = stretch.quantile_ns(_QUANTILES[metric])
    return None if quantile is None else quantile / 1000
