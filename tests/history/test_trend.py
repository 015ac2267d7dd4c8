"""Trends: one test, one load, one profile, and what is plotted of them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from pytest_fastr.history.record import MetricRecord
from pytest_fastr.history.trend import trends_of
from support.history import LOAD, run_of, session_of


def test_stored_measurements_are_multiples_of_the_reference_app() -> None:
    (trend,) = trends_of([session_of(1, run_of(0.2)), session_of(2, run_of(0.3))])
    assert trend.is_ratio
    assert [point.value for point in trend.points] == [pytest.approx(math.exp(0.2)), pytest.approx(math.exp(0.3))]
    low, high = trend.points[0].low, trend.points[0].high
    assert low is not None
    assert high is not None
    assert low < math.exp(0.2) < high


def test_others_are_absolute() -> None:
    (trend,) = trends_of([session_of(1, run_of(mode="paired"))])
    assert not trend.is_ratio
    assert (trend.points[0].value, trend.points[0].low) == (200.0, None)


def test_another_load_mode_request_or_profile_is_another_trend() -> None:
    sessions = [
        session_of(1, run_of()),
        session_of(2, run_of(load={**LOAD, "users": 40}), run_of(mode="paired"), run_of(request="GET /b")),
        session_of(3, run_of(), profile="profile-2"),
        session_of(4, run_of(load={**LOAD, "slice_users": 4}), run_of()),
    ]
    trends = trends_of(sessions)
    assert [len(trend.points) for trend in trends] == [2, 1, 1, 1, 1, 1]
    assert trends[0].connections == (4, 10)


def test_what_could_not_be_measured_stands_among_the_sessions() -> None:
    failed = run_of(mode="none", verdict="invalid", request="", load={}, metrics=())
    (trend,) = trends_of([session_of(1, run_of()), session_of(2, failed), session_of(3, run_of())])
    assert [point.verdict for point in trend.points] == ["equivalent", "invalid", "equivalent"]
    assert trend.points[1].value is None
    (never,) = trends_of([session_of(1, failed)])
    assert (never.mode, len(never.points)) == ("none", 1)


def test_the_metric_is_cpu_or_what_there_is() -> None:
    load = run_of(mode="load", metrics=(MetricRecord("throughput", "rps", 500.0),))
    sessions = [session_of(1, run_of(), replace(load, nodeid="b"))]
    assert [trend.metric for trend in trends_of(sessions)] == ["cpu", "throughput"]
    assert [trend.nodeid for trend in trends_of(sessions, "throughput")] == ["b"]
    assert trends_of(sessions, "p99") == []


@pytest.mark.parametrize("log_ratio", [1e299, -1e299, None])
def test_a_ratio_without_meaning_has_no_value(log_ratio: float | None) -> None:
    (trend,) = trends_of([session_of(1, run_of(log_ratio))])
    assert trend.points[0].value is None
