"""Sequential looks: when more is measured, and what several looks come to."""

from __future__ import annotations

import pytest

from pytest_fastr.gate.compare import Comparison
from pytest_fastr.gate.looks import LOOKS, SPENT, WORTH_A_LOOK, Look, confirmed_reds, is_decided, outcome_of_looks
from pytest_fastr.gate.model import MetricResult, Verdict

RED, GREEN, OPEN = Verdict.REGRESSED, Verdict.EQUIVALENT, Verdict.INCONCLUSIVE


def comparison(verdict: Verdict, change: float = 0.1, chance: float = 0.0) -> Comparison:
    result = MetricResult("cpu", "us", "lower", change=change, limit=0.05, verdict=verdict)
    return Comparison({"cpu": result}, {"cpu": chance})


def look(verdict: Verdict, later_change: float | None = None, chance: float = 0.0) -> Look:
    """A look after which the later epochs alone show ``later_change``; None: the first look."""
    later = None if later_change is None else comparison(OPEN, later_change)
    return Look(comparison(verdict, chance=chance), later)


def outcome(*looks: Look) -> tuple[Verdict | None, bool | None]:
    results, confirmed = outcome_of_looks(looks)
    return results["cpu"].verdict, confirmed


def test_the_first_look_alone_calls_nothing_regressed() -> None:
    assert confirmed_reds(look(RED)) == set()
    assert not is_decided(look(RED, chance=0.9))
    assert outcome(look(RED)) == (OPEN, False)


def test_red_in_all_epochs_and_shown_by_the_later_ones_is_regressed() -> None:
    decisive = look(RED, later_change=0.06, chance=0.9)
    assert is_decided(decisive)
    assert outcome(look(RED), decisive) == (RED, True)
    assert outcome(look(OPEN), decisive) == (RED, True)


def test_red_that_the_later_epochs_do_not_show_is_not_regressed() -> None:
    alone = look(RED, later_change=0.04, chance=0.9)
    assert not is_decided(alone)
    assert outcome(look(RED), alone) == (OPEN, False)


@pytest.mark.parametrize("last", [GREEN, OPEN])
def test_what_an_earlier_look_called_regressed_is_not_green_afterwards(last: Verdict) -> None:
    results, confirmed = outcome_of_looks([look(RED), look(last, later_change=0.0)])
    assert (results["cpu"].verdict, confirmed) == (OPEN, False)
    assert "earlier look" in results["cpu"].notes[-1]


def test_a_look_that_was_only_open_may_end_green() -> None:
    assert outcome(look(OPEN), look(GREEN, later_change=0.0)) == (GREEN, None)


def test_an_invalid_metric_stays_invalid() -> None:
    assert outcome(look(RED), look(Verdict.INVALID, later_change=0.0)) == (Verdict.INVALID, False)


def test_more_is_measured_only_where_it_could_turn_red() -> None:
    assert not is_decided(look(OPEN, chance=WORTH_A_LOOK))
    assert is_decided(look(OPEN, chance=WORTH_A_LOOK / 2))
    assert is_decided(Look(Comparison({}, {})))


def test_a_throughput_that_fell_is_shown_and_one_that_rose_is_not() -> None:
    def of(change: float) -> Look:
        result = MetricResult("throughput", "rps", "higher", change=change, limit=0.05, verdict=RED)
        return Look(Comparison({"throughput": result}, {}), Comparison({"throughput": result}, {}))

    assert confirmed_reds(of(-0.1)) == {"throughput"}
    assert confirmed_reds(of(0.1)) == set()


def test_every_look_has_more_epochs_than_the_one_before() -> None:
    assert list(LOOKS) == sorted(set(LOOKS))
    assert LOOKS[0] == 1


def test_the_looks_that_can_call_a_metric_regressed_spend_the_budget_once() -> None:
    assert len(SPENT) == len(LOOKS)
    assert sum(SPENT[1:]) == pytest.approx(1.0)
