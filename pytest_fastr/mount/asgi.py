"""The asyncio side of an ASGI application: one task a request, and the lifespan."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, Literal

from pytest_fastr.errors import StartupError

if TYPE_CHECKING:
    from pytest_fastr._native import Receive, Send

Scope = MutableMapping[str, Any]
AsgiApplication = Callable[[Scope, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]
LifespanMode = Literal["auto", "on", "off"]

logger = logging.getLogger("pytest_fastr.server")

ASGI_VERSION = {"version": "3.0", "spec_version": "2.3"}


class RequestRunner:
    """Makes an asyncio task of every request and says what went wrong in it."""

    def __init__(self, app: AsgiApplication, loop: asyncio.AbstractEventLoop) -> None:
        self._app = app
        self._create_task = loop.create_task
        # asyncio keeps only weak references to tasks.
        self.tasks: set[asyncio.Task[None]] = set()

    def start(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Called by the engine for every request, between two turns."""
        task = self._create_task(self._run(scope, receive, send))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            result: Any = await self._app(scope, receive, send)
        except asyncio.CancelledError:
            send.finish()
            raise
        except BaseException as error:
            send.finish()
            logger.error("Exception in ASGI application (%s %s)", scope["method"], scope["path"], exc_info=error)
            if not isinstance(error, Exception):
                raise
        else:
            complaint = send.finish()
            if result is not None:
                complaint = f"ASGI application should return None, but returned {result!r}"
            if complaint:
                logger.error("%s (%s %s)", complaint, scope["method"], scope["path"])

    async def cancel(self) -> None:
        """Cancels what still runs and waits for it."""
        tasks = list(self.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Lifespan:
    """The ASGI lifespan protocol: one long call of the application around its serving.

    ``state`` is what the application puts into ``scope["state"]`` during start-up; None when it has no lifespan.
    """

    def __init__(self, app: AsgiApplication, mode: LifespanMode) -> None:
        self._app = app
        self._mode = mode
        self._to_app: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self._started: asyncio.Future[None] | None = None
        self._stopped: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self.state: dict[str, Any] | None = None

    async def startup(self) -> None:
        """Runs the application's start-up. Raises StartupError when it fails."""
        if self._mode == "off":
            return
        loop = asyncio.get_running_loop()
        self._started, self._stopped = loop.create_future(), loop.create_future()
        state: dict[str, Any] = {}
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": state}
        self._task = loop.create_task(self._run(scope))
        self._to_app.put_nowait({"type": "lifespan.startup"})
        await asyncio.wait({self._started, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if self._started.done():
            self._started.result()
            self.state = state
            return
        # The call ended without a word about start-up: this application knows no lifespan.
        error = self._task.exception()
        self._task = None
        if self._mode == "on":
            raise StartupError(f"the application does not support the lifespan protocol: {error!r}") from error

    async def shutdown(self) -> None:
        """Runs the application's shutdown. Raises StartupError when it fails."""
        if self._task is None or self._stopped is None:
            return
        self._to_app.put_nowait({"type": "lifespan.shutdown"})
        await asyncio.wait({self._stopped, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if self._stopped.done():
            self._stopped.result()
        elif error := self._task.exception():
            raise StartupError(f"the application's shutdown failed: {error!r}") from error

    async def _run(self, scope: Scope) -> None:
        await self._app(scope, self._to_app.get, self._from_app)

    async def _from_app(self, message: MutableMapping[str, Any]) -> None:
        assert self._started is not None
        assert self._stopped is not None
        kind = message["type"]
        phase, _, outcome = kind.removeprefix("lifespan.").partition(".")
        future = {"startup": self._started, "shutdown": self._stopped}.get(phase)
        if future is None or outcome not in ("complete", "failed"):
            raise RuntimeError(f"Unexpected ASGI lifespan message {kind!r}")
        if future.done():
            return
        if outcome == "complete":
            future.set_result(None)
        else:
            what = "start-up" if phase == "startup" else "shutdown"
            future.set_exception(StartupError(f"the application's {what} failed:\n{message.get('message', '')}".rstrip()))
