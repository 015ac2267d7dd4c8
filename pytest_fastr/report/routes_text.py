"""The lanes of an application's routes, for a terminal. Values in, text out."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from pytest_fastr.report.quantity import printable

LANES = ("fast", "typed", "full", "asgi")
_LANE_WIDTH = 5
_NARROWEST_REASON = 24
_INDENT = "      "


class Report(Protocol):
    """What became of a route, see ``web.routes.RouteReport``."""

    @property
    def methods(self) -> Sequence[str]: ...
    @property
    def path(self) -> str: ...
    @property
    def lane(self) -> str: ...
    @property
    def reasons(self) -> Sequence[str]: ...


def routes_text(reports: Sequence[Report], width: int) -> str:
    """A line for each route, then how many each lane has. ``width``: columns."""
    if not reports:
        return "the application has no HTTP routes\n"
    methods = max(len(_methods(report)) for report in reports)
    paths = max(len(printable(report.path)) for report in reports)
    lines = []
    for report in reports:
        head = f"{report.lane:<{_LANE_WIDTH}} {_methods(report):<{methods}} {printable(report.path):<{paths}}"
        reason = printable("; ".join(report.reasons))
        fits = width - len(head) - 2 >= _NARROWEST_REASON
        first = f"{head}  " if fits else _INDENT
        if not fits or not reason:
            lines.append(head)
        if reason:
            further = " " * len(first)
            lines.append(textwrap.fill(reason, width, initial_indent=first, subsequent_indent=further))
    counts = Counter(report.lane for report in reports)
    said = ", ".join(f"{counts[lane]} {lane}" for lane in LANES if counts[lane])
    return "\n".join([*(line.rstrip() for line in lines), f"{len(reports)} routes: {said}"]) + "\n"


def _methods(report: Report) -> str:
    return ",".join(report.methods)
