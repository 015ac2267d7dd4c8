"""Plain ASGI: what a server costs without any framework."""

from __future__ import annotations

import asyncio
from typing import Any

START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", b"27")],
}
BODY = {"type": "http.response.body", "body": b'{"message":"Hello, World!"}'}


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The constant answer; below ``/sleep`` after a millisecond."""
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    if scope["path"] == "/sleep":
        await asyncio.sleep(0.001)
    await send(START)
    await send(BODY)
