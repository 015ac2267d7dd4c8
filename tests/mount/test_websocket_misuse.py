"""What an application may do wrong with a websocket: it and its client get a clear answer."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from pytest_fastr._native import ClientDisconnected
from support.frames import CLOSE, FIN, TEXT, RawWebSocket

ACCEPT = {"type": "websocket.accept"}
GONE = "websocket.disconnect"

App = Callable[[Any, Any, Any], Any]


def tries(*messages: Any) -> tuple[App, list[Any], threading.Event]:
    """An application that tries to send these and notes what it gets for it; then it closes."""
    notes: list[Any] = []
    done = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        for message in messages:
            try:
                await send(message)
            except Exception as error:
                notes.append(f"{type(error).__name__}: {error}")
            else:
                notes.append(None)
        done.set()

    return app, notes, done


SEND = {"type": "websocket.send"}
CLOSING = {"type": "websocket.close"}
MISUSES = [
    ("send before accept", [{**SEND, "text": "a"}], "RuntimeError: Expected ASGI message 'websocket.accept'"),
    ("accept twice", [ACCEPT, ACCEPT], "RuntimeError: Expected ASGI message 'websocket.send' or 'websocket.close'"),
    ("send after close", [ACCEPT, CLOSING, {**SEND, "text": "a"}], "RuntimeError: Unexpected ASGI message"),
    ("close after close", [ACCEPT, CLOSING, CLOSING], "RuntimeError: Unexpected ASGI message 'websocket.close'"),
    ("accept after a rejection", [CLOSING, ACCEPT], "RuntimeError: Unexpected ASGI message 'websocket.accept'"),
    ("neither bytes nor text", [ACCEPT, SEND], "TypeError: 'websocket.send' needs 'bytes' or 'text'"),
    ("bytes that are str", [ACCEPT, {**SEND, "bytes": "a"}], "TypeError: the 'bytes' of 'websocket.send' must be"),
    ("bytes that are int", [ACCEPT, {**SEND, "bytes": 7}], "TypeError"),
    ("text that is bytes", [ACCEPT, {**SEND, "text": b"a"}], "TypeError: the 'text' of 'websocket.send' must be str"),
    ("text that is no Unicode", [ACCEPT, {**SEND, "text": "\ud800"}], "UnicodeEncodeError"),
    ("a reserved code", [ACCEPT, {**CLOSING, "code": 1005}], "RuntimeError: 1005 is not a close code"),
    ("a code out of range", [ACCEPT, {**CLOSING, "code": 70_000}], "RuntimeError: 70000 is not a close code"),
    ("a code that is none", [ACCEPT, {**CLOSING, "code": "1000"}], "TypeError"),
    ("a long reason", [ACCEPT, {**CLOSING, "reason": "x" * 124}], "RuntimeError: a close reason has at most 123"),
    ("no type", [{}], "KeyError: 'type'"),
    ("a message that is no dict", [7], "TypeError"),
    ("an injected header", [{**ACCEPT, "headers": [(b"x", b"a\r\nset-cookie: b")]}], "RuntimeError: invalid value"),
    ("an injected name", [{**ACCEPT, "headers": [(b"x: y\r\nz", b"a")]}], "RuntimeError: invalid response header name"),
    ("an injected subprotocol", [{**ACCEPT, "subprotocol": "a\r\nb: c"}], "RuntimeError: invalid subprotocol"),
    ("a str header", [{**ACCEPT, "headers": [("x", "y")]}], "TypeError"),
    ("a denial that succeeds nothing", [{"type": "websocket.http.response.start", "status": 99}], "RuntimeError: 99"),
    ("a denial without a status", [{"type": "websocket.http.response.start"}], "KeyError: 'status'"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "messages", "wanted"), MISUSES, ids=[what for what, _, _ in MISUSES])
def test_misuse_raises_in_the_application_and_harms_nobody(
    what: str, messages: list[Any], wanted: str, serve: Callable[[App], int]
) -> None:
    app, notes, done = tries(*messages)
    port = serve(app)
    with RawWebSocket(port) as websocket:
        assert done.wait(10)
        assert str(notes[-1]).startswith(wanted)
        assert notes[:-1] == [None] * (len(messages) - 1)
        assert all(name in ("connection", "upgrade", "date", "sec-websocket-accept", "content-length", "content-type")
                   for name, _ in websocket.headers)  # fmt: skip
        websocket.close()
    with RawWebSocket(port) as websocket:
        assert websocket.status in (101, 403, 500)


@pytest.mark.parametrize(("accepted", "raises", "answer"), [
    (False, False, 500), (False, True, 500), (True, False, 1000), (True, True, 1011),
])  # fmt: skip
def test_an_application_that_leaves_its_websocket_is_answered_for(
    accepted: bool, raises: bool, answer: int, serve: Callable[[App], int], caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if accepted:
            await send(ACCEPT)
            await send({**SEND, "text": "last words"})
        if raises:
            raise ValueError("broken")

    with caplog.at_level(logging.ERROR, "pytest_fastr.server"), RawWebSocket(serve(app), "/path") as websocket:
        if accepted:
            assert websocket.receive() == (FIN | TEXT, b"last words")
            assert websocket.receive() == (FIN | CLOSE, answer.to_bytes(2, "big"))
            assert websocket.close(answer) == []
        else:
            assert (websocket.status, websocket.body) == (answer, b"Internal Server Error")
    complaints = [record.getMessage() for record in caplog.records]
    if raises:
        assert complaints == ["Exception in ASGI application (WebSocket /path)"]
    elif not accepted:
        assert complaints == [
            "ASGI application returned without accepting or denying the websocket (WebSocket /path)"
        ]  # fmt: skip
    else:
        assert complaints == []


def test_sending_to_a_client_that_has_left_is_an_os_error_that_nobody_needs_to_catch(
    serve: Callable[[App], int], caplog: pytest.LogCaptureFixture
) -> None:
    errors: list[BaseException] = []
    done = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        await receive()
        assert (await receive())["type"] == GONE
        assert (await receive())["type"] == GONE
        try:
            await send({**SEND, "text": "late"})
        except OSError as error:
            errors.append(error)
            raise
        finally:
            done.set()

    with RawWebSocket(serve(app)) as websocket:
        websocket.close()
    assert done.wait(10)
    assert isinstance(errors[0], ClientDisconnected)
    assert not caplog.records
