"""Lanes of two sides, compared: worse is a regression, better is said, and what is not known says nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pytest_fastr.errors import StartupError
from pytest_fastr.gate import lanes
from pytest_fastr.gate.basis import Basis, Direct, Stored
from pytest_fastr.gate.epochs import AppSource
from pytest_fastr.gate.lanes import Lanes, compared
from pytest_fastr.gate.measure import LoadShape, Pair, Side
from pytest_fastr.gate.model import Verdict
from pytest_fastr.gate.stored_test import StoredTest
from pytest_fastr.gate.tasks import Task
from pytest_fastr.load import build_request
from pytest_fastr.mount import AppRef, Launch, ServeOptions
from pytest_fastr.mount.lane_table import LaneTable, RouteLane

ORDER = ("fast", "typed", "full", "asgi")
PATTERN = "^/items/(?P<item_id>[^/]+)$"


def route(lane: str, *reasons: str) -> RouteLane:
    return RouteLane(("GET",), "/items/{item_id}", lane, reasons, PATTERN)


@pytest.mark.parametrize("before", ORDER)
@pytest.mark.parametrize("now", ORDER)
def test_the_order_of_lanes(before: str, now: str) -> None:
    result = compared("GET", route(now, "a reason"), before, gated=True)
    if ORDER.index(now) > ORDER.index(before):
        wanted = Verdict.REGRESSED, f"GET /items/{{item_id}} left its lane: {before} -> {now} (a reason)"
    elif ORDER.index(now) < ORDER.index(before):
        wanted = Verdict.IMPROVED, f"GET /items/{{item_id}} has a better lane: {before} -> {now}"
    else:
        wanted = Verdict.EQUIVALENT, ""
    assert (result.verdict, result.message) == wanted
    ungated = compared("GET", route(now, "a reason"), before, gated=False)
    assert ungated == replace(result, verdict=None)


@pytest.mark.parametrize("before", [None, "a lane of a later version"])
def test_a_lane_that_is_not_known_is_not_compared(before: str | None) -> None:
    result = compared("GET", route("asgi", "a reason"), before, gated=True)
    assert (result.lane, result.reasons, result.verdict, result.message) == ("asgi", ("a reason",), None, "")


def test_few_of_many_reasons_are_quoted() -> None:
    result = compared("GET", route("full", "a", "b", "c", "d", "e"), "fast", gated=True)
    assert result.message.endswith("fast -> full (a; b; c; and 2 more)")
    assert len(result.reasons) == 5


def test_a_request_that_another_route_takes_now_says_so() -> None:
    mounted = RouteLane(("*",), "/items/...", "asgi", ("is a mounted application",), "^/items/(?P<path>.*)$")
    result = compared("GET", mounted, "typed", gated=True, path_before="/items/{item_id}")
    assert result.message == (
        "GET /items/..., which was /items/{item_id}, left its lane: typed -> asgi (is a mounted application)"
    )


def source(name: str, **options: Any) -> AppSource:
    return AppSource(AppRef(name, "app", factory=False), Launch(options=ServeOptions(**options)))


def task(basis: Basis, is_fastapi: bool = True, method: str = "GET") -> Task:
    request = build_request(method, "/items/3?x=1")
    pair = Pair(Side(source("before"), request, "main"), Side(source("now"), request, "the working tree"))
    return Task(basis, pair, LoadShape(1, 1.0, 1, 1.0), {}, basis.mode, is_fastapi=is_fastapi)


Answers = dict[str, Any]
PAIRED = Direct("paired", "main")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answers], list[str]]:
    """Puts answers in the place of server processes; returns whom they were asked of."""

    def prepare(answers: Answers) -> list[str]:
        names: list[str] = []

        def ask(one: AppSource) -> Any:
            names.append(str(one.app).partition(":")[0])
            return answers[names[-1]]

        monkeypatch.setattr(lanes, "_ask", ask)
        return names

    return prepare


def table(lane: str, *reasons: str) -> LaneTable:
    return LaneTable((route(lane, *reasons),))


def test_each_side_is_asked_once_for_all_tests(asked: Callable[[Answers], list[str]]) -> None:
    names = asked({"before": table("fast"), "now": table("typed", "reads parameter 'item_id'")})
    judge = Lanes(gated=True).judge
    for _ in range(2):
        result, notes = judge(task(PAIRED))
        assert result is not None
        assert (result.verdict, result.baseline, notes) == (Verdict.REGRESSED, "fast", ())
    assert sorted(names) == ["before", "now"]


def test_a_stored_lane_asks_the_candidate_alone(asked: Callable[[Answers], list[str]]) -> None:
    names = asked({"now": table("asgi", "a reason")})
    result, _ = Lanes(gated=True).judge(task(Stored(StoredTest({}, (), lane="full"))))
    assert result is not None
    assert (result.verdict, result.baseline) == (Verdict.REGRESSED, "full")
    for nothing in (Stored(None), Stored(StoredTest({}, ()))):
        result, _ = Lanes(gated=True).judge(task(nothing))
        assert result is not None
        assert (result.verdict, result.baseline) == (None, None)
    assert set(names) == {"now"}


@pytest.mark.parametrize("other", [None, LaneTable(())])
def test_a_route_without_a_counterpart_is_not_compared(
    asked: Callable[[Answers], list[str]], other: LaneTable | None
) -> None:
    asked({"before": other, "now": table("asgi", "a reason")})
    result, notes = Lanes(gated=True).judge(task(PAIRED))
    assert result is not None
    assert (result.lane, result.verdict, notes) == ("asgi", None, ())
    asked({"before": table("fast"), "now": other})
    assert Lanes(gated=True).judge(task(PAIRED)) == (None, ())
    asked({"before": table("fast"), "now": table("asgi")})
    assert Lanes(gated=True).judge(task(PAIRED, method="POST")) == (None, ())


def test_nobody_is_asked_where_there_are_no_lanes(asked: Callable[[Answers], list[str]]) -> None:
    names = asked({})
    assert Lanes(gated=True).judge(task(PAIRED, is_fastapi=False)) == (None, ())
    assert Lanes(gated=True).judge(task(Direct("equal", "itself"))) == (None, ())
    assert names == []


@pytest.mark.parametrize("silent", ["before", "now"])
def test_a_side_that_cannot_tell_is_a_warning(asked: Callable[[Answers], list[str]], silent: str) -> None:
    asked({"before": table("fast"), "now": table("asgi"), silent: "no reason at all"})
    result, (note,) = Lanes(gated=True).judge(task(PAIRED))
    assert result is None or result.verdict is None
    assert (note.level, note.code) == ("warn", "lanes")
    assert "could not be told: no reason at all" in note.message


def test_a_server_that_does_not_start_cannot_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    def spawn(app: object, launch: Launch) -> None:
        assert launch.lanes
        raise StartupError("it died\n--- server log ---")

    monkeypatch.setattr(lanes, "spawn", spawn)
    _, notes = Lanes(gated=True).judge(task(PAIRED))
    assert [one.message for one in notes] == ["the lanes of the working tree could not be told: it died"]


def test_servers_of_another_mount_are_not_shared() -> None:
    assert source("shop", mount="asgi").key == source("shop", mount="asgi").key
    assert source("shop", mount="asgi").key != source("shop", mount="native").key
    app: Any = object()
    keys = {AppSource(app, Launch(options=ServeOptions(mount=mount))).key for mount in ("asgi", "native")}
    assert len(keys) == 2


def test_the_load_names_the_mount_that_is_used() -> None:
    assert task(PAIRED).load["mount"] == "asgi"
    assert replace(task(PAIRED), mount="native").load["mount"] == "native"
