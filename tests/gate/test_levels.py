"""Levels of stored baselines lie as far apart as the gate itself would expect, and no further."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from pytest_fastr.gate.baseline_diff import diff_of, load_differences
from pytest_fastr.gate.basis import FUNCTION_SPREAD, PRIOR_SPREAD
from pytest_fastr.gate.levels import change_between, levels_of
from pytest_fastr.gate.snapshot import ProfileSnapshot
from pytest_fastr.gate.stored_test import StoredMetric, StoredSession, StoredTest
from support.baselines import ERA, LOAD, NODE, OTHER, PROFILE, session, stored

Z95 = 1.959964


def none(metric: str) -> Sequence[Sequence[float]]:
    return ()


def levelled(*log_ratios: float) -> StoredTest:
    return StoredTest(LOAD, tuple(session(day, ratio) for day, ratio in enumerate(log_ratios, start=1)))


@pytest.mark.parametrize("count", [1, 2, 8])
def test_a_further_session_may_differ_by_the_spread_of_one_and_of_the_mean(count: int) -> None:
    cpu, throughput = levels_of(levelled(*[0.1] * count), none)
    expected = Z95 * PRIOR_SPREAD["cpu"] * math.sqrt(1 + 1 / count)
    assert cpu.high == pytest.approx(math.expm1(expected), rel=1e-4)
    assert cpu.low == pytest.approx(math.expm1(-expected), rel=1e-4)
    assert cpu.log_ratio == pytest.approx(0.1)
    assert (throughput.low, throughput.high) == (cpu.low, cpu.high)


def test_a_function_has_the_spread_of_functions_for_its_wall_time_too() -> None:
    metrics = {name: StoredMetric(0.1, 0.1, 0.004, 20.0, "us/call") for name in FUNCTION_SPREAD}
    function = StoredTest({"function": "sync"}, (replace(session(), metrics=metrics),))
    found = {level.name: level.high for level in levels_of(function, none)}
    assert found == {
        name: pytest.approx(math.expm1(Z95 * spread * math.sqrt(2)), rel=1e-4)
        for name, spread in FUNCTION_SPREAD.items()
    }


def test_what_a_function_differs_by_is_learned_from_functions() -> None:
    metrics = {"cpu": StoredMetric(0.5, 0.5, 0.004, 20.0, "us/call")}
    function = StoredTest({"function": "sync"}, (replace(session(), metrics=metrics),))
    profile = ProfileSnapshot(PROFILE.slug, "baselines", tests={NODE: levelled(0.1, 0.2), "f": function})
    assert profile.ratios("cpu") == [[0.1, 0.2]]
    assert profile.ratios_like(function)("cpu") == [[0.5]]


def test_the_profile_s_own_spread_counts_once_it_is_larger() -> None:
    (narrow, _), (wide, _) = (levels_of(levelled(0.1, 0.1), lambda _, h=h: h) for h in ([[0.1, 0.1]], [[0.0, 0.5]]))  # type: ignore[misc]
    assert narrow.high is not None
    assert wide.high is not None
    assert wide.high > narrow.high


def test_a_move_has_the_interval_of_two_means() -> None:
    change = change_between("cpu", levelled(0.1, 0.1), StoredTest(LOAD, (session(9, 0.2),)), none)
    margin = Z95 * PRIOR_SPREAD["cpu"] * math.sqrt(1 / 2 + 1)
    assert change.change == pytest.approx(math.expm1(0.1))
    assert change.low == pytest.approx(math.expm1(0.1 - margin), rel=1e-4)
    assert change.high == pytest.approx(math.expm1(0.1 + margin), rel=1e-4)
    assert (change.before, change.after) == (201.5, 209.0)


def test_sessions_that_both_states_have_move_nothing() -> None:
    before = levelled(0.1, 0.1)
    same = change_between("cpu", before, before, none)
    assert (same.change, same.low, same.high) == (0.0, 0.0, 0.0)
    more = change_between("cpu", before, StoredTest(LOAD, (*before.sessions, session(9, 0.1))), none)
    assert more.high == pytest.approx(math.expm1(Z95 * 0.03 * math.sqrt(1 / 2 - 1 / 3)), rel=1e-4)


def test_what_cannot_be_said_is_not_said() -> None:
    other_load = change_between("cpu", stored(1), stored(2, users=7), none)
    assert (other_load.change, other_load.low) == (None, None)
    huge = StoredSession("x", None, "1", {"cpu": StoredMetric(1e308, 1e308, 0.0, 1.0, "us"), "odd": _odd()})
    cpu, odd = levels_of(StoredTest(LOAD, (huge, huge, huge)), none)
    assert odd.low is None
    assert cpu.value == 1.0
    unknown = change_between("odd", StoredTest(LOAD, (huge,)), StoredTest(LOAD, (huge, huge)), none)
    assert (unknown.change, unknown.low) == (0.0, None)
    missing = change_between("odd", levelled(0.1), StoredTest(LOAD, (huge,)), none)
    assert (missing.before, missing.after, missing.change) == (None, 3.0, None)


def _odd() -> StoredMetric:
    return StoredMetric(0.0, 0.0, 0.0, 3.0, "apples")


def state(slug: str = PROFILE.slug, **tests: StoredTest) -> ProfileSnapshot:
    return ProfileSnapshot(slug, "somewhere", PROFILE, {f"{NODE}_{name}": test for name, test in tests.items()})


def test_a_diff_has_what_differs_and_nothing_else() -> None:
    before = [state(same=stored(1), more=stored(1), gone=stored(1), era=stored(1), load=stored(1), lane=stored(1))]
    after = [
        state(
            same=stored(1),
            more=stored(1, 2),
            era=stored(11, eras=(ERA,)),
            load=stored(1, users=7),
            lane=replace(stored(1), lane="full"),
            new=stored(1, 2),
        ),
        state(OTHER.slug, new=stored(1)),
    ]
    found = {one.slug: one for one in diff_of(before, after)}
    assert found[OTHER.slug].kind == "added"
    tests = {one.nodeid.rpartition("_")[2]: one for one in found[PROFILE.slug].tests}
    assert {name: (one.kind, one.came, one.went) for name, one in tests.items()} == {
        "more": ("changed", 1, 0), "gone": ("removed", 0, 1), "era": ("changed", 1, 1), "load": ("changed", 0, 0),
        "lane": ("changed", 0, 0), "new": ("added", 2, 0),
    }  # fmt: skip
    assert tests["era"].eras == (ERA,)
    assert tests["load"].load == ("users was 20 and is 7",)
    assert tests["lane"].lane == (None, "full")
    assert [level.after for level in tests["gone"].levels] == [None, None]
    assert [level.before for level in tests["new"].levels] == [None, None]
    assert diff_of(before, before) == ()


def test_a_void_profile_is_told_where_it_comes_or_goes() -> None:
    void = ProfileSnapshot("old-0a1b2c3d", "somewhere", void="measured by protocol 1, this one is 2")
    (removed,) = diff_of([void], [])
    assert (removed.kind, removed.void) == ("removed", void.void)
    assert diff_of([void], [void]) == ()


def test_keys_of_a_load_that_only_one_has_differ() -> None:
    assert load_differences({"users": 1}, {"rate": 5.0}) == ("rate was None and is 5.0", "users was 1 and is None")
