"""What makes a load run worthless or doubtful: each rule by its code, and nothing on a good run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pytest_fastr import _native
from pytest_fastr.load.result import Floor
from pytest_fastr.load.shape import Precision
from pytest_fastr.load.validity import notes
from support.reports import EMPTY, GENERATOR, load_report, times

NONE = _native.Histogram.merged([])
FLOOR = Floor(100.0, 200.0, 1.0, 1.0)


def codes(wanted: Precision | None = None, **changes: Any) -> dict[str, str]:
    """The notes on a report: levels by code."""
    return {note.code: note.level for note in notes(load_report(**changes), NONE, wanted)}


@pytest.mark.parametrize(
    ("changes", "code", "level"),
    [
        ({"outcomes": {"timeout": 5}}, "nothing", "void"),
        ({"requests": 0, "outcomes": {}}, "nothing", "void"),
        ({"ended_early": "dead"}, "dead", "void"),
        ({"ended_early": "error_rate"}, "error-rate", "void"),
        ({"ended_early": "stopped"}, "stopped", "info"),
        ({"generator": replace(GENERATOR, utilisation=0.96)}, "generator", "void"),
        ({"generator": replace(GENERATOR, lateness=times(p90=11_000.0, p99=12_000.0))}, "too-late", "void"),
        ({"generator": replace(GENERATOR, lateness=times(p99=1_100.0))}, "late", "warn"),
        ({"generator": replace(GENERATOR, lateness=replace(EMPTY, count=3, max_us=2_000.0))}, "late", "warn"),
        ({"generator": replace(GENERATOR, run_queue_wait=0.2)}, "core", "warn"),
        ({"generator": replace(GENERATOR, steal=0.3)}, "steal", "warn"),
        (
            {"generator": replace(GENERATOR, floor=FLOOR), "service": times(p50=110.0)},
            "floor",
            "info",
        ),
        ({"balance": (10, 21)}, "balance", "warn"),
        ({"is_open": True, "scheduled": 1000, "unsent": 11}, "rate", "warn"),
        ({"is_open": True, "scheduled": 1000, "dropped": 3}, "dropped", "warn"),
        ({"resent": 2}, "resent", "warn"),
        ({"never_sent": ("GET /items",)}, "never-sent", "void"),
        ({}, "closed-loop", "info"),
    ],
)
def test_a_rule_speaks_by_its_code(changes: dict[str, Any], code: str, level: str) -> None:
    assert codes(**changes)[code] == level


def test_a_good_run_at_a_rate_has_no_note() -> None:
    assert codes(
        is_open=True, scheduled=1000, unsent=9, balance=(10, 19), service=times(p50=50.0),
        generator=replace(GENERATOR, utilisation=0.9, lateness=times(p90=10.0, p99=900.0), floor=FLOOR),
    ) == {}  # fmt: skip
    assert codes(is_ramp=True, balance=(1, 100)) == {"closed-loop": "info"}


def test_a_stall_of_a_short_run_makes_it_doubtful_and_not_void() -> None:
    late = replace(times(p90=11_000.0, p99=12_000.0), count=999)
    found = codes(generator=replace(GENERATOR, lateness=late))
    assert found["late"] == "warn"
    assert "too-late" not in found


def test_a_precision_that_was_not_reached_is_said() -> None:
    wanted = Precision(0.99, 0.02)
    assert "precision" in codes(wanted)
    assert "precision" in codes(wanted, precision=0.03)
    assert "precision" not in codes(wanted, precision=0.02)


def test_the_generator_as_the_bottleneck_is_said_in_those_words() -> None:
    report = load_report(generator=replace(GENERATOR, utilisation=1.0))
    assert any("the generator was the bottleneck" in note.message for note in notes(report, NONE))
