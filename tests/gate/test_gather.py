"""What plots are drawn from: blocks added up in order, and curves as far as they are known."""

from __future__ import annotations

import random
from typing import Any

import pytest

from pytest_fastr import _native
from pytest_fastr.gate.evidence import Work
from pytest_fastr.gate.gather import chunks, curve, rounds_of

BLOCK = ((4, 1000, 800), (5, 2000, 900))


@pytest.mark.parametrize(("blocks", "wanted", "sizes"), [(0, 4, []), (3, 4, [1, 1, 1]), (10, 4, [2, 3, 2, 3])])
def test_blocks_are_added_up_in_groups_of_nearly_one_size(blocks: int, wanted: int, sizes: list[int]) -> None:
    found = chunks([BLOCK] * blocks, wanted)
    assert [chunk.blocks for chunk in found] == sizes
    assert sum(chunk.a.requests for chunk in found) == 4 * blocks
    assert sum(chunk.b.wall_ns for chunk in found) == 2000 * blocks


def test_what_was_not_done_has_no_rate() -> None:
    assert Work(0, 1000, 10).rps is None
    assert Work(0, 1000, 10).cpu_us is None
    assert Work(10, 1000, 0).cpu_us is None
    assert Work(10, 1_000_000_000, 50_000).rps == 10
    assert Work(10, 1000, 50_000).cpu_us == 5


def test_a_curve_of_nothing_is_empty() -> None:
    assert curve(_native.Side.merged([])).points == ()


class Told:
    """Answers as a histogram does, of times that are known exactly."""

    def __init__(self, times_ns: list[int]) -> None:
        self._times_ns = times_ns
        self.count = len(times_ns)
        self.max_ns = max(times_ns)

    def count_between(self, low_ns: int, high_ns: int) -> int:
        return sum(low_ns <= one <= high_ns for one in self._times_ns)


def test_a_histogram_is_taken_apart_to_three_digits_without_loss() -> None:
    chance = random.Random(5)
    times_ns = sorted(round(chance.lognormvariate(13.0, 1.0)) for _ in range(300))
    told: Any = Told(times_ns)
    counts = rounds_of(told).counts
    assert sum(count for _, count in counts) == 300
    taken = [seconds for seconds, count in counts for _ in range(count)]
    assert taken == pytest.approx([one / 1e9 for one in times_ns], rel=0.001)


def test_an_empty_histogram_has_no_rounds() -> None:
    assert rounds_of(_native.Histogram.merged([])).counts == ()
