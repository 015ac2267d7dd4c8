"""The oracle: an application called by ASGI in this process, with the scope that the engine builds.

It stands for FastAPI alone. What is not FastAPI's is the engine's contract with any application, and is written down
here a second time: how a target becomes a scope (``native/python/src/asgi/scope.rs``), what ``send`` refuses, and what
becomes of an application that breaks off (``native/engine/src/exchange.rs``). Whom a proxy speaks for, uvicorn says.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from dataclasses import replace
from typing import Any
from urllib.parse import unquote_to_bytes

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from support.web_wire import Address, Answer, Fields, Request

TIMEOUT_SECONDS = 20.0

_ORIGIN = re.compile(r"^https?://[^/?]*", re.IGNORECASE)
_TOKEN = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")

_INTERNAL_ERROR = Answer(500, ((b"content-type", b"text/plain; charset=utf-8"),), b"Internal Server Error")


def build_scope(request: Request, client: Address, server: Address, root_path: str) -> dict[str, Any]:
    """The scope of a request, but for ``state``."""
    raw_path, _, query = _ORIGIN.sub("", request.target).partition("?")
    raw_path = raw_path or "/"
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": request.version,
        "scheme": "http",
        "method": request.method.upper(),
        "path": root_path + unquote_to_bytes(raw_path).decode("utf-8", "replace"),
        "raw_path": (root_path + raw_path).encode(),
        "root_path": root_path,
        "query_string": query.encode(),
        "headers": grouped(request.fields()),
        "client": client,
        "server": server,
    }


def grouped(fields: Fields) -> list[tuple[bytes, bytes]]:
    """Fields of one name stand together, in the order of their first."""
    groups: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        groups.setdefault(name.lower(), []).append(value.strip(b" \t"))
    return [(name, value) for name, values in groups.items() for value in values]


class Exchange:
    """One request's ``receive`` and ``send``."""

    def __init__(self, request: Request) -> None:
        self._body = request.body or b""
        self._body_taken = False
        self._old = request.version == "1.0"
        self._head_only = request.method == "HEAD"
        self._bodiless = self._head_only
        self._ended = asyncio.Event()
        self._start: tuple[int, Fields] | None = None
        self._released = False
        self._remaining: int | None = None
        self._out: list[bytes] = []

    async def receive(self) -> dict[str, Any]:
        """The body in one piece, then silence until the response is complete."""
        if not self._body_taken:
            self._body_taken = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self._ended.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        """Takes a message as the engine does, or refuses it."""
        kind = message["type"]
        if kind == "http.response.start":
            self._begin(message["status"], tuple((bytes(name), bytes(value)) for name, value in message["headers"]))
        elif kind == "http.response.body":
            self._add(bytes(message.get("body", b"")), bool(message.get("more_body", False)))
        elif kind not in ("http.response.trailers", "http.response.debug"):
            raise RuntimeError(f"unexpected ASGI message {kind!r}")

    def _begin(self, status: int, headers: Fields) -> None:
        if not 200 <= status <= 999:
            raise RuntimeError(f"{status} is no final status")
        for name, value in headers:
            if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
                raise RuntimeError(f"refused header {name!r}")
        lengths = {value for name, value in headers if name.lower() == b"content-length"}
        if len(lengths) > 1 or not all(length.isdigit() for length in lengths):
            raise RuntimeError(f"refused content-length {lengths!r}")
        if self._start is not None:
            raise RuntimeError("started twice")
        self._bodiless |= status in (204, 304)
        kept = [
            (name.lower(), value.strip(b" \t"))
            for name, value in headers
            if not (status == 204 and name.lower() == b"content-length")
        ]
        self._remaining = int(lengths.pop()) if lengths and not self._bodiless else None
        self._start = status, tuple(kept)

    def _add(self, body: bytes, more: bool) -> None:
        if self._start is None or self._ended.is_set():
            raise RuntimeError("a body outside of a response")
        if self._remaining is not None:
            left = self._remaining - len(body)
            if left < 0 or (not more and left):
                raise RuntimeError("a body of another length than announced")
            self._remaining = left
        self._released = True
        if not self._bodiless:
            self._out.append(body)
        if not more:
            self._ended.set()

    def finish(self) -> Answer:
        """The answer that a client sees when the application's call has ended."""
        complete = self._ended.is_set()
        self._ended.set()
        if not complete and not self._released:
            return replace(_INTERNAL_ERROR, body=b"") if self._head_only else _INTERNAL_ERROR
        assert self._start is not None
        # Without a body, or one without a length and chunks, a client cannot tell an end from a break.
        unnoticed = self._bodiless or (self._old and self._remaining is None)
        return Answer(*self._start, b"".join(self._out), "" if complete or unnoticed else "broken off")


class Oracle:
    """An application on an event loop of its own, between its start-up and its shutdown."""

    def __init__(self, app: Any, root_path: str = "") -> None:
        self._app: Any = ProxyHeadersMiddleware(app, ["127.0.0.1", "::1"])
        self._root_path = root_path
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._state: dict[str, Any] | None = None
        self._thread = threading.Thread(target=self._run, name="oracle", daemon=True)
        self._thread.start()
        self._ready.wait(TIMEOUT_SECONDS)

    def ask(self, request: Request, client: Address, server: Address) -> Answer:
        """What the application answers. Returns when its call is over, background tasks and all."""
        answering = asyncio.run_coroutine_threadsafe(self._answer(request, client, server), self._loop)
        return answering.result(TIMEOUT_SECONDS)

    def close(self) -> BaseException | None:
        """Runs the shutdown. Returns what start-up or shutdown raised."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(TIMEOUT_SECONDS)
        return self._failure

    async def _answer(self, request: Request, client: Address, server: Address) -> Answer:
        scope = build_scope(request, client, server, self._root_path)
        if self._state is not None:
            scope["state"] = self._state.copy()
        exchange = Exchange(request)
        # The engine logs it; what the client sees is left to finish().
        with contextlib.suppress(Exception):
            await self._app(scope, exchange.receive, exchange.send)
        return exchange.finish()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._live())
        except BaseException as error:
            self._failure = error
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()
            self._ready.set()

    async def _live(self) -> None:
        """The lifespan around :meth:`ask`."""
        state: dict[str, Any] = {}
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": state}
        to_app: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        from_app: asyncio.Queue[str] = asyncio.Queue()

        async def send(message: dict[str, str]) -> None:
            from_app.put_nowait(message["type"])

        lifespan = asyncio.ensure_future(self._app(scope, to_app.get, send))
        heard = asyncio.ensure_future(from_app.get())
        to_app.put_nowait({"type": "lifespan.startup"})
        await asyncio.wait({lifespan, heard}, return_when=asyncio.FIRST_COMPLETED)
        if heard.done():
            if heard.result() != "lifespan.startup.complete":
                await lifespan
            self._state = state
        elif error := lifespan.exception():
            assert isinstance(error, Exception)  # this application knows no lifespan
        self._ready.set()
        await self._stop.wait()
        if heard.done():
            to_app.put_nowait({"type": "lifespan.shutdown"})
            await lifespan
        heard.cancel()
