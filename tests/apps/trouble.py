"""Applications that misbehave as whole processes: in start-up, in what they start, in how they end."""

from __future__ import annotations

import asyncio
import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

App = Callable[[Any, Any, Any], Awaitable[None]]


async def respond(send: Any, body: bytes) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def starting(start_up: Callable[[], Awaitable[None]]) -> App:
    """An application with this start-up."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await start_up()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
        else:
            await respond(send, b"started")

    return app


async def _hang() -> None:
    print("about to hang", flush=True)
    await asyncio.sleep(600)


async def _exit() -> None:
    print("about to exit", flush=True)
    os._exit(7)


async def _crash() -> None:
    ctypes.string_at(0)


async def _leave_a_child_and_exit() -> None:
    """The child keeps every descriptor open that is not closed on purpose."""
    if os.fork() == 0:
        os.setsid()
        time.sleep(600)
    os._exit(7)


async def _fail(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "lifespan"
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})


hangs = starting(_hang)
exits = starting(_exit)
crashes = starting(_crash)
leaves_a_child = starting(_leave_a_child_and_exit)
fails = _fail

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
DETACHED = """
import os, sys, time
if os.fork():
    os._exit(0)
os.setsid()
print(os.getpid(), flush=True)
time.sleep(600)
"""


async def family(scope: Any, receive: Any, send: Any) -> None:
    """Starts processes in its own group, in a session of their own, and as a daemon whose parent has gone."""
    if scope["type"] == "lifespan":
        raise NotImplementedError
    same = subprocess.Popen(SLEEP)
    own_session = subprocess.Popen(SLEEP, start_new_session=True)
    middle = subprocess.Popen([sys.executable, "-c", DETACHED], stdout=subprocess.PIPE)
    assert middle.stdout is not None
    pids = [os.getpid(), same.pid, own_session.pid, int(middle.stdout.readline())]
    middle.wait()
    await respond(send, " ".join(map(str, pids)).encode())
    if scope["path"] == "/then-hang":
        # Later: what was sent goes out when the loop gets its turn.
        asyncio.get_running_loop().call_later(0.02, hold_the_interpreter)


def hold_the_interpreter() -> None:
    """One call in C that never gives the interpreter back, and a handler that would ignore SIGTERM anyway."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("holding the interpreter", flush=True)
    re.match(r"(a+)+$", "a" * 60 + "b")


async def slow(scope: Any, receive: Any, send: Any) -> None:
    """Answers once the file named by the query exists; prints when a request has come."""
    if scope["type"] == "lifespan":
        raise NotImplementedError
    print("a request has come", flush=True)
    while not Path(scope["query_string"].decode()).exists():
        await asyncio.sleep(0.002)
    await respond(send, b"finished")


async def talks(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        raise NotImplementedError
    print("a word on stdout", flush=True)
    print("a word on stderr", file=sys.stderr, flush=True)
    if scope["path"] == "/die":
        os.kill(os.getpid(), signal.SIGKILL)
    raise ZeroDivisionError("a bug")


def make() -> App:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        await respond(send, b"made")

    return app


def make_nothing() -> Any:
    raise LookupError("no settings")


class Classic:
    """ASGI 3 as an object."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await respond(send, b"object")


classic = Classic()
number = 7
