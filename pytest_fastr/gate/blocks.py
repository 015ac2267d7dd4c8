"""From the blocks of one epoch to its log ratio, as `native/stats/src/epoch.rs` has it for what the generator measures.

The native function takes blocks that were measured natively. A test holds the two together, on the same blocks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from pytest_fastr import _native

Totals = tuple[int, int, int]
"""Calls (or requests), wall nanoseconds and CPU nanoseconds of one side."""
Block = tuple[Totals, Totals]
"""Sides A and B of four slices."""
Cost = Literal["cpu", "time"]

MIN_BLOCKS = 5
"""With fewer there is no error worth the name."""
_PART = {"time": 1, "cpu": 2}


def epoch_estimate(blocks: Sequence[Block], cost: Cost) -> _native.EpochEstimate:
    """The epoch's log ratio of a cost per call: a 20 % trimmed mean over the blocks, and the ratio of their sums.

    Raises ValueError for fewer than five blocks, and for a block that cost nothing by the clock.
    """
    if len(blocks) < MIN_BLOCKS:
        raise ValueError(f"{len(blocks)} blocks are too few, {MIN_BLOCKS} are needed")
    part = _PART[cost]
    if any(side[part] <= 0 for block in blocks for side in block):
        raise ValueError("the clock is too coarse: a block took none of its time")
    centre, se, df = _trimmed_mean([_log_ratio(*block, part) for block in blocks])
    totals, totals_se = _jackknifed_totals(blocks, part)
    return _native.EpochEstimate(centre, se, df, totals, totals_se, len(blocks))


def plus(one: Totals, other: Totals, sign: int = 1) -> Totals:
    """The sum, member by member."""
    return one[0] + sign * other[0], one[1] + sign * other[1], one[2] + sign * other[2]


def _log_ratio(a: Totals, b: Totals, part: int) -> float:
    return math.log((b[part] / b[0]) / (a[part] / a[0]))


def _trimmed_mean(values: Sequence[float]) -> tuple[float, float, float]:
    """The 20 % trimmed mean, its error from the Winsorized variance (Yuen 1974), and the degrees of freedom."""
    ordered = sorted(values)
    cut = len(ordered) // 5
    kept = ordered[cut : len(ordered) - cut]
    winsorized = [min(max(value, kept[0]), kept[-1]) for value in ordered]
    middle = sum(winsorized) / len(winsorized)
    squares = sum((value - middle) ** 2 for value in winsorized)
    return sum(kept) / len(kept), math.sqrt(squares / (len(kept) * (len(kept) - 1))), len(kept) - 1.0


def _jackknifed_totals(blocks: Sequence[Block], part: int) -> tuple[float, float]:
    """The log ratio of the sums, and its error from leaving out one block at a time."""
    whole_a, whole_b = (0, 0, 0), (0, 0, 0)
    for a, b in blocks:
        whole_a, whole_b = plus(whole_a, a), plus(whole_b, b)
    without = [_log_ratio(plus(whole_a, a, -1), plus(whole_b, b, -1), part) for a, b in blocks]
    mean = sum(without) / len(without)
    squares = sum((value - mean) ** 2 for value in without)
    return _log_ratio(whole_a, whole_b, part), math.sqrt(squares * (len(without) - 1) / len(without))
