"""Lanes in the gate: the lane of the route that takes a test's request, and whether a change took it out of a better
one. That is told without a clock: both sides' routes are classified, and the same request is looked up in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pytest_fastr.apps import CommandApp, UrlApp
from pytest_fastr.errors import FastrError
from pytest_fastr.gate.basis import Stored
from pytest_fastr.gate.epochs import AppSource
from pytest_fastr.gate.measure import Side
from pytest_fastr.gate.model import LaneResult, ValidityNote, Verdict
from pytest_fastr.gate.stored_test import LANES
from pytest_fastr.gate.tasks import Task
from pytest_fastr.mount import AppRef, fork, spawn
from pytest_fastr.mount.lane_table import LaneTable, RouteLane

MOST_REASONS = 3
"""So many reasons are quoted for a lane; a handler may have a reason for each of its parameters."""

Notes = tuple[ValidityNote, ...]


class Lanes:
    """The lanes of a session's applications. ``gated``: a worse one is a regression.

    Each application is asked once, in a server process that is started for that and ended: to classify its routes takes
    modules and memory, by which a measured server would differ from what the user deploys.
    """

    def __init__(self, gated: bool) -> None:
        self._gated = gated
        self._known: dict[str, LaneTable | str | None] = {}

    def judge(self, task: Task) -> tuple[LaneResult | None, Notes]:
        """The lane of a task's request, compared with what the task is compared with; None where there is none, as for
        a request that no route takes. The notes say what could not be told."""
        if not task.is_fastapi or task.basis.mode == "equal":
            return None, ()
        now, notes = self._route(task.pair.b)
        if now is None:
            return None, notes
        method = task.pair.b.request.method
        if isinstance(task.basis, Stored):
            before = None if task.basis.test is None else task.basis.test.lane
            return compared(method, now, before, self._gated), notes
        side_a, more = self._route(task.pair.a)
        lane, path = (None, None) if side_a is None else (side_a.lane, side_a.path)
        return compared(method, now, lane, self._gated, path), (*notes, *more)

    def _route(self, side: Side) -> tuple[RouteLane | None, Notes]:
        """The route that takes a side's request."""
        table = self._table(side.source)
        if isinstance(table, str):
            return None, (ValidityNote("warn", "lanes", f"the lanes of {side.title} could not be told: {table}"),)
        request = side.request
        return (None if table is None else table.route_of(request.method, request.path)), ()

    def _table(self, source: AppSource) -> LaneTable | str | None:
        if source.is_object:  # it may have changed since it was asked
            return _ask(source)
        if source.key not in self._known:
            self._known[source.key] = _ask(source)
        return self._known[source.key]


def _ask(source: AppSource) -> LaneTable | str | None:
    """The lanes of an application, by a server process of its own; or why they cannot be told."""
    app, launch = source.app, replace(source.launch, lanes=True)
    if isinstance(app, CommandApp | UrlApp):  # of its routes nothing is known
        return None
    try:
        server = spawn(app, launch) if isinstance(app, AppRef) else fork(app, launch)
    except FastrError as error:
        return str(error).partition("\n")[0]
    server.stop()
    return None if server.ready is None else server.ready.lanes


def compared(
    method: str, now: RouteLane, before: str | None, gated: bool, path_before: str | None = None
) -> LaneResult:
    """The lane of a route, compared with the one that the same request had before; None: it is not known."""
    route = f"{method} {now.path}"
    result = LaneResult(route, now.lane, now.reasons, before)
    if before not in LANES or now.lane not in LANES:
        return result
    worse = LANES.index(now.lane) - LANES.index(before)
    title = route if path_before in (None, now.path) else f"{route}, which was {path_before},"
    if worse > 0:
        message = f"{title} left its lane: {before} -> {now.lane} ({_quoted(now.reasons)})"
        return replace(result, verdict=Verdict.REGRESSED if gated else None, message=message)
    if worse < 0:
        message = f"{title} has a better lane: {before} -> {now.lane}"
        return replace(result, verdict=Verdict.IMPROVED if gated else None, message=message)
    return replace(result, verdict=Verdict.EQUIVALENT if gated else None)


def _quoted(reasons: Sequence[str]) -> str:
    """``reads a JSON body; depends on user; depends on db; and 2 more``."""
    more = len(reasons) - MOST_REASONS
    return "; ".join([*reasons[:MOST_REASONS], *([f"and {more} more"] if more > 0 else [])]) or "without a reason"
