"""The search for the highest rate, on servers that are a formula."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from pytest_fastr.load.limits import parse_limit_text
from pytest_fastr.load.result import LoadReport, Note
from pytest_fastr.load.search import MOST_STEPS, TOLERANCE, search_rate, why_broken
from support.reports import EMPTY, load_report

LIMITS = (parse_limit_text("p99<50ms"),)


def at_rate(p99_us: Callable[[float], float]) -> Callable[[float], LoadReport]:
    """Runs whose p99 depends on the rate."""

    def run(rate: float) -> LoadReport:
        times = replace(EMPTY, quantiles_us={**EMPTY.quantiles_us, "p99": p99_us(rate)})
        return load_report(response=times, requests=1000, outcomes={"ok": 1000})

    return run


@pytest.mark.parametrize("highest", [3.0, 470.0, 999.0, 1000.0, 25_000.0])
@pytest.mark.parametrize("capacity", [2.0, 1000.0, 500_000.0])
def test_the_highest_rate_is_found_wherever_the_search_begins(highest: float, capacity: float) -> None:
    search = search_rate(at_rate(lambda rate: 20_000.0 if rate <= highest else 90_000.0), LIMITS, capacity)
    assert search.highest is not None
    assert search.lowest_broken is not None
    assert search.highest.rate <= highest < search.lowest_broken.rate
    # Rates have three digits.
    assert search.lowest_broken.rate <= search.highest.rate * (1 + TOLERANCE) * 1.02
    assert len(search.steps) <= MOST_STEPS


def test_a_rate_that_breaks_a_limit_once_is_tried_again() -> None:
    tried: list[float] = []

    def p99(rate: float) -> float:
        tried.append(rate)
        first_time = tried.count(rate) == 1
        return 90_000.0 if rate > 800 or (first_time and rate > 400) else 20_000.0

    search = search_rate(at_rate(p99), LIMITS, 1000.0)
    assert search.highest is not None
    assert 750 < search.highest.rate <= 800


def test_where_no_rate_keeps_the_limits_there_is_none() -> None:
    search = search_rate(at_rate(lambda rate: 90_000.0), LIMITS, 1000.0)
    assert search.highest is None
    assert search.steps[-1].rate == 1.0


def test_an_interrupt_ends_the_search() -> None:
    def run(rate: float) -> LoadReport:
        return load_report(ended_early="stopped")

    search = search_rate(run, LIMITS, 1000.0)
    assert search.stopped
    assert len(search.steps) == 1


def test_a_rate_is_not_kept_by_failures_nor_by_requests_that_were_never_sent() -> None:
    assert "5 requests failed" in why_broken(load_report(outcomes={"ok": 95, "timeout": 5}), ())
    assert why_broken(load_report(outcomes={"ok": 95, "timeout": 5}), (parse_limit_text("errors<6%"),)) == ""
    for code, level in (("rate", "warn"), ("dropped", "warn"), ("generator", "void")):
        note = Note(level, code, "words")  # type: ignore[arg-type]
        assert why_broken(load_report(notes=(note,)), ()) == "words"
    assert "too short" in why_broken(load_report(), LIMITS)
