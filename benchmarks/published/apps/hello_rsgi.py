"""The constant answer by granian's own interface: no router, no validation, no framework."""

from __future__ import annotations

from typing import Any

HEADERS = [("content-type", "application/json")]


async def app(_scope: Any, protocol: Any) -> None:
    """Answers whatever is asked."""
    protocol.response_bytes(200, HEADERS, b'{"message":"Hello, World!"}')
