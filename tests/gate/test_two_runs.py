"""Two runs: what both were measured against is compared, everything else is only shown."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import scipy.stats

from pytest_fastr._native import student_t_quantile
from pytest_fastr.gate.model import SessionReport, TestReport, ValidityNote, Verdict
from pytest_fastr.gate.two_runs import compare_runs
from support.results import PROFILE, report_of, session_of

LOAD: dict[str, object] = {"users": 20, "request": "GET /items", "slice_users": 10, "duration_s": 5.0, "epochs": 6}


def stored(log_ratio: float | None = 0.2, name: str = "test_items", **changes: Any) -> TestReport:
    """A test that was measured against the reference app."""
    test = report_of(Verdict.NEW, name, mode="stored", against="the stored baseline", load=LOAD)
    metric = replace(test.metrics["cpu"], log_ratio=log_ratio, log_ratio_se=0.004, limit=0.05)
    return replace(test, metrics={"cpu": metric}, **changes)


def judged(a: TestReport, b: TestReport, limit: float | None = None) -> Any:
    (pair,) = compare_runs(session_of(a), session_of(b), limit).pairs
    (difference,) = pair.differences
    return difference


def test_log_ratios_to_the_reference_app_are_compared() -> None:
    # The machine of the second run is half as fast, which the ratio does not see.
    slow = replace(stored().metrics["cpu"], candidate=400.0)
    same = judged(stored(), replace(stored(), metrics={"cpu": slow}))
    assert same.change == pytest.approx(0.0)
    assert same.verdict is Verdict.INCONCLUSIVE  # single sessions differ by more than 5 %
    assert judged(stored(), stored(), limit=0.5).verdict is Verdict.EQUIVALENT
    assert judged(stored(0.2), stored(0.6)).verdict is Verdict.REGRESSED
    assert judged(stored(0.6), stored(0.2)).verdict is Verdict.IMPROVED
    assert judged(stored(0.2), stored(0.6), limit=0.6).verdict is not Verdict.REGRESSED


def test_the_interval_has_the_spread_of_single_sessions() -> None:
    found = judged(stored(0.2), stored(0.2 + math.log(1.06)))
    assert found.change == pytest.approx(0.06)
    assert found.low < 0 < found.change < found.high
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.smallest_detectable > 0.1


def test_functions_differ_by_more_and_their_wall_time_is_compared() -> None:
    def function(log_ratio: float) -> TestReport:
        test = stored(log_ratio, load={"function": "sync", "epochs": 6})
        time = replace(test.metrics["cpu"], name="time", verdict=None)
        return replace(test, metrics={**test.metrics, "time": time})

    (pair,) = compare_runs(session_of(function(0.2)), session_of(function(0.35))).pairs
    cpu, time = pair.differences
    assert judged(stored(0.2), stored(0.35)).verdict is Verdict.REGRESSED
    assert cpu.verdict is Verdict.INCONCLUSIVE
    assert cpu.low == pytest.approx(0.01, abs=0.02)
    assert time.low == pytest.approx(-0.33, abs=0.02)
    assert time.verdict is None


@pytest.mark.parametrize("df", [3.0, 5.0, 10.0, 1e6])
@pytest.mark.parametrize("probability", [0.8, 0.95, 0.975, 0.999, 0.9999])
def test_few_epochs_make_wider_intervals(df: float, probability: float) -> None:
    exact = scipy.stats.t.ppf(probability, df)
    assert student_t_quantile(probability, df) == pytest.approx(exact, rel=1e-6)


def test_throughput_gets_worse_by_falling() -> None:
    def with_rps(log_ratio: float) -> TestReport:
        metric = replace(stored(log_ratio).metrics["cpu"], name="throughput", unit="rps", direction="higher")
        return replace(stored(), metrics={"throughput": metric})

    assert judged(with_rps(0.2), with_rps(-0.2)).verdict is Verdict.REGRESSED
    assert judged(with_rps(-0.2), with_rps(0.2)).verdict is Verdict.IMPROVED


def test_the_same_commit_on_the_other_side_is_compared_and_far_sharper() -> None:
    def paired(log_ratio: float, against: str = "main (42092daa)") -> TestReport:
        return replace(stored(log_ratio), mode="paired", against=against)

    assert judged(paired(0.0), paired(math.log(1.06))).verdict is Verdict.REGRESSED
    assert judged(paired(0.0), paired(math.log(1.06), "merge-base (42092daa)")).verdict is Verdict.REGRESSED
    for other in ("main (42092dab)", "http://127.0.0.1:8000", "main"):
        found = judged(paired(0.0, other if "4209" not in other else "main (42092daa)"), paired(0.5, other))
        assert found.verdict is None
        assert found.low is None


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (stored(), stored(load={**LOAD, "users": 40}), "the loads differ: users 20 -> 40"),
        (stored(), stored(load={**LOAD, "slice_users": 9}), "slice_users 10 -> 9"),
        (stored(), stored(verdict=Verdict.INVALID, validity=(ValidityNote("void", "steal", "x"),)),
         "B's result is invalid (steal)"),
        (stored(verdict=Verdict.INVALID), stored(), "A's result is invalid (a metric is missing)"),
        (stored(None), stored(), "no log ratios"),
        (stored(mode="equal"), stored(mode="equal"), "compared with itself"),
        (stored(mode="none"), stored(mode="none"), "not measured against anything"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_shown_and_says_why(a: TestReport, b: TestReport, words: str) -> None:
    (pair,) = compare_runs(session_of(a), session_of(b)).pairs
    assert words in pair.indicative
    assert not pair.is_compared
    assert [one.change for one in pair.differences] == [0.0]


def test_how_long_the_load_was_offered_is_no_other_load() -> None:
    (pair,) = compare_runs(session_of(stored()), session_of(stored(load={**LOAD, "duration_s": 60.0}))).pairs
    assert pair.is_compared


def test_another_profile_is_never_judged() -> None:
    other = replace(PROFILE, key=replace(PROFILE.key, cores=64, python="3.13"))
    runs = compare_runs(session_of(stored(0.0)), session_of(stored(2.0), profile=other))
    assert "the hardware profiles differ (cores, python)" in runs.pairs[0].indicative
    assert not runs.worse
    assert runs.notes[0].endswith(f"{PROFILE.slug}, {other.slug}")


def test_tests_that_came_went_and_repeat_are_kept_apart() -> None:
    a = session_of(stored(), stored(0.3), stored(name="test_old"))
    b = session_of(stored(), stored(0.9), stored(name="test_new"))
    runs = compare_runs(a, b)
    assert runs.added == ("tests/perf/test_shop.py::test_new (stored)",)
    assert runs.removed == ("tests/perf/test_shop.py::test_old (stored)",)
    assert [pair.differences[0].verdict for pair in runs.pairs] == [Verdict.INCONCLUSIVE, Verdict.REGRESSED]


def test_versions_and_kernels_that_differ_are_named() -> None:
    def session(version: str, kernel: str) -> SessionReport:
        profile = replace(PROFILE, recorded=replace(PROFILE.recorded, kernel=kernel))
        return session_of(stored(), versions={"pytest-fastr": version}, profile=profile)

    notes = compare_runs(session("0.1", "6.1"), session("0.2", "6.2")).notes
    assert notes == ("pytest-fastr differs: 0.1, then 0.2", "kernel differs: 6.1, then 6.2")


def test_what_is_not_gated_is_shown_and_not_judged() -> None:
    def shown(log_ratio: float) -> TestReport:
        return replace(stored(), metrics={"cpu": replace(stored(log_ratio).metrics["cpu"], verdict=None)})

    found = judged(shown(0.0), shown(1.0))
    assert found.verdict is None
    assert found.low is not None
    assert judged(shown(0.0), stored(1.0)).verdict is Verdict.REGRESSED


def test_numbers_without_meaning_do_no_harm() -> None:
    found = judged(stored(-1e299), stored(1e299))
    assert found.verdict is Verdict.REGRESSED
    assert math.isfinite(found.change)
    wild = replace(stored().metrics["cpu"], log_ratio_se=1e299)
    assert judged(stored(), replace(stored(), metrics={"cpu": wild})).verdict is Verdict.INCONCLUSIVE
