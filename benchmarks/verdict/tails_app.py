"""An application with rare stalls (a sleep, which costs no CPU time) and rare costs, as its environment says."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from pytest_fastr.gate.selftest import REQUEST_UNITS
from pytest_fastr.gate.selftest_app import work

SLEEP_EVERY = int(os.environ.get("TAILS_SLEEP_EVERY", "0"))
"""Every so-manieth request sleeps for 20 ms; 0: none does."""
COST_EVERY = int(os.environ.get("TAILS_COST_EVERY", "0"))
"""Every so-manieth request costs a hundred times as much; 0: none does."""

count = 0


async def app(scope: Any, _receive: Any, send: Any) -> None:
    global count
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    count += 1
    if SLEEP_EVERY and count % SLEEP_EVERY == 0:
        await asyncio.sleep(0.02)
    rare = COST_EVERY and count % COST_EVERY == 0
    body = str(work(REQUEST_UNITS * (100 if rare else 1), 0)).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
