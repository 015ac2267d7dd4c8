"""What the steps of an answer cost by themselves: prints JSON, CPU microseconds each. DATABASE_URL has the database."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any

import asyncpg
import uvloop

from pytest_fastr import _native
from users_db.seed import PAGE

BATCHES, QUERIES, STEPS = 7, 200, 300


async def _waited(call: Callable[[], Awaitable[Any]]) -> float:
    found = []
    for _ in range(BATCHES):
        began = time.process_time()
        for _ in range(QUERIES):
            await call()
        found.append((time.process_time() - began) / QUERIES * 1e6)
    return median(found)


def _stepped(call: Callable[[], Any]) -> float:
    found = []
    for _ in range(BATCHES):
        began = time.process_time()
        for _ in range(STEPS):
            call()
        found.append((time.process_time() - began) / STEPS * 1e6)
    return median(found)


async def main() -> dict[str, float]:
    """Each step for itself."""
    connection = await asyncpg.connect(os.environ["DATABASE_URL"])
    rows = await connection.fetch(PAGE)
    answer = [dict(row) for row in rows]
    found = {
        "select_1_us": await _waited(lambda: connection.fetch("SELECT 1")),
        "page_us": await _waited(lambda: connection.fetch(PAGE)),
        "dicts_us": _stepped(lambda: [dict(row) for row in rows]),
        "json_us": _stepped(lambda: _native.write_json(answer, list, list)),
    }
    await connection.close()
    return found


if __name__ == "__main__":
    steps = asyncio.run(main())
    uvloop.install()
    print(json.dumps({**steps, "page_uvloop_us": asyncio.run(main())["page_us"]}))
