"""The statistics say what scipy says, wherever scipy has the same question."""

from __future__ import annotations

import math
import random

import numpy
import pytest
from scipy import optimize, special, stats

from pytest_fastr import Server, _native
from pytest_fastr.gate import blocks
from pytest_fastr.report.equals_text import rate_interval

NO_FLOOR = (0.0, math.inf)
DRAW = random.Random(1)
SAMPLES = [[DRAW.gauss(0.01 * (number % 4), 0.02) for _ in range(3 + number)] for number in range(12)]


def session(values: list[float]) -> _native.SessionEstimate:
    """Epochs that were measured without error, so that only their spread counts."""
    return _native.session_estimate([_native.EpochEstimate.exact(value) for value in values], ())


def rule(false_alarm: float = 0.01, confidence: float = 0.95, limit: float = 1e-9) -> _native.JudgeRule:
    return _native.JudgeRule(
        lower_is_better=True, limit=limit, false_alarm=false_alarm, confidence=confidence, most_epochs=24,
        last_false_alarm=false_alarm,
    )  # fmt: skip


@pytest.mark.parametrize("values", SAMPLES)
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.999])
def test_an_interval_is_that_of_students_t(values: list[float], confidence: float) -> None:
    judged = _native.judge_pair(session(values), NO_FLOOR, rule(confidence=confidence))
    low, high = stats.t.interval(confidence, len(values) - 1, loc=stats.tmean(values), scale=stats.sem(values))
    assert math.log1p(judged.low) == pytest.approx(low, abs=1e-9)
    assert math.log1p(judged.high) == pytest.approx(high, abs=1e-9)


@pytest.mark.parametrize("values", SAMPLES)
@pytest.mark.parametrize("false_alarm", [0.2, 0.01, 0.0003])
def test_red_without_a_limit_is_a_one_sided_t_test(values: list[float], false_alarm: float) -> None:
    red = _native.judge_pair(session(values), NO_FLOOR, rule(false_alarm)).verdict == "regressed"
    assert red == (stats.ttest_1samp(values, 0.0, alternative="greater").pvalue < false_alarm)


@pytest.mark.parametrize(("one", "other"), list(zip(SAMPLES, reversed(SAMPLES), strict=True)))
def test_two_errors_are_added_as_welch_does(one: list[float], other: list[float]) -> None:
    floor = (float(stats.sem(other)), float(len(other) - 1))
    judged = _native.judge_pair(session(one), floor, rule())
    interval = stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.95)
    half = (interval.high - interval.low) / 2
    middle = stats.tmean(one)
    assert math.log1p(judged.low) == pytest.approx(middle - half, abs=1e-9)
    assert math.log1p(judged.high) == pytest.approx(middle + half, abs=1e-9)


def pooled(own: list[float], others: list[list[float]]) -> _native.SessionEstimate:
    return _native.session_estimate([_native.EpochEstimate.exact(value) for value in own], others)


def weighted(parts: list[tuple[float, float]]) -> float:
    """The mean of variances by their degrees of freedom."""
    return sum(variance * df for variance, df in parts) / sum(df for _, df in parts)


def test_a_few_other_tests_are_a_pooled_variance_that_counts_for_little() -> None:
    own, others = SAMPLES[5], [SAMPLES[7], SAMPLES[9]]
    found = pooled(own, others)
    prior = weighted([(stats.tvar(one), len(one) - 1) for one in others])
    assert found.df == len(own) - 1 + 4
    variance = weighted([(stats.tvar(own), len(own) - 1), (prior, 4)])
    assert found.se == pytest.approx(math.sqrt(variance / len(own)))


def test_many_other_tests_are_the_prior_of_an_empirical_bayes_estimate() -> None:
    own = SAMPLES[5]
    others = [[DRAW.gauss(0.0, 0.01 * 3 ** (number % 3)) for _ in range(6)] for number in range(12)]
    half = numpy.array([(len(one) - 1) / 2 for one in others])
    logs = numpy.log([stats.tvar(one) for one in others]) - special.digamma(half) + numpy.log(half)
    excess = logs.var(ddof=1) - special.polygamma(1, half).mean()
    half_df = optimize.brentq(lambda x: special.polygamma(1, x) - excess, 1e-6, 1e6)
    prior = math.exp(logs.mean() + special.digamma(half_df) - math.log(half_df))
    found = pooled(own, others)
    assert found.df == pytest.approx(len(own) - 1 + 2 * half_df)
    variance = weighted([(stats.tvar(own), len(own) - 1), (prior, 2 * half_df)])
    assert found.se == pytest.approx(math.sqrt(variance / len(own)))


def test_the_centre_of_an_epoch_is_a_trimmed_mean_with_yuens_error() -> None:
    async def app(scope: object, receive: object, send: object) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})  # type: ignore[operator]
        await send({"type": "http.response.body", "body": b""})  # type: ignore[operator]

    request = _native.Request("GET /", b"GET / HTTP/1.1\r\nhost: here\r\n\r\n", 200)
    plan = _native.ConnectionPlan(2, True, 5.0, 5.0)
    with Server(app, lifespan=False) as server:
        host, port = server.url.removeprefix("http://").split(":")
        target = _native.Target(host, int(port), [])
        paired = _native.run_paired(
            (target, target), ([request], [request]), plan, seconds_per_side=0.2, min_slice=0.001, max_round=1.0,
            chunks=5, seed=1,
        )  # fmt: skip
    ratios = [math.log((b[0] / b[1]) / (a[0] / a[1])) for a, b in paired.blocks]
    estimate = paired.epoch_estimate("throughput")
    assert estimate.blocks == len(ratios)
    assert estimate.log_ratio == pytest.approx(stats.trim_mean(ratios, 0.2), abs=1e-12)
    # Yuen's test of the trimmed mean against a constant, from the two-sample one: the constant has no spread.
    cut = int(0.2 * len(ratios))
    kept = len(ratios) - 2 * cut
    winsorized = stats.mstats.winsorize(numpy.array(ratios), limits=(0.2, 0.2))
    sum_of_squares = sum((value - winsorized.mean()) ** 2 for value in winsorized)
    assert estimate.se == pytest.approx(math.sqrt(sum_of_squares / (kept * (kept - 1))), rel=1e-6)
    assert estimate.df == kept - 1
    # Time per request is the inverse of throughput.
    again = blocks.epoch_estimate(paired.blocks, "time")
    assert (again.log_ratio, again.totals_log_ratio) == pytest.approx((-estimate.log_ratio, -estimate.totals_log_ratio))
    assert (again.se, again.totals_se, again.df) == pytest.approx((estimate.se, estimate.totals_se, estimate.df))
    assert again.blocks == estimate.blocks


@pytest.mark.parametrize(("hits", "trials"), [(0, 1), (0, 300), (1, 60), (7, 20), (20, 20), (150, 300)])
def test_the_interval_of_a_rate_is_clopper_and_pearsons(hits: int, trials: int) -> None:
    exact = stats.binomtest(hits, trials).proportion_ci(0.95, method="exact")
    assert rate_interval(hits, trials) == pytest.approx((exact.low, exact.high), abs=1e-9)
