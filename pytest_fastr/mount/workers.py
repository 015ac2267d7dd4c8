"""Several processes behind one socket: connections are accepted here, and given to the workers in turn.

A kernel that chooses the process gives two workers 14 and 6 of twenty connections, and measures its own luck. In turn
they get ten each.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import stat
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_fastr.errors import PortInUseError, StartupError
from pytest_fastr.mount import handshake
from pytest_fastr.mount.asgi import logger
from pytest_fastr.mount.runtime import Address, ServeOptions, socket_taken

BACKLOG = 2048
# Before a worker that has died is replaced: one that dies at once must not keep a core busy with that.
REPLACE_SECONDS = 1.0
# How long accepting pauses when no worker has room for a connection, or the process for a descriptor.
PAUSE_SECONDS = 0.01
# What a worker that was told twice to stop gets until it is killed.
KILL_SECONDS = 5.0


def listen(options: ServeOptions) -> tuple[socket.socket, Address]:
    """The socket that all workers serve. Raises PortInUseError and StartupError."""
    try:
        if options.uds is not None:
            return _listen_unix(Path(options.uds)), Address("", 0, options.uds)
        family = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        listener = socket.create_server((options.host, options.port), family=family, backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE and options.uds is not None:
            raise socket_taken(options.uds) from error
        where = options.uds or f"port {options.port} on {options.host}"
        if error.errno == errno.EADDRINUSE:
            raise PortInUseError(f"{where} is taken by another process; choose another") from error
        raise StartupError(f"cannot listen on {where}: {error.strerror or error}") from error
    host, port = listener.getsockname()[:2]
    return listener, Address(host, port)


def _listen_unix(path: Path) -> socket.socket:
    """As the engine does: a socket that nobody listens on any more is replaced."""
    with contextlib.suppress(OSError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(ConnectionRefusedError):
                probe.connect(str(path))
                raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
            path.unlink()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(BACKLOG)
    return listener


@dataclass(slots=True)
class _Worker:
    process: asyncio.subprocess.Process
    channel: socket.socket
    lifeline: int
    ready: handshake.Ready


class Workers:
    """Starts the workers, hands them connections, and replaces those that die."""

    def __init__(self, command: Sequence[str], count: int, listener: socket.socket, drain_timeout: float) -> None:
        """``command``: what starts a worker, but for the descriptors it gets."""
        self._command = command
        self._count = count
        self._listener = listener
        self._drain_timeout = drain_timeout
        self._workers: list[_Worker] = []
        self._turn = 0
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()

    async def run(self, on_ready: Callable[[handshake.Ready], None]) -> None:
        """Serves until SIGTERM or SIGINT. Raises the error of a worker that cannot start."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        try:
            self._workers = list(await asyncio.gather(*(self._start() for _ in range(self._count))))
            watching = [loop.create_task(self._watch(index)) for index in range(self._count)]
            self._listener.setblocking(False)
            accepting = loop.create_task(self._accept())
            on_ready(self._workers[0].ready)
            stopping = loop.create_task(self._stopping.wait())
            await asyncio.wait([stopping, *watching], return_when=asyncio.FIRST_COMPLETED)
            accepting.cancel()
            for task in watching:
                if task.done() and not self._stopping.is_set():
                    task.result()
                task.cancel()
        finally:
            self._listener.close()
            await self._end()

    def _stop(self) -> None:
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()

    async def _start(self) -> _Worker:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ready_read, ready_write = os.pipe()
        lifeline_read, lifeline_write = os.pipe()
        given = (theirs.fileno(), ready_write, lifeline_read)
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                *(f"--{name}-fd={fd}" for name, fd in zip(("connections", "ready", "lifeline"), given, strict=True)),
                pass_fds=given,
                stdin=asyncio.subprocess.DEVNULL,
                # A terminal's Ctrl-C is for this process, which tells the workers.
                start_new_session=True,
            )
        finally:
            theirs.close()
            os.close(ready_write)
            os.close(lifeline_read)
        with os.fdopen(ready_read, "rb") as pipe:
            line = await asyncio.get_running_loop().run_in_executor(None, pipe.readline)
        ours.setblocking(False)
        if not line:
            raise StartupError(f"a worker ended with {await process.wait()} before it was ready")
        return _Worker(process, ours, lifeline_write, handshake.parse(line))

    async def _watch(self, index: int) -> None:
        """Replaces a worker whenever it dies. Raises StartupError when its successor cannot start."""
        while True:
            worker = self._workers[index]
            code = await worker.process.wait()
            logger.error("worker %d ended with %d; another one takes its place", worker.process.pid, code)
            self._close(worker)
            await asyncio.sleep(REPLACE_SECONDS)
            self._workers[index] = await self._start()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(self._listener)
            except OSError as error:
                logger.warning("no connection can be accepted for now: %s", error)
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            with connection:
                while not self._give(connection):
                    await asyncio.sleep(PAUSE_SECONDS)

    def _give(self, connection: socket.socket) -> bool:
        """Gives a connection to the next worker that takes it. False when none does."""
        for _ in self._workers:
            worker = self._workers[self._turn % len(self._workers)]
            self._turn += 1
            with contextlib.suppress(OSError):  # it is dead, or has more than it can take
                socket.send_fds(worker.channel, [b"c"], [connection.fileno()])
                return True
        return False

    @staticmethod
    def _close(worker: _Worker) -> None:
        worker.channel.close()
        with contextlib.suppress(OSError):
            os.close(worker.lifeline)

    async def _end(self) -> None:
        """Has the workers finish what they have: the end of their channel tells them that there is no more."""
        for worker in self._workers:
            worker.channel.close()
        alive = [worker.process for worker in self._workers if worker.process.returncode is None]
        ended: asyncio.Future[Any] = asyncio.gather(*(process.wait() for process in alive))
        hurried: asyncio.Future[Any] = asyncio.ensure_future(self._hurry.wait())
        await asyncio.wait({ended, hurried}, timeout=self._drain_timeout + KILL_SECONDS,
                           return_when=asyncio.FIRST_COMPLETED)  # fmt: skip
        for send in (signal.SIGTERM, signal.SIGKILL):
            if ended.done():
                break
            for process in alive:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(send)
            await asyncio.wait({ended}, timeout=KILL_SECONDS)
        hurried.cancel()
        for worker in self._workers:
            self._close(worker)


def run_workers(command: Sequence[str], options: ServeOptions, on_ready: Callable[[handshake.Ready], None]) -> None:
    """Serves with several workers until told to stop. ``on_ready`` gets what the first worker said, with the address
    and the process that stand for all of them. Raises FastrError."""
    listener, address = listen(options)

    def tell(first: handshake.Ready) -> None:
        on_ready(first.at(address, os.getpid()))

    async def serve() -> None:
        await Workers(command, options.workers, listener, options.drain_timeout).run(tell)

    try:
        with listener:
            asyncio.run(serve())
    finally:
        if options.uds is not None:
            with contextlib.suppress(OSError):
                os.unlink(options.uds)


def worker_command(app: str, options: ServeOptions, further: Sequence[str]) -> list[str]:
    """What starts a worker, but for its descriptors."""
    return [sys.executable, "-m", "pytest_fastr.serve", app, *options.arguments(), *further]
