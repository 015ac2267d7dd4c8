"""The engine as asyncio's selector, and the event loop on it.

A standard ``SelectorEventLoop`` asks its selector what is ready. This one runs the engine's sockets while it waits, and
keeps asyncio's own descriptors (pipes, subprocesses, other libraries' sockets) in an ordinary selector that the engine
watches. No thread is crossed between a socket and the coroutine that answers.
"""

from __future__ import annotations

import asyncio
import selectors
import signal
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_fastr._native import Engine

Events = list[tuple[selectors.SelectorKey, int]]

RECEIVE_BYTES = 64 * 1024
"""What is read at once from a socket that the application opened: a database's, an HTTP client's. asyncio allocates as
much for every read, and its 256 KiB lie above what malloc keeps: the system would map and clear them each time."""


class EngineSelector(selectors.BaseSelector):
    """A selector whose waiting is the engine's working time."""

    def __init__(self, engine: Engine) -> None:
        # Epoll or kqueue: both have a descriptor of their own that can be watched.
        inner = selectors.DefaultSelector()
        fileno = getattr(inner, "fileno", None)
        if fileno is None:
            inner.close()
            raise OSError(f"{type(inner).__name__} cannot be watched: this platform has neither epoll nor kqueue")
        self._inner = inner
        self._turn: Callable[[float | None, bool], bool] = engine.turn
        self._drained = False
        engine.watch(fileno())

    def select(self, timeout: float | None = None) -> Events:
        """Runs the engine until asyncio has something to do; returns its ready descriptors."""
        foreign_ready = self._turn(timeout, self._drained)
        self._drained = False
        if not foreign_ready:
            return []
        events = self._inner.select(0)
        # Only an empty answer tells the engine that the descriptor has nothing left to report.
        self._drained = not events
        return events

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._inner.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._inner.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._inner.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        # asyncio asks again after it has closed its selector; a closed inner one answers None.
        return self._inner.get_map() or {}

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        return self._inner.get_key(fileobj)

    def close(self) -> None:
        self._inner.close()
        # The engine holds the application, which holds the loop, and the collector cannot see through the engine.
        self._turn = _closed_turn


class EngineEventLoop(asyncio.SelectorEventLoop):
    """A standard event loop that other threads wake through the engine instead of a socket pair.

    Threads of a pool wake the loop once for every blocking handler; a flag is cheaper than a write, a nested poll and
    a read. Signals keep using asyncio's own descriptor.
    """

    def __init__(self, engine: Engine) -> None:
        self._wake_engine: Callable[[], None] = engine.wake
        self._hears_signals = False
        super().__init__(EngineSelector(engine))

    def _make_socket_transport(self, *args: Any, **options: Any) -> asyncio.Transport:
        transport: asyncio.Transport = super()._make_socket_transport(*args, **options)  # type: ignore[misc]
        transport.max_size = RECEIVE_BYTES  # type: ignore[attr-defined]
        return transport

    def _write_to_self(self) -> None:
        self._wake_engine()

    def add_signal_handler(self, *args: Any) -> None:  # type: ignore[override]
        super().add_signal_handler(*args)
        self._hears_signals = True

    def close(self) -> None:
        if self._hears_signals and threading.current_thread() is threading.main_thread():
            # asyncio closes what signals wake it by before it stops to listen: Python would complain of one in between.
            signal.set_wakeup_fd(-1)
        super().close()
        self._wake_engine = _nobody_to_wake


def _closed_turn(timeout: float | None, drained: bool) -> bool:
    raise RuntimeError("the selector is closed")


def _nobody_to_wake() -> None:
    """A thread that finishes late wakes a loop that has ended."""
