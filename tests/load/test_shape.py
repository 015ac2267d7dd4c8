"""Load shapes: their text, their arithmetic."""

from __future__ import annotations

import pytest

from pytest_fastr.errors import ConfigError, LoadError
from pytest_fastr.load.shape import Closed, Open, Stage, parse_stages


def test_stages_are_times_and_targets() -> None:
    assert parse_stages("10s:100, 1m:500,500ms:0") == (Stage(10.0, 100.0), Stage(60.0, 500.0), Stage(0.5, 0.0))


@pytest.mark.parametrize("text", ["", "10s", "10s:", "10s:-5", "10s:5;5s:1", ":5"])
def test_a_stage_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(LoadError, match="TIME:TARGET"):
        parse_stages(text)


def test_a_stage_without_time_is_refused_in_the_words_of_times() -> None:
    with pytest.raises(ConfigError, match="duration above zero"):
        parse_stages("0s:5")


def test_a_shape_says_what_it_is() -> None:
    assert str(Closed(20)) == "closed loop, 20 users"
    assert str(Closed(20, (1.0, 2.0))) == "closed loop, 20 users, thinking 1 to 2 s"
    assert "Poisson arrivals at 500 a second" in str(Open(500.0, 20, poisson=True))
    assert "constant arrivals at 1,234.5 a second" in str(Open(1234.5, 20))
    assert "arrivals ramping from 0 to 100 a second" in str(Open(0.0, 20, stages=(Stage(1.0, 100.0),)))
    assert str(Closed(1)) == "closed loop, 1 user"
