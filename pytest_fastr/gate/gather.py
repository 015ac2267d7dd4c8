"""From a decision to what its verdict rests on. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from pytest_fastr import _native
from pytest_fastr.gate.basis import Stored
from pytest_fastr.gate.compare import Estimate
from pytest_fastr.gate.decide import Decision
from pytest_fastr.gate.evidence import (
    Chunk,
    Curve,
    EpochEvidence,
    Evidence,
    History,
    Ratio,
    Rounds,
    SessionPoint,
    Work,
)
from pytest_fastr.gate.measure import EpochSample
from pytest_fastr.gate.model import MetricResult

MOST_CHUNKS = 144
"""Of all epochs: more points than this no plot can show."""
_FEWEST_AN_EPOCH = 4
_MOST_AN_EPOCH = 16

_STEPS_A_DECADE = 10
_MOST_DECADES = 7
_COSTS = ("cpu", "throughput")
_DIGITS = 1000

_Block = tuple[tuple[int, int, int], tuple[int, int, int]]


def gather(decision: Decision, results: Mapping[str, MetricResult]) -> Evidence:
    """What the results rest on."""
    task, samples = decision.task, decision.samples
    found = decision.looks[-1].pooled.found
    an_epoch = min(max(MOST_CHUNKS // len(samples.epochs), _FEWEST_AN_EPOCH), _MOST_AN_EPOCH)
    return Evidence(
        a_title=task.pair.a.title,
        b_title=task.pair.b.title,
        epochs=tuple(_epoch(epoch, an_epoch) for epoch in samples.epochs),
        curves=(curve(samples.baseline), curve(samples.candidate)),
        rounds=rounds_of(_native.Histogram.merged([epoch.stretch.response for epoch in samples.epochs])),
        unchanged=unchanged_of(found, results),
        history=history_of(task.basis, found) if isinstance(task.basis, Stored) else None,
    )


def chunks(blocks: Sequence[_Block], count: int) -> tuple[Chunk, ...]:
    """The blocks in order, in ``count`` groups of as equal size as can be; fewer where there are fewer blocks."""
    count = min(count, len(blocks))
    ends = [len(blocks) * number // count for number in range(count + 1)] if count else [0]
    groups = [blocks[begin:end] for begin, end in pairwise(ends)]
    return tuple(Chunk(len(group), _sum(group, 0), _sum(group, 1)) for group in groups)


def curve(side: _native.Side) -> Curve:
    """The side's response times at shares that crowd towards 1, as far as enough answers lie beyond them."""
    shares = [1 - 10 ** (-step / _STEPS_A_DECADE) for step in range(1, _STEPS_A_DECADE * _MOST_DECADES + 1)]
    shares = sorted({*shares, 0.5, *(1 - 10.0**-decade for decade in range(1, _MOST_DECADES + 1))})
    known = [(share, side.quantile_ns(share)) for share in shares]
    return Curve(side.requests, tuple((share, ns / 1000) for share, ns in known if ns is not None))


def rounds_of(times: _native.Histogram) -> Rounds:
    """What the histogram holds, to three digits: its bins are found by halving ranges until nothing is left to tell."""
    found: list[tuple[float, int]] = []
    # Ends, and how many times lie up to each.
    ranges = [(0, times.max_ns, 0, times.count)] if times.max_ns is not None else []
    while ranges:
        low, high, up_to_low, up_to_high = ranges.pop()
        if up_to_low == up_to_high:
            continue
        if high - low <= max(1, low // _DIGITS):
            found.append(((low + high + 1) // 2 / 1e9, up_to_high - up_to_low))
            continue
        middle = (low + high) // 2
        up_to_middle = times.count_between(0, middle)
        # The lower half is taken next: what is found is sorted.
        ranges += [(middle, high, up_to_middle, up_to_high), (low, middle, up_to_low, up_to_middle)]
    return Rounds(tuple(found))


def _sum(blocks: Sequence[_Block], side: int) -> Work:
    requests, wall_ns, cpu_ns = (sum(block[side][part] for block in blocks) for part in range(3))
    return Work(requests, wall_ns, cpu_ns)


def _epoch(epoch: EpochSample, count: int) -> EpochEvidence:
    ratios = {}
    for cost in _COSTS:
        try:
            estimate = epoch.paired.epoch_estimate("cpu" if cost == "cpu" else "throughput")
        except ValueError:
            continue  # too few blocks, or no CPU time on this system
        ratios[cost] = Ratio(estimate.log_ratio, estimate.se)
    return EpochEvidence(chunks(epoch.paired.blocks, count), ratios)


def unchanged_of(found: Mapping[str, Estimate], results: Mapping[str, MetricResult]) -> dict[str, float]:
    """Per metric the log ratio at which nothing would have changed."""
    changes = {metric: result.change for metric, result in results.items()}
    return {
        metric: estimate.ratio.log_ratio - math.log1p(change)
        for metric, estimate in found.items()
        if (change := changes.get(metric)) is not None and change > -1
    }


def history_of(basis: Stored, found: Mapping[str, Estimate]) -> History:
    """The stored sessions, and this one."""
    now = {metric: Ratio(one.ratio.log_ratio, one.ratio.se) for metric, one in found.items()}
    if basis.test is None:
        return History((), now)
    sessions = tuple(
        SessionPoint(
            session.recorded,
            session.commit,
            {metric: Ratio(one.log_ratio, one.se) for metric, one in session.metrics.items()},
        )
        for session in basis.test.sessions
    )
    return History(sessions, now, tuple((era.since, era.reason) for era in basis.test.eras))
