"""A list of routes that tells when it is changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class WatchedRoutes(list[Any]):
    """As a list, but every way to change it calls the listeners, before and after."""

    def __init__(self, routes: list[Any]) -> None:
        super().__init__(routes)
        self.listeners: list[Callable[[], None]] = []

    def tell(self) -> None:
        """Calls the listeners."""
        for listener in self.listeners:
            listener()

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (list(self),)


def _telling(name: str) -> Any:
    original = getattr(list, name)

    def method(self: WatchedRoutes, *args: Any, **kwargs: Any) -> Any:
        self.tell()
        try:
            return original(self, *args, **kwargs)
        finally:
            self.tell()

    method.__name__ = name
    return method


for _name in (
    "append", "extend", "insert", "remove", "pop", "clear", "sort", "reverse",
    "__setitem__", "__delitem__", "__iadd__", "__imul__",
):  # fmt: skip
    setattr(WatchedRoutes, _name, _telling(_name))
