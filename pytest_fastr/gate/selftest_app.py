"""The application of the gate's self-test: every request does counted work, which is the same share of its cost however
fast the machine happens to be.

How much comes from the environment: *units* of what applications do (dictionaries, texts, JSON), and *loops*, small
steps for planted slowdowns.
"""

from __future__ import annotations

import json
import os
from typing import Any

UNITS = "PYTEST_FASTR_SELFTEST_UNITS"
LOOPS = "PYTEST_FASTR_SELFTEST_LOOPS"

_UNITS = int(os.environ.get(UNITS, "0"))
_LOOPS = int(os.environ.get(LOOPS, "0"))


def work(units: int, loops: int) -> int:
    """Does it, and returns something that depends on all of it."""
    total = 0
    for number in range(units):
        item = {"id": number, "name": f"item {number}", "tags": ["new", "red"], "price": number * 1.5}
        total += len(json.dumps(item))
    for number in range(loops):
        total += number & 7
    return total


async def app(scope: Any, _receive: Any, send: Any) -> None:
    """Works, and answers."""
    if scope["type"] != "http":
        raise NotImplementedError(f"the self-test has no {scope['type']}")
    body = str(work(_UNITS, _LOOPS)).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
