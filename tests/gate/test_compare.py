"""From estimates and stored sessions to verdicts."""

from __future__ import annotations

import math

import pytest

from pytest_fastr import _native
from pytest_fastr.config import DEFAULT_LIMITS
from pytest_fastr.gate.basis import Direct, Stored
from pytest_fastr.gate.compare import Estimate, Rules, compare, session_record
from pytest_fastr.gate.model import Verdict
from pytest_fastr.gate.stored_test import StoredMetric, StoredSession, StoredTest

RULES = Rules(
    limits=DEFAULT_LIMITS, gated=("cpu", "throughput", "p99"), false_alarm=0.001, most_epochs=24, last_false_alarm=0.001
)


def estimate(log_ratio: float, candidate: float = 100.0) -> Estimate:
    """Six epochs that agree to a tenth of a per cent."""
    epochs = [log_ratio + (number - 2.5) * 0.0005 for number in range(6)]
    ratio = _native.session_estimate([_native.EpochEstimate.exact(one) for one in epochs], ())
    return Estimate(ratio, tuple(epochs), candidate)


def stored(
    log_ratio: float = 0.0, sessions: int = 1, metrics: tuple[str, ...] = ("cpu", "throughput", "p99")
) -> StoredTest:
    metric = StoredMetric(log_ratio=log_ratio, totals_log_ratio=log_ratio, se=0.001, candidate=1.0, unit="us")
    session = StoredSession("2026-01-01T00:00:00+00:00", None, "0", dict.fromkeys(metrics, metric))
    return StoredTest({}, (session,) * sessions)


def verdicts(found: dict[str, Estimate], past: StoredTest | None, rules: Rules = RULES) -> dict[str, Verdict | None]:
    return {name: result.verdict for name, result in compare(found, Stored(past), rules).results.items()}


def all_at(log_ratio: float) -> dict[str, Estimate]:
    return {metric: estimate(log_ratio) for metric in ("cpu", "throughput", "p99")}


def test_more_cpu_is_red_and_more_throughput_is_not() -> None:
    assert verdicts(all_at(math.log(1.5)), stored()) == {
        "cpu": Verdict.REGRESSED,
        "throughput": Verdict.IMPROVED,
        "p99": Verdict.INCONCLUSIVE,
    }


def test_less_throughput_is_red_and_less_cpu_is_not() -> None:
    seen = verdicts(all_at(-math.log(1.5)), stored())
    assert seen["cpu"] is Verdict.IMPROVED
    assert seen["throughput"] is Verdict.REGRESSED


def test_the_change_is_told_against_what_the_baseline_predicts_for_today() -> None:
    result = compare({"cpu": estimate(math.log(1.5), candidate=300.0)}, Stored(stored()), RULES).results["cpu"]
    assert result.change == pytest.approx(0.5, rel=1e-3)
    assert result.baseline == pytest.approx(200.0, rel=1e-3)
    assert result.low is not None
    assert result.high is not None
    assert 0 < result.low < 0.5 < result.high


def test_a_change_below_the_limit_is_never_red() -> None:
    rules = Rules(
        limits={**DEFAULT_LIMITS, "cpu": 0.6}, gated=("cpu",), false_alarm=0.001, most_epochs=24, last_false_alarm=0.001
    )
    assert verdicts({"cpu": estimate(math.log(1.5))}, stored(), rules)["cpu"] is not Verdict.REGRESSED


def test_without_a_stored_value_a_gated_metric_is_new() -> None:
    assert verdicts(all_at(0.0), None) == dict.fromkeys(RULES.gated, Verdict.NEW)
    assert verdicts(all_at(0.0), stored(metrics=("cpu",)))["throughput"] is Verdict.NEW


def test_a_quantile_that_the_stored_sessions_could_not_tell_is_not_new() -> None:
    result = compare(all_at(0.0), Stored(stored(metrics=("cpu", "throughput"))), RULES).results["p99"]
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "duration" in result.notes[0]


def test_a_gated_metric_without_an_estimate_is_never_a_pass() -> None:
    results = compare({"throughput": estimate(0.0)}, Stored(stored()), RULES).results
    assert results["cpu"].verdict is Verdict.INVALID
    assert results["cpu"].notes
    assert results["p99"].verdict is Verdict.INCONCLUSIVE
    assert results["p99"].notes


def test_what_is_not_gated_is_shown_without_a_verdict() -> None:
    result = compare({"memory": estimate(math.log(3))}, Stored(stored(metrics=("memory",))), RULES).results["memory"]
    assert result.verdict is None
    assert result.change == pytest.approx(2.0, rel=1e-2)


def test_a_session_keeps_both_ratios_of_every_metric() -> None:
    record = session_record(all_at(0.25), "2026-01-01T00:00:00+00:00", "abc", "0.1.0")
    assert set(record.metrics) == {"cpu", "throughput", "p99"}
    assert record.metrics["cpu"].log_ratio == pytest.approx(0.25)
    assert record.metrics["cpu"].totals_log_ratio == pytest.approx(0.25)


def test_what_more_epochs_could_turn_red_has_a_chance_and_what_they_could_not_has_none() -> None:
    found = {"cpu": estimate(math.log(1.12)), "throughput": estimate(0.0), "memory": estimate(math.log(2))}
    chances = compare(found, Stored(stored(metrics=("cpu", "throughput", "memory"))), RULES).chances
    assert set(chances) == {"cpu", "throughput"}
    assert chances["throughput"] == pytest.approx(0.0, abs=1e-9)
    # Agreeing epochs hardly move: what more of them would find is nearly certain.
    assert chances["cpu"] in (pytest.approx(0.0, abs=1e-6), pytest.approx(1.0, abs=1e-6))


def test_a_new_metric_has_no_chance_of_being_red() -> None:
    assert compare(all_at(0.5), Stored(None), RULES).chances == {}


def test_the_next_lower_quantile_is_gated_where_there_are_too_few_answers() -> None:
    costs = {"cpu": estimate(0.0), "throughput": estimate(0.0)}
    basis = Direct("paired", "main")
    lower = compare({**costs, "p50": estimate(0.0), "p90": estimate(math.log(2))}, basis, RULES).results
    assert "p99" not in lower
    assert (lower["p50"].verdict, lower["p90"].verdict) == (None, Verdict.REGRESSED)
    assert "gated instead of p99" in lower["p90"].notes[-1]
    none = compare(costs, basis, RULES).results
    assert none["p99"].verdict is Verdict.INCONCLUSIVE
    enough = compare({**costs, "p90": estimate(math.log(2)), "p99": estimate(0.0)}, basis, RULES).results
    assert (enough["p90"].verdict, enough["p99"].verdict) == (None, Verdict.EQUIVALENT)


def test_the_other_side_of_a_run_is_always_there_and_has_a_floor_under_its_error() -> None:
    found = {"cpu": estimate(math.log(1.03)), "throughput": estimate(0.0), "p99": estimate(0.0)}
    rules = Rules(limits={**DEFAULT_LIMITS, "cpu": 0.02}, gated=("cpu",), false_alarm=0.001, most_epochs=24,
                  last_false_alarm=0.001)  # fmt: skip
    sure = compare(found, Direct("paired", "main"), rules).results["cpu"]
    assert sure.verdict is Verdict.REGRESSED
    rough = compare(found, Direct("paired", "main", {"cpu": (0.02, 20.0)}), rules).results["cpu"]
    assert rough.verdict is Verdict.INCONCLUSIVE
    assert sure.smallest_detectable is not None
    assert rough.smallest_detectable is not None
    assert rough.smallest_detectable > sure.smallest_detectable


def test_a_tail_at_a_rate_is_held_to_what_the_run_could_see() -> None:
    rules = Rules(limits=DEFAULT_LIMITS, gated=("rate_p99",), false_alarm=0.001, most_epochs=24, last_false_alarm=0.001)
    rough = Direct("paired", "main", {"rate_p99": (0.1, 30.0)})
    result = compare({"rate_p99": estimate(0.05)}, rough, rules).results["rate_p99"]
    assert result.verdict is Verdict.EQUIVALENT
    assert result.limit is not None
    assert result.limit > DEFAULT_LIMITS["rate_p99"]
    assert "the smallest change that this run could have seen" in result.notes[-1]
    blind = compare({"rate_p99": estimate(0.05)}, Direct("paired", "main", {"rate_p99": (0.9, 30.0)}), rules)
    assert blind.results["rate_p99"].verdict is Verdict.INCONCLUSIVE
    far = compare({"rate_p99": estimate(math.log(10))}, rough, rules).results["rate_p99"]
    assert far.verdict is Verdict.REGRESSED
