"""Limits as a person writes them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_fastr.errors import ConfigError, LoadError
from pytest_fastr.load.limits import hold, parse_limit_text
from pytest_fastr.load.result import LoadReport
from support.reports import EMPTY, load_report


def report(p99_us: float | None = 1000.0, requests: int = 100, failed: int = 1) -> LoadReport:
    response = replace(EMPTY, quantiles_us={**EMPTY.quantiles_us, "p99": p99_us})
    return load_report(
        requests=requests, outcomes={"ok": requests - failed, "timeout": failed}, response=response, service=response
    )


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("p99<2ms", True),
        ("p99 < 1000us", False),
        ("p99<0.5ms", False),
        ("rps>40", True),
        ("rps>49.5", False),
        ("errors<1.5%", True),
        ("errors<1%", False),
        ("p999<1s", False),
        ("max<1s", False),
    ],
)
def test_a_limit_is_kept_on_the_right_side_of_its_bound_and_never_by_what_is_unknown(text: str, kept: bool) -> None:
    (result,) = hold(report(), (parse_limit_text(text),))
    assert result.kept is kept


def test_no_request_keeps_no_limit_on_errors() -> None:
    (result,) = hold(report(requests=0, failed=0), (parse_limit_text("errors<50%"),))
    assert not result.kept


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("p99", "write a metric"),
        ("p98<5ms", "unknown metric"),
        ("p99>5ms", "upper limit"),
        ("p99<5", "unit"),
        ("rps<5", "lower limit"),
        ("rps>5ms", "lower limit"),
        ("errors<5", "percent"),
        ("errors>5%", "upper limit"),
        ("p99<1.2.3ms", "no number"),
    ],
)
def test_a_limit_that_is_none_is_refused_with_an_example(text: str, words: str) -> None:
    with pytest.raises((LoadError, ConfigError), match=words):
        parse_limit_text(text)
