"""pytest-fastr selftest: a planted slowdown is red on the machine that it runs on."""

from __future__ import annotations

import pytest

from pytest_fastr import _native
from pytest_fastr.cli import main
from pytest_fastr.gate.model import MetricResult, Verdict
from pytest_fastr.gate.selftest import TrialResult
from pytest_fastr.report.selftest_text import selftest_text


@pytest.mark.skipif(_native.DEBUG_BUILD, reason="a debug build voids every measurement: maturin develop -r")
def test_a_planted_slowdown_goes_red(capsys: pytest.CaptureFixture[str]) -> None:
    # Whether the equal pair can be proven equal in so short a time is the machine's business.
    assert main(["selftest", "--work", "60%", "--duration", "1500ms"]) in (0, 1)
    out = capsys.readouterr().out
    assert "passed  60% more work in every request: regressed" in out
    assert "the same application twice: " in out
    assert "the smallest change" in out


@pytest.mark.parametrize("args", [["--work", "fast"], ["--duration", "0"], ["--work", "0%"]])
def test_what_cannot_be_followed_is_refused(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["selftest", *args]) == 2
    assert args[0] in capsys.readouterr().err


def trial(expected: Verdict, verdict: Verdict) -> TrialResult:
    cpu = MetricResult(
        "cpu", "us", "lower", change=0.01, low=-0.01, high=0.03, verdict=verdict, smallest_detectable=0.02
    )
    return TrialResult("a trial", expected, verdict, {"cpu": cpu}, looks=1)


@pytest.mark.parametrize(
    ("equal", "slower", "passed", "words"),
    [
        (Verdict.EQUIVALENT, Verdict.REGRESSED, True, "cpu 2 %"),
        (Verdict.IMPROVED, Verdict.REGRESSED, True, "cpu 2 %"),
        (Verdict.INCONCLUSIVE, Verdict.REGRESSED, False, "too noisy"),
        (Verdict.EQUIVALENT, Verdict.INCONCLUSIVE, False, "too noisy"),
        (Verdict.REGRESSED, Verdict.REGRESSED, False, "false alarm"),
        (Verdict.INVALID, Verdict.REGRESSED, False, "FAILED"),
    ],
)
def test_only_green_for_equals_and_red_for_the_slower_one_passes(
    equal: Verdict, slower: Verdict, passed: bool, words: str
) -> None:
    trials = (trial(Verdict.EQUIVALENT, equal), trial(Verdict.REGRESSED, slower))
    assert all(one.passed for one in trials) is passed
    assert words in " ".join(selftest_text(trials, "here", 5.0, 60).split())
