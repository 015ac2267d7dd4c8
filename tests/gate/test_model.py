"""Verdicts are ordered, and what they do to the build is a table."""

from __future__ import annotations

import itertools

import pytest

from pytest_fastr.gate.model import (
    MetricResult,
    Outcome,
    Policy,
    TestReport,
    Verdict,
    outcome_of,
    policy_for,
    severity,
    worst,
)

ORDER = ["invalid", "regressed", "new", "inconclusive", "improved", "equivalent"]


def test_the_worst_verdict_speaks_for_all() -> None:
    for above, below in itertools.combinations(ORDER, 2):
        assert worst([Verdict(below), Verdict(above), Verdict(below)]) is Verdict(above)


def test_improved_speaks_only_where_the_rest_is_equivalent() -> None:
    assert worst([Verdict.EQUIVALENT, Verdict.IMPROVED]) is Verdict.IMPROVED
    assert worst([Verdict.IMPROVED, Verdict.INCONCLUSIVE]) is Verdict.INCONCLUSIVE


def test_nothing_measured_is_invalid() -> None:
    assert worst([]) is Verdict.INVALID


def test_severity_counts_from_the_worst() -> None:
    assert sorted(Verdict, key=severity) == [Verdict(name) for name in ORDER]


def test_verdicts_and_outcomes_are_written_as_their_words() -> None:
    assert f"{Verdict.REGRESSED} {Verdict.REGRESSED!s}" == "regressed regressed"
    assert f"{Outcome.FAIL}" == "fail"


@pytest.mark.parametrize("in_ci", [False, True])
@pytest.mark.parametrize(
    ("verdict", "outcome"),
    [
        ("regressed", "fail"),
        ("invalid", "fail"),
        ("equivalent", "pass"),
        ("improved", "pass"),
        ("inconclusive", "pass"),
    ],
)
def test_these_verdicts_do_the_same_locally_and_in_ci(verdict: str, outcome: str, in_ci: bool) -> None:
    assert outcome_of(Verdict(verdict), policy_for("pass", "auto", in_ci)) is Outcome(outcome)


def test_a_new_test_passes_locally_and_fails_in_ci_unless_told_otherwise() -> None:
    def of_new(new: str, in_ci: bool) -> Outcome:
        assert new in ("auto", "pass", "fail")
        return outcome_of(Verdict.NEW, policy_for("pass", new, in_ci))  # type: ignore[arg-type]

    assert of_new("auto", False) is Outcome.PASS
    assert of_new("auto", True) is Outcome.FAIL
    assert of_new("pass", True) is Outcome.PASS
    assert of_new("fail", False) is Outcome.FAIL


def test_an_inconclusive_test_fails_where_that_is_asked_for() -> None:
    assert outcome_of(Verdict.INCONCLUSIVE, Policy(inconclusive="fail")) is Outcome.FAIL


def test_worsening_is_positive_for_worse_whichever_way_a_metric_counts() -> None:
    assert MetricResult("cpu", "us", "lower", change=0.1).worsening == 0.1
    assert MetricResult("throughput", "rps", "higher", change=-0.1).worsening == 0.1
    assert MetricResult("cpu", "us", "lower").worsening is None


def test_pytest_does_not_take_a_report_for_a_test_class() -> None:
    assert TestReport.__test__ is False
