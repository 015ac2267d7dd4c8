"""Servers that run already: what is known of them, and how wide a comparison with them is."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from pytest_fastr.apps import CommandApp, UrlApp
from pytest_fastr.errors import MeasurementError
from pytest_fastr.gate import urls
from pytest_fastr.gate.basis import PRIOR_SPREAD
from pytest_fastr.gate.epochs import AppSource
from pytest_fastr.gate.equals import Equals, EqualsSession
from pytest_fastr.gate.measure import REFERENCE_SIDE, Pair, Side
from pytest_fastr.load import build_request
from pytest_fastr.mount import Launch


def side(app: UrlApp | CommandApp) -> Side:
    return Side(AppSource(app, Launch()), build_request("GET", "/"), "a side")


KNOWN, UNKNOWN = side(UrlApp("http://h:1", 7)), side(UrlApp("http://h:2"))
COMMAND = side(CommandApp(("run", "{port}")))


@pytest.mark.parametrize(
    ("a", "b", "codes", "lost"),
    [
        (REFERENCE_SIDE, KNOWN, ["same-processes"], set()),
        (REFERENCE_SIDE, UNKNOWN, ["same-processes", "cpu-unknown"], {"cpu", "memory"}),
        (UNKNOWN, KNOWN, ["same-processes", "cpu-unknown"], {"cpu", "memory"}),
        (REFERENCE_SIDE, COMMAND, [], set()),
    ],
)
def test_what_is_not_known_is_said_and_not_gated(a: Side, b: Side, codes: list[str], lost: set[str]) -> None:
    pair = Pair(a, b)
    assert [note.code for note in urls.notes(pair)] == codes
    assert pair.unmeasured == lost
    assert pair.is_running is bool(codes)


def test_a_limit_on_what_is_not_known_is_refused() -> None:
    urls.refuse_limits(Pair(REFERENCE_SIDE, KNOWN), {"cpu": 1, "p99": 1})
    urls.refuse_limits(Pair(REFERENCE_SIDE, UNKNOWN), {"p99": 1})
    with pytest.raises(
        MeasurementError, match="the limit of cpu and memory cannot be held, since the `pid` of http://h:2"
    ):
        urls.refuse_limits(Pair(REFERENCE_SIDE, UNKNOWN), {"memory": 1, "cpu": 1})


def test_two_running_servers_may_differ_as_processes_do() -> None:
    placed, unplaced = Pair(KNOWN, KNOWN), Pair(KNOWN, UNKNOWN)
    assert urls.floors(Equals(), placed) == {metric: (it, math.inf) for metric, it in urls.RUNNING_SPREAD.items()}
    blind = {metric: (it, math.inf) for metric, it in urls.UNPLACED_SPREAD.items()}
    assert urls.floors(Equals(), unplaced) == blind
    assert all(urls.UNPLACED_SPREAD[metric] >= it for metric, it in urls.RUNNING_SPREAD.items())
    # Tests differ by what they are; only what differs within one counts.
    session = EqualsSession("2026-01-01", 2, 0, {}, {"cpu": [[0.01, -0.01], [0.51, 0.49, 0.50]], "p50": [[0.3]]})
    # What was measured on one core says nothing about servers that nobody can place.
    assert urls.floors(Equals((session,)), unplaced) == blind
    known = urls.floors(Equals((session,)), placed)
    spread, freedom = known["cpu"]
    assert spread == pytest.approx(math.sqrt(4e-4 / 3))
    assert freedom == 3
    assert known["p50"] == (PRIOR_SPREAD["p50"], math.inf)


def test_servers_are_shared_only_where_they_are_the_same() -> None:
    sources = [
        KNOWN.source,
        UNKNOWN.source,
        COMMAND.source,
        side(CommandApp(("run", "{port}"), ready="/up")).source,
        replace(COMMAND.source, launch=Launch(cwd="/elsewhere")),
    ]
    assert len({source.key for source in sources}) == len(sources)
    assert side(CommandApp(("run", "{port}"))).source.key == COMMAND.source.key
    assert not any(source.is_object for source in sources)
    assert [source.foreign for source in (KNOWN.source, COMMAND.source, REFERENCE_SIDE.source)] == [
        "url",
        "command",
        None,
    ]
