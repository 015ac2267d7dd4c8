"""A list of routes that tells when it is changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Changes:
    """Notes changes; shared by the lists of one application."""

    def __init__(self) -> None:
        self.count = 0
        self._tell: Callable[[], None] | None = None

    def tell(self, listener: Callable[[], None]) -> None:
        """Has the listener called at every change from now on, instead of an earlier one."""
        self._tell = listener

    def note(self) -> None:
        """A list is about to change."""
        self.count += 1
        if self._tell is not None:
            self._tell()


class WatchedRoutes(list[Any]):
    """As a list, but every way to change it is counted."""

    def __init__(self, routes: list[Any], changes: Changes) -> None:
        super().__init__(routes)
        self.changes = changes

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (list(self),)


def _counting(name: str) -> Any:
    original = getattr(list, name)

    def method(self: WatchedRoutes, *args: Any, **kwargs: Any) -> Any:
        self.changes.note()
        return original(self, *args, **kwargs)

    method.__name__ = name
    return method


for _name in (
    "append", "extend", "insert", "remove", "pop", "clear", "sort", "reverse",
    "__setitem__", "__delitem__", "__iadd__", "__imul__",
):  # fmt: skip
    setattr(WatchedRoutes, _name, _counting(_name))
