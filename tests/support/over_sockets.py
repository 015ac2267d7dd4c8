"""A pytest plugin that has Starlette's TestClient send its requests through the engine, over a socket.

So another project's own tests are tests of the engine: from its folder,

    PYTHONPATH=.../pytest-fastr/tests python -m pytest -p support.over_sockets tests

``FASTR_MOUNT`` is the mount ("native" by default; an app that cannot be mounted natively is mounted by ASGI); with
``FASTR_FACE=1`` ``fastapi.FastAPI`` is ``FastrAPI``. Websockets and https stay with TestClient. What may differ is the
client's: its addresses, its state, context variables of the test, a head that is sent before there is a body.
"""

from __future__ import annotations

import asyncio
import http.client
import logging
import os
import socket
import time
from collections.abc import Iterator
from typing import Any

import fastapi
import fastapi.applications
import pytest
from starlette import testclient

from pytest_fastr import Server
from pytest_fastr.errors import ConfigError, StartupError
from pytest_fastr.web import FastrAPI

MOUNT: Any = os.environ.get("FASTR_MOUNT", "native")
TIMEOUT = 20.0
# What the server adds, or decides about the connection.
OF_THE_CONNECTION = ("date", "connection", "transfer-encoding")

_in_process = testclient._TestClientTransport.handle_request
_httpx: Any = vars(testclient)["httpx"]
_servers: dict[tuple[int, str], tuple[Server, Any]] = {}
_raised: list[BaseException] = []


class _Catch(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            _raised.append(record.exc_info[1])


def _served(app: Any, root_path: str, *, lifespan: bool = False) -> Server:
    key = (id(app), root_path)
    if key not in _servers:
        try:
            server = Server(app, mount=MOUNT, root_path=root_path, lifespan=lifespan).__enter__()
        except ConfigError:
            server = Server(app, mount="asgi", root_path=root_path, lifespan=lifespan).__enter__()
        _servers[key] = server, app  # the application is held, so that no other one gets its id
    return _servers[key][0]


def _end(key: tuple[int, str]) -> None:
    server, _ = _servers.pop(key, (None, None))
    if server is not None:
        server.__exit__(None, None, None)


def _wire(request: Any, body: bytes) -> bytes:
    fields = [(name, value) for name, value in request.headers.raw if name.lower() != b"transfer-encoding"]
    if body and not any(name.lower() == b"content-length" for name, _ in fields):
        fields.append((b"content-length", str(len(body)).encode()))
    lines = [b"%s %s HTTP/1.1" % (request.method.encode(), request.url.raw_path), *(b": ".join(one) for one in fields)]
    return b"\r\n".join([*lines, b"", body])


def _wait_for_the_end(server: Server) -> None:
    """TestClient returns when the application is done with the request, which may be after its last byte."""
    loop: Any = server._runtime and server._runtime._loop
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        try:
            running = [getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks(loop)]
        except RuntimeError:  # the set has changed meanwhile
            continue
        if not any(name.startswith(("RequestRunner.", "NativeSide.")) for name in running):
            return
        time.sleep(0.002)


def _over_a_socket(self: Any, request: Any) -> Any:
    if request.url.scheme != "http":
        return _in_process(self, request)
    server = _served(self.app, self.root_path)
    _raised.clear()
    broken: Exception | None = None
    with socket.create_connection((server.host, server.port), TIMEOUT) as connection:
        connection.sendall(_wire(request, request.read()))
        answer = http.client.HTTPResponse(connection, method=request.method)
        try:
            answer.begin()
            body = answer.read()
        except (http.client.HTTPException, OSError) as error:
            broken = error
    _wait_for_the_end(server)
    if _raised and self.raise_server_exceptions:
        raise _raised[0]
    if broken is not None:
        raise broken
    fields = [one for one in answer.getheaders() if one[0].lower() not in OF_THE_CONNECTION]
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]
    return _httpx.Response(answer.status, headers=headers, stream=_httpx.ByteStream(body), request=request)


def _enter(self: Any) -> Any:
    key = (id(self.app), self._transport.root_path)
    _end(key)
    try:
        _served(self.app, key[1], lifespan=True)
    except StartupError as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise cause from None
    return self


def _exit(self: Any, *_: object) -> None:
    _end((id(self.app), self._transport.root_path))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Iterator[None]:
    """Ends the servers of a test."""
    try:
        return (yield)
    finally:
        for key in list(_servers):
            _end(key)


def pytest_configure() -> None:
    """Puts the engine in TestClient's place."""
    logging.getLogger("pytest_fastr.server").addHandler(_Catch())
    client: Any = testclient.TestClient
    client.__enter__, client.__exit__ = _enter, _exit
    transport: Any = testclient._TestClientTransport
    transport.handle_request = _over_a_socket
    if os.environ.get("FASTR_FACE"):
        vars(fastapi)["FastAPI"] = vars(fastapi.applications)["FastAPI"] = FastrAPI
