"""Blocks of calls in this process, condensed as those of the generator are: by the stats crate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pytest_fastr import _native

Totals = tuple[int, int, int]
"""Calls (or requests), wall nanoseconds and CPU nanoseconds of one side."""
Block = tuple[Totals, Totals]
"""Sides A and B of four slices."""
Cost = Literal["cpu", "time"]

MIN_BLOCKS = 5
"""Fewer give no estimate: the stats crate's own number."""


def epoch_estimate(blocks: Sequence[Block], cost: Cost) -> _native.EpochEstimate:
    """The epoch's log ratio of a cost per call.

    Raises ValueError for fewer than five blocks, and for sides that cost nothing by the clock.
    """
    if cost == "cpu":
        return _native.EpochEstimate.of_blocks(blocks, "cpu")
    # Time per call is the inverse of throughput.
    found = _native.EpochEstimate.of_blocks(blocks, "throughput")
    return _native.EpochEstimate(
        -found.log_ratio, found.se, found.df, -found.totals_log_ratio, found.totals_se, found.blocks
    )


def plus(one: Totals, other: Totals) -> Totals:
    """The sum, member by member."""
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]
