"""The applications that the benchmarks serve: as little as possible around what is compared."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

app = FastAPI()


@app.get("/async")
async def asynchronous() -> dict[str, int]:
    """A coroutine that never waits."""
    return {"answer": 42}


@app.get("/sync")
def synchronous() -> dict[str, int]:
    """A blocking handler, which FastAPI runs in a thread."""
    return {"answer": 42}


async def raw(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Plain ASGI: what the server alone costs."""
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", b"application/json"), (b"content-length", b"13")],
        }
    )
    await send({"type": "http.response.body", "body": b'{"answer":42}'})
