"""Applications for the server's log: one that fails where it is told to, and one that sets up logging for itself."""

import logging.config
from collections.abc import Awaitable, Callable
from typing import Any


async def app(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
    assert scope["type"] == "http"
    if scope["path"] == "/raise":
        raise RuntimeError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def silencing() -> Any:
    """Sets up logging, which by default silences all loggers there are."""
    logging.config.dictConfig({"version": 1, "root": {"level": "ERROR"}})
    return app
