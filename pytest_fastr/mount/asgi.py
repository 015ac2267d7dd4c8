"""The asyncio side of an ASGI application: one task a request, and the lifespan."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import TYPE_CHECKING, Any, Literal

from pytest_fastr._native import ClientDisconnected, eager_task
from pytest_fastr.errors import StartupError

if TYPE_CHECKING:
    from pytest_fastr._native import Receive, Send, WebsocketSend

Scope = MutableMapping[str, Any]
AsgiApplication = Callable[[Scope, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]
LifespanMode = Literal["auto", "on", "off"]

logger = logging.getLogger("pytest_fastr.server")

# How long a cancelled task may take to clean up.
CANCEL_SECONDS = 2.0

ASGI_VERSION = {"version": "3.0", "spec_version": "2.3"}
WEBSOCKET_ASGI_VERSION = {"version": "3.0", "spec_version": "2.4"}


class RequestRunner:
    """Makes an asyncio task of every request and every websocket, and says what went wrong in it."""

    def __init__(self, app: AsgiApplication, loop: asyncio.AbstractEventLoop) -> None:
        self._app = app
        self._loop = loop
        # asyncio keeps only weak references to tasks.
        self.tasks: set[asyncio.Task[None]] = set()

    def start(self, scope: Scope, receive: Receive, send: Send | WebsocketSend) -> None:
        """Called by the engine for every request and every websocket, between two turns."""
        self.start_app(self._app, scope, receive, send)

    def start_app(self, app: AsgiApplication, scope: Scope, receive: Receive, send: Send | WebsocketSend) -> None:
        """Has an application serve a request. Most need no more than the first step of their task."""
        task = eager_task(self._loop, self._run(app, scope, receive, send))
        if not task.done():
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    # Typed as returning anything: what an application returns in spite of the protocol is complained about.
    async def _run(
        self, call: Callable[..., Awaitable[Any]], scope: Scope, receive: Receive, send: Send | WebsocketSend
    ) -> None:
        try:
            result: Any = await call(scope, receive, send)
        except asyncio.CancelledError:
            send.finish(failed=True)
            raise
        except ClientDisconnected:
            send.finish()
        except BaseException as error:
            send.finish(failed=True)
            logger.error("Exception in ASGI application (%s)", _name(scope), exc_info=error)
            if not isinstance(error, Exception):
                raise
        else:
            complaint = send.finish()
            if result is not None:
                complaint = f"ASGI application should return None, but returned {result!r}"
            if complaint:
                logger.error("%s (%s)", complaint, _name(scope))

    async def cancel(self) -> None:
        """Cancels what still runs and waits for it."""
        await cancel_all(self.tasks)


def _name(scope: Scope) -> str:
    return f"{scope.get('method', 'WebSocket')} {scope['path']}"


async def cancel_all(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancels tasks and waits for them, though not for ever: one may refuse to be cancelled."""
    if not tasks:
        return
    for task in tasks:
        task.cancel()
    done, refusing = await asyncio.wait(set(tasks), timeout=CANCEL_SECONDS)
    for task in done:
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("while cancelling %s", task.get_name(), exc_info=error)
    if refusing:
        logger.warning("%d tasks did not end when they were cancelled", len(refusing))


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
            await self._outcome(self._started)
            self.state = state
            return
        # The call ended without a word about start-up: this application knows no lifespan.
        error = await self._end()
        self._task = None
        if self._mode == "on":
            reason = f"it raised {error!r}" if error else "its call returned at once"
            raise StartupError(f"the application does not support the lifespan protocol: {reason}") from error

    async def shutdown(self) -> None:
        """Runs the application's shutdown. Raises StartupError when it fails."""
        if self._task is None or self._stopped is None:
            return
        self._to_app.put_nowait({"type": "lifespan.shutdown"})
        await asyncio.wait({self._stopped, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if self._stopped.done():
            await self._outcome(self._stopped)
        if error := await self._end():
            raise StartupError(f"the application's shutdown failed: {error!r}") from error

    async def _outcome(self, phase: asyncio.Future[None]) -> None:
        """Raises what the application said about a phase, with the exception that it raised as the cause."""
        if failure := phase.exception():
            raise failure from await self._end()

    async def _end(self) -> BaseException | None:
        """Waits for the end of the application's call. Returns what it raised."""
        assert self._task is not None
        await asyncio.wait({self._task}, timeout=CANCEL_SECONDS)
        if not self._task.done():
            await cancel_all([self._task])
            return None
        return None if self._task.cancelled() else self._task.exception()

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
            reason = message.get("message", "")
            future.set_exception(StartupError(f"the application's {what} failed:\n{reason}".rstrip()))
            # Nobody asks any more when the server was stopped meanwhile; asyncio must not complain of that.
            future.exception()
