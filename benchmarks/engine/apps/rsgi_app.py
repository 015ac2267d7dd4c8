"""Granian's own interface: the constant answer; below ``/sleep`` after a millisecond."""

from __future__ import annotations

import asyncio
from typing import Any

HEADERS = [("content-type", "application/json")]
BODY = b'{"message":"Hello, World!"}'


async def app(scope: Any, protocol: Any) -> None:
    if scope.path == "/sleep":
        await asyncio.sleep(0.001)
    protocol.response_bytes(200, HEADERS, BODY)
