"""An application that tells which process serves it, and what it sees of the connection."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any


async def app(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["path"] == "/slow":
        await asyncio.sleep(0.5)
    if scope["path"] == "/die":
        os.kill(os.getpid(), signal.SIGKILL)
    body = f"{os.getpid()} {scope['client']} {scope['server']}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def never_starts(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/multiprocess":
        return [str(environ["wsgi.multiprocess"]).encode()]
    return [f"{os.getpid()} {environ['SERVER_NAME']} {environ['REMOTE_ADDR']!r}".encode()]
