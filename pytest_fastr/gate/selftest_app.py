"""The application of the gate's self-test: every request counts to a number from the environment, which is work and not
time, so that it is the same share of a request's cost however fast the machine happens to be.
"""

from __future__ import annotations

import os
from typing import Any

WORK = "PYTEST_FASTR_SELFTEST_LOOPS"

_LOOPS = int(os.environ.get(WORK, "0"))


async def app(scope: Any, _receive: Any, send: Any) -> None:
    """Counts, and answers."""
    if scope["type"] != "http":
        raise NotImplementedError(f"the self-test has no {scope['type']}")
    total = 0
    for number in range(_LOOPS):
        total += number & 7
    body = str(total).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
