"""Tasks that take their first step at once."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Callable, Coroutine
from typing import Any


def eager_task(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """A task that has run to its first suspension, in a context of its own; it may be done already.

    To be called on the loop's thread while no task runs. A task factory of the application's gets its way.
    """
    if loop.get_task_factory() is not None:
        return loop.create_task(coroutine)
    return _start(loop, coroutine)


if sys.version_info >= (3, 12):

    def _start(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        return asyncio.Task(coroutine, loop=loop, eager_start=True)

else:

    def _start(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        # A task asks its loop to call its first step soon. Here it is held instead, and called as the loop would.
        held: list[tuple[Callable[..., Any], tuple[Any, ...], contextvars.Context]] = []

        def hold(callback: Callable[..., Any], *args: Any, context: contextvars.Context) -> None:
            held.append((callback, args, context))

        loop.call_soon = hold  # type: ignore[method-assign,assignment]
        try:
            task = asyncio.Task(coroutine, loop=loop)
        finally:
            del loop.call_soon
        ((step, args, context),) = held
        context.run(step, *args)
        return task
