"""The lanes of an application's routes as values, and which route takes a request. Needs no FastAPI: the server process
makes the table, and pytest reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote


@dataclass(frozen=True, slots=True)
class RouteLane:
    """A route and its lane. ``methods``: ``("*",)`` for all. ``pattern``: the regular expression of its paths; None
    where it may take any. ``reasons``: why it has no better lane."""

    methods: tuple[str, ...]
    path: str
    lane: str
    reasons: tuple[str, ...] = ()
    pattern: str | None = None

    def takes(self, method: str, path: str) -> bool:
        """Whether it takes a request to the path, as the router sees it."""
        if method not in self.methods and self.methods != ("*",):
            return False
        if self.pattern is None:
            return True
        # Most routes are told apart by how their paths begin: compiling ten thousand expressions takes a second.
        return path.startswith(_beginning(self.pattern)) and re.match(self.pattern, path) is not None


@dataclass(frozen=True, slots=True)
class LaneTable:
    """The routes of an application, in its order. ``root_path`` is the application's own."""

    routes: tuple[RouteLane, ...]
    root_path: str = ""

    @classmethod
    def parse(cls, message: Mapping[str, Any]) -> LaneTable:
        """From what :func:`dataclasses.asdict` made of one, by way of JSON."""
        routes = (
            RouteLane(tuple(one["methods"]), one["path"], one["lane"], tuple(one["reasons"]), one["pattern"])
            for one in message["routes"]
        )
        return cls(tuple(routes), message["root_path"])

    def route_of(self, method: str, target: str) -> RouteLane | None:
        """The route that takes a request, as Starlette decides: the first one whose path and method fit. ``target``: as
        on the wire, with a query or without. None: no route takes it."""
        path = _without_root(unquote(target.partition("?")[0]), self.root_path)
        return next((route for route in self.routes if route.takes(method, path)), None)


def _beginning(pattern: str) -> str:
    """The literal text that everything begins with that the expression matches: Starlette escapes what is no letter, no
    digit and no slash, so that no such text is ever repeated or optional."""
    found = re.match(r"\^([A-Za-z0-9_/]*)(?![?*+{|])", pattern)
    return found[1] if found and "|" not in pattern else ""


def _without_root(path: str, root: str) -> str:
    """The path as routes see it: behind the application's root path, if it lies there."""
    if root and path.startswith(root) and path[len(root) : len(root) + 1] in ("", "/"):
        return path[len(root) :]
    return path
