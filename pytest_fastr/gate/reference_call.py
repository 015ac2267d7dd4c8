"""The reference function: the fixed yardstick that functions are measured against, as apps are by the reference app.

It is one request of the reference app, without a server around it: the app's coroutine never waits, so that it runs to
its end in one step. Part of the measuring protocol and frozen like the app: another way of calling it is another
`REFERENCE_VERSION`. A test pins these bytes.
"""

from __future__ import annotations

from typing import Any

from pytest_fastr.gate.epochs import REFERENCE
from pytest_fastr.mount import AppRef

_SCOPE = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", b"127.0.0.1")]}


async def _receive() -> Any:
    raise RuntimeError("the reference app reads no body")


async def _send(message: Any) -> None:
    pass


class ReferenceCall:
    """A call is one request of the reference app. Made when it is needed: the app's table takes memory."""

    def __init__(self) -> None:
        assert isinstance(REFERENCE.app, AppRef)
        self._app: Any = REFERENCE.app.load()

    def __call__(self) -> None:
        """Answers the request. Raises RuntimeError if the app should wait."""
        try:
            self._app(_SCOPE, _receive, _send).send(None)
        except StopIteration:
            return
        raise RuntimeError("the reference app waited")
