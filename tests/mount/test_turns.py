"""An application that never has to wait keeps nobody else waiting."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pytest_fastr import Server

START = {"type": "http.response.start", "status": 200, "headers": []}
END = {"type": "http.response.body", "body": b"ok"}


def request_to(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: h\r\n\r\n".encode()


@pytest.fixture
def stopped() -> Iterator[threading.Event]:
    """Ends what an application does forever, once the test is over."""
    event = threading.Event()
    yield event
    event.set()


@contextlib.contextmanager
def serving(busy: Callable[..., Any], stopped: threading.Event) -> Iterator[Server]:
    """A server of `busy` at /busy and for websockets, and of a plain answer elsewhere."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/busy":
            await busy(receive, send)
        else:
            await send(START)
            await send(END)

    with Server(app, lifespan=False) as server:
        try:
            yield server
        finally:
            stopped.set()


def test_receiving_forever_after_the_response(ask: Callable[..., Any], stopped: threading.Event) -> None:
    received: list[Any] = []

    async def busy(receive: Any, send: Any) -> None:
        await send(START)
        await send(END)
        while not stopped.is_set():
            received[:] = [await receive()]

    with serving(busy, stopped) as server:
        assert ask(server.port, request_to("/busy")).body == b"ok"
        assert ask(server.port, request_to("/")).body == b"ok"
    assert received == [{"type": "http.disconnect"}]


def test_sending_forever_after_the_client_has_left(ask: Callable[..., Any], stopped: threading.Event) -> None:
    async def busy(receive: Any, send: Any) -> None:
        await send(START)
        while not stopped.is_set():
            await send({**END, "more_body": True})

    with serving(busy, stopped) as server:
        with socket.create_connection((server.host, server.port), 10) as client:
            client.sendall(request_to("/busy"))
            assert client.recv(100).startswith(b"HTTP/1.1 200")
        assert ask(server.port, request_to("/")).body == b"ok"


def test_a_websocket_that_receives_forever_after_its_end(ask: Callable[..., Any], stopped: threading.Event) -> None:
    gone = threading.Event()

    async def busy(receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.close"})
        while not stopped.is_set():
            assert (await receive())["type"] == "websocket.disconnect"
            gone.set()

    handshake = (
        b"GET /busy HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
        b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    with serving(busy, stopped) as server:
        assert ask(server.port, handshake).status == 403
        assert gone.wait(10)
        assert ask(server.port, request_to("/")).body == b"ok"


def test_a_turn_that_ends_loses_no_message(ask: Callable[..., Any], stopped: threading.Event) -> None:
    pieces = [b"%d," % number for number in range(2000)]
    received: list[bytes] = []

    async def busy(receive: Any, send: Any) -> None:
        more = True
        while more:
            message = await receive()
            received.append(message["body"])
            more = message["more_body"]
        await send(START)
        for piece in pieces:
            await send({**END, "body": piece, "more_body": True})
        await send(END)

    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    head = b"POST /busy HTTP/1.1\r\nhost: h\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
    with serving(busy, stopped) as server:
        assert ask(server.port, head + chunks + b"0\r\n\r\n").body == b"".join(pieces) + b"ok"
    assert b"".join(received) == b"".join(pieces)
