"""Answers every request with the scope that the server made of it. A client with a port, the test, is left out."""

from __future__ import annotations

from typing import Any


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    left_out = {"server", "state", *(["client"] if scope["client"][1] else [])}
    body = repr({key: scope[key] for key in sorted(scope) if key not in left_out}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [[b"content-type", b"text/plain"]]})
    await send({"type": "http.response.body", "body": body})
