"""One application, one engine, one event loop: from start-up to drained."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import stat
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from pytest_fastr._native import Engine
from pytest_fastr.config import MountKind
from pytest_fastr.errors import ConfigError, PortInUseError, StartupError
from pytest_fastr.mount.asgi import (
    ASGI_VERSION,
    CANCEL_SECONDS,
    WEBSOCKET_ASGI_VERSION,
    AsgiApplication,
    Lifespan,
    LifespanMode,
    RequestRunner,
    cancel_all,
    logger,
)
from pytest_fastr.mount.lanes import native_side
from pytest_fastr.mount.logs import forward_events
from pytest_fastr.mount.loop import EngineEventLoop
from pytest_fastr.mount.target import Application, InterfaceKind, interface_of
from pytest_fastr.mount.wsgi import WsgiApplication, WsgiRunner

DRAIN_POLL_SECONDS = 0.01
CONNECTIONS_AT_ONCE = 16

TRUSTED_PROXIES = ("127.0.0.1", "::1")
"""Whose word is believed where nothing else is said, as under gunicorn: who connects from this machine."""


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """How an application is served.

    ``mount``: "asgi" serves an application by its own code; "native" serves the routes of a FastAPI application from
    compiled lanes where that gives the same answers; "auto" does so for applications of pytest_fastr.web.FastrAPI.
    ``threads`` is the number of threads for native handlers that block and for WSGI, None for the default.
    ``interface``: what kind of application it is; "auto" goes by what its call takes.

    ``uds`` is the path of a Unix socket, in place of host and port. ``workers`` is the number of processes; one of
    several gets its connections through ``connections_fd``, a socket whose other end accepts them.

    ``port`` 0 takes a free one. ``root_path`` is put before every path, as for an application behind a proxy that
    strips it. ``trusted_proxies`` are addresses, networks or ``*``: what they say in ``X-Forwarded-For`` and
    ``X-Forwarded-Proto`` is believed. ``drain_timeout`` is in seconds. ``limits`` are the engine's, see
    ``_native.Engine``.
    """

    host: str = "127.0.0.1"
    port: int = 0
    root_path: str = ""
    trusted_proxies: tuple[str, ...] = TRUSTED_PROXIES
    lifespan: LifespanMode = "auto"
    drain_timeout: float = 10.0
    limits: Mapping[str, float] = field(default_factory=dict)
    mount: MountKind = "auto"
    threads: int | None = None
    interface: InterfaceKind = "auto"
    uds: str | None = None
    workers: int = 1
    connections_fd: int | None = None

    def arguments(self) -> list[str]:
        """The options of ``python -m pytest_fastr.serve`` for one process that serves like this."""
        arguments = [
            "--root-path", self.root_path, "--lifespan", self.lifespan, "--mount", self.mount,
            "--interface", self.interface, "--drain-timeout", str(self.drain_timeout),
            "--forwarded-allow-ips", ",".join(self.trusted_proxies),
        ]  # fmt: skip
        if self.threads is not None:
            arguments += ["--threads", str(self.threads)]
        for name, value in self.limits.items():
            arguments += ["--limit", f"{name}={value}"]
        return arguments


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server really listens."""

    host: str
    port: int
    path: str = ""
    """Of a Unix socket, which has neither."""

    @property
    def netloc(self) -> str:
        """``HOST:PORT``, as in a URL and a Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The base URL, without a trailing slash; ``unix:PATH`` for a Unix socket."""
        return f"unix:{self.path}" if self.path else f"http://{self.netloc}"


class Runtime:
    """Serves an application on the calling thread until it is told to stop. Raises ConfigError for unknown limits."""

    def __init__(self, app: Application, options: ServeOptions) -> None:
        self._app = app
        self._options = options
        try:
            self._engine = Engine(trusted_proxies=options.trusted_proxies, **options.limits)
        except (TypeError, ValueError, OverflowError) as error:
            raise ConfigError(f"engine limits: {error}") from error
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._hurry: asyncio.Event | None = None

    def run(self, on_ready: Callable[[Address], None], *, signals: bool) -> None:
        """Serves until :meth:`stop`, SIGTERM or SIGINT; ``on_ready`` gets the address once requests are answered.

        Raises PortInUseError and StartupError. ``signals``: install handlers, which only a main thread may.
        """
        forward_events()
        try:
            address = self._bind()
            loop = EngineEventLoop(self._engine)
            self._loop = loop
            try:
                asyncio.set_event_loop(loop)
                loop.run_until_complete(self._serve(address, on_ready, signals))
            finally:
                _close_loop(loop)
        finally:
            self._engine.close()

    def stop(self) -> None:
        """Ends :meth:`run` from another thread; the second call does not wait for requests in flight."""
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # closed in between: it has stopped already
                loop.call_soon_threadsafe(self._request_stop)

    def native_counts(self) -> tuple[int, int, int, int] | None:
        """See ``_native.Engine.native_counts``."""
        return self._engine.native_counts()

    def _request_stop(self) -> None:
        if self._stop is None or self._hurry is None:
            return
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def _bind(self) -> Address:
        options = self._options
        if options.connections_fd is not None:
            return Address("", 0)  # the process that accepts knows better
        try:
            if options.uds is not None:
                self._engine.bind_unix(options.uds)
                return Address("", 0, options.uds)
            return Address(*self._engine.bind(options.host, options.port))
        except OSError as error:
            raise _bind_error(error, options) from error

    async def _serve(self, address: Address, on_ready: Callable[[Address], None], signals: bool) -> None:
        loop = asyncio.get_running_loop()
        self._stop, self._hurry = asyncio.Event(), asyncio.Event()
        if signals:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._request_stop)
        if interface_of(self._app, self._options.interface) == "wsgi":
            await self._serve_wsgi(cast(WsgiApplication, self._app), lambda: on_ready(address), self._stop, self._hurry)
        else:
            await self._serve_asgi(cast(AsgiApplication, self._app), lambda: on_ready(address), self._stop, self._hurry)

    async def _serve_wsgi(
        self, app: WsgiApplication, on_ready: Callable[[], None], stop: asyncio.Event, hurry: asyncio.Event
    ) -> None:
        """Its threads need nothing of the loop, which waits for the end."""
        if self._options.mount == "native":
            raise ConfigError('mount = "native" needs a FastAPI application, and this one is a WSGI application')
        options = self._options
        # A worker's connections are handed to it, by a process that has others too.
        runner = WsgiRunner(app, options.root_path, options.threads, multiprocess=options.connections_fd is not None)
        try:
            self._engine.mount_wsgi("", runner.workers)
            self._listen()
            on_ready()
            await stop.wait()
            await self._drain(hurry, lambda: runner.pending)
        finally:
            runner.close()

    async def _serve_asgi(
        self, app: AsgiApplication, on_ready: Callable[[], None], stop: asyncio.Event, hurry: asyncio.Event
    ) -> None:
        loop = asyncio.get_running_loop()
        lifespan = Lifespan(app, self._options.lifespan)
        startup = loop.create_task(lifespan.startup())
        stopped = loop.create_task(stop.wait())
        await asyncio.wait({startup, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not startup.done():
            startup.cancel()
            raise StartupError("stopped before the application's start-up was complete")
        startup.result()
        runner = RequestRunner(app, loop)
        template = {
            "type": "http",
            "asgi": ASGI_VERSION,
            "scheme": "http",
            "root_path": self._options.root_path,
        }
        websocket_template = {
            "type": "websocket",
            "asgi": WEBSOCKET_ASGI_VERSION,
            "scheme": "ws",
            "root_path": self._options.root_path,
            "extensions": {"websocket.http.response": {}},
        }
        native = native_side(app, self._options, runner, loop)
        self._engine.mount_asgi(
            "", runner.start, loop.create_future, template, lifespan.state,
            root_path=self._options.root_path, websocket_template=websocket_template, native=native,
        )  # fmt: skip
        if native is not None:
            native.attach(self._engine)
        self._listen()
        on_ready()
        await stopped
        await self._drain(hurry, lambda: len(runner.tasks) + (0 if native is None else native.pending))
        await runner.cancel()
        if native is not None:
            native.close()
        await _unless(hurry, lifespan.shutdown())

    def _listen(self) -> None:
        try:
            self._engine.listen()
        except OSError as error:
            raise _bind_error(error, self._options) from error
        if self._options.connections_fd is not None:
            channel = socket.socket(fileno=self._options.connections_fd)
            channel.setblocking(False)
            asyncio.get_running_loop().add_reader(channel, self._take_connections, channel)

    def _take_connections(self, channel: socket.socket) -> None:
        """Serves what was accepted for this process. The end of it is a request to stop."""
        with contextlib.suppress(BlockingIOError, InterruptedError):
            while True:
                data, descriptors, _, _ = socket.recv_fds(channel, CONNECTIONS_AT_ONCE, CONNECTIONS_AT_ONCE)
                for descriptor in descriptors:
                    self._engine.adopt(descriptor)
                if not data:
                    asyncio.get_running_loop().remove_reader(channel)
                    channel.close()
                    self._request_stop()
                    return

    async def _drain(self, hurry: asyncio.Event, pending: Callable[[], int]) -> None:
        """Finishes requests in flight, of which ``pending`` are not answered, for at most the drain timeout."""
        self._engine.drain()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._options.drain_timeout
        if count := pending():
            logger.warning(
                "drain: waiting for %d requests, at most %g s; a second signal cuts them off",
                count, self._options.drain_timeout,
            )  # fmt: skip
        while self._engine.open_connections() or pending():
            if hurry.is_set() or loop.time() >= deadline:
                logger.warning(
                    "drain: %d connections and %d requests are cut off %s",
                    self._engine.open_connections(), pending(),
                    "on request" if hurry.is_set() else f"after {self._options.drain_timeout:g} s",
                )  # fmt: skip
                break
            await asyncio.sleep(DRAIN_POLL_SECONDS)
        self._engine.abort()


async def _unless(hurry: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Waits for ``work``, but cancels it as soon as ``hurry`` is set."""
    task, hurried = asyncio.ensure_future(work), asyncio.ensure_future(hurry.wait())
    await asyncio.wait({task, hurried}, return_when=asyncio.FIRST_COMPLETED)
    hurried.cancel()
    if task.done():
        task.result()
    else:
        logger.warning("the application's shutdown is cut off on request")
        await cancel_all([task])


def socket_taken(path: str) -> PortInUseError:
    """The error for the path of a Unix socket where something else is."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return PortInUseError(f"{path} is there already, and no socket; choose another path, or remove it")
    return PortInUseError(f"{path} is served by another process; choose another path")


def _bind_error(error: OSError, options: ServeOptions) -> PortInUseError | StartupError:
    if error.errno == errno.EADDRINUSE and options.uds is not None:
        return socket_taken(options.uds)
    if error.errno == errno.EADDRINUSE:
        return PortInUseError(
            f"port {options.port} on {options.host} is taken by another process; choose another, or 0 for a free one"
        )
    return StartupError(str(error.strerror or error))


def _close_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Ends what the application left behind, as asyncio.Runner does."""
    try:
        loop.run_until_complete(cancel_all(asyncio.all_tasks(loop)))
        loop.run_until_complete(loop.shutdown_asyncgens())
        try:
            loop.run_until_complete(asyncio.wait_for(loop.shutdown_default_executor(), CANCEL_SECONDS))
        except asyncio.TimeoutError:
            logger.warning("threads of the event loop's executor are still running")
    except Exception:  # a failing clean-up must not hide the error that ended the server
        logger.exception("while closing the event loop")
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def tracing_tool() -> str | None:
    """The name of what traces this interpreter (coverage, a debugger, a profiler), or None.

    A traced application runs several times slower; its measurement says nothing.
    """
    if sys.gettrace() is not None:
        return "a trace function (coverage or a debugger)"
    if sys.getprofile() is not None:
        return "a profile function"
    monitoring = getattr(sys, "monitoring", None)
    if monitoring is not None:
        for tool in (monitoring.DEBUGGER_ID, monitoring.COVERAGE_ID, monitoring.PROFILER_ID):
            name = monitoring.get_tool(tool)
            if name and monitoring.get_events(tool):
                return str(name)
    return None
