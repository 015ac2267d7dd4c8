"""The constant answer by FastAPI; with BENCH_FACE by our subclass of it."""

from __future__ import annotations

import os

from fastapi import FastAPI

if os.environ.get("BENCH_FACE"):
    from pytest_fastr.web import FastrAPI as Face  # Only its row has it installed.
else:
    Face = FastAPI  # type: ignore[misc, assignment]

app = Face()


@app.get("/", response_model=None)
async def hello() -> dict[str, str]:
    """The same words for everybody."""
    return {"message": "Hello, World!"}
