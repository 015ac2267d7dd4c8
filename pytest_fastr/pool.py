"""Threads for handlers that block."""

from __future__ import annotations

import logging
import os
import queue
import threading
from typing import Protocol

logger = logging.getLogger("pytest_fastr.server")

# Calls that may wait for a thread, for each thread. More are answered with 503.
QUEUE_PER_THREAD = 64


class Call(Protocol):
    """What a thread runs; ``drop`` is called instead when it never will."""

    def __call__(self) -> None: ...

    def drop(self) -> None: ...


def default_threads() -> int:
    """As many as usable cores, but 4 at least and 16 at most."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(max(usable, 4), 16)


class HandlerPool:
    """A bounded pool. Its threads start with the first calls, and end with :meth:`close`."""

    def __init__(self, threads: int | None = None) -> None:
        self._limit = threads or default_threads()
        self._waiting: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._lock = threading.Lock()
        self._closed = False
        self._running = 0

    @property
    def pending(self) -> int:
        """Calls that wait or run."""
        return self._waiting.qsize() + self._running

    def submit(self, call: Call) -> bool:
        """False when too many calls wait already, or the pool is closed."""
        with self._lock:
            if self._closed or self._waiting.qsize() >= self._limit * QUEUE_PER_THREAD:
                return False
            if self._idle <= self._waiting.qsize() and len(self._threads) < self._limit:
                thread = threading.Thread(target=self._work, name=f"fastr-handler-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()
            self._waiting.put(call)
        return True

    def close(self) -> None:
        """Drops what waits, and lets the threads end after the calls that they are in."""
        with self._lock:
            self._closed = True
            while True:
                try:
                    call = self._waiting.get_nowait()
                except queue.Empty:
                    break
                if call is not None:
                    call.drop()
            for _ in self._threads:
                self._waiting.put(None)

    def _work(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            call = self._waiting.get()
            with self._lock:
                self._idle -= 1
                self._running += call is not None
            if call is None:
                return
            try:
                call()
            except BaseException:  # a thread lives on, whatever a handler's clean-up does
                logger.exception("in a thread for handlers")
            finally:
                with self._lock:
                    self._running -= 1
            del call
