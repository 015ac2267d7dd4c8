"""What the steps of an answer cost by themselves: prints JSON, CPU microseconds each. DATABASE_URL has the database."""

from __future__ import annotations

import asyncio
import json
import os
import time
from asyncio import selector_events
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any

import asyncpg
import uvloop

from pytest_fastr import _native
from users_db.seed import PAGE
from users_db.store import pool_of

BATCHES, QUERIES, STEPS = 7, 200, 300
SMALL = 64 * 1024


async def _waited(call: Callable[[], Awaitable[Any]]) -> float:
    found = []
    for _ in range(BATCHES):
        began = time.process_time()
        for _ in range(QUERIES):
            await call()
        found.append((time.process_time() - began) / QUERIES * 1e6)
    return median(found)


async def _waited_with(buffer: int, call: Callable[[], Awaitable[Any]]) -> float:
    """The same where asyncio's sockets read at most so many bytes at a time."""
    transport = selector_events._SelectorTransport  # type: ignore[attr-defined]
    before, transport.max_size = transport.max_size, buffer
    try:
        return await _waited(call)
    finally:
        transport.max_size = before


def _stepped(call: Callable[[], Any]) -> float:
    found = []
    for _ in range(BATCHES):
        began = time.process_time()
        for _ in range(STEPS):
            call()
        found.append((time.process_time() - began) / STEPS * 1e6)
    return median(found)


def dictionaries(rows: list[Any]) -> list[dict[str, str]]:
    """As `users_db.store` makes them."""
    return [{"user_id": id, "username": username, "email": email} for id, username, email in rows]


async def main() -> dict[str, float]:
    """Each step for itself."""
    connection = await asyncpg.connect(os.environ["DATABASE_URL"])
    rows = await connection.fetch(PAGE)
    answer = dictionaries(rows)
    found = {
        "select_1_us": await _waited(lambda: connection.fetch("SELECT 1")),
        "page_us": await _waited(lambda: connection.fetch(PAGE)),
        "page_small_us": await _waited_with(SMALL, lambda: connection.fetch(PAGE)),
        "dicts_us": _stepped(lambda: dictionaries(rows)),
        "json_us": _stepped(lambda: _native.write_json(answer, list, list)),
    }
    await connection.close()
    async with pool_of(os.environ["DATABASE_URL"], 1) as pool:
        found["pool_us"] = await _waited(lambda: pool.fetch(PAGE))
    return found


if __name__ == "__main__":
    steps = asyncio.run(main())
    uvloop.install()
    print(json.dumps({**steps, "page_uvloop_us": asyncio.run(main())["page_us"]}))
