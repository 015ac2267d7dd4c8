"""What an application may do wrong with ASGI, or do in an unusual way: it and its client get a clear answer."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import http.client
import logging
import socket
import threading
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest

from pytest_fastr import Server

GET = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n"
START = {"type": "http.response.start", "status": 200, "headers": []}
END = {"type": "http.response.body", "body": b"ok"}

App = Callable[[Any, Any, Any], Any]


@pytest.fixture
def answer(ask: Callable[..., Any]) -> Callable[..., Any]:
    """One request to an application."""

    def serve(app: App, request: bytes = GET) -> Any:
        with Server(app, lifespan=False) as server:
            return ask(server.port, request)

    return serve


def sends(*messages: Any) -> App:
    """An application that sends these messages."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    return app


REFUSED = [
    ("a body before the start", [END], 500, "RuntimeError: response body sent before the response was started"),
    ("two starts", [START, START], 500, "RuntimeError: the response was started twice"),
    ("a body after the end", [START, END, END], 200, "RuntimeError: response body sent after the response was"),
    ("a start after the end", [START, END, START], 200, "RuntimeError"),
    ("a str body", [START, {**END, "body": "text"}], 500, "TypeError: the body of 'http.response.body' must be bytes"),
    ("an int body", [START, {**END, "body": 7}], 500, "TypeError"),
    ("no type", [{"status": 200}], 500, "KeyError: 'type'"),
    ("an unknown type", [{"type": "http.respond"}], 500, "RuntimeError: Expected ASGI message"),
    ("a type that is no str", [{"type": 7}], 500, "TypeError"),
    ("a message that is no dict", [7], 500, "TypeError"),
    ("no status", [{"type": "http.response.start"}], 500, "KeyError: 'status'"),
    ("a str status", [{**START, "status": "200"}], 500, "TypeError"),
    ("a negative status", [{**START, "status": -1}], 500, "OverflowError"),
    ("an informational status", [{**START, "status": 100}], 500, "RuntimeError: 100 is not a final HTTP status code"),
    ("a status of four digits", [{**START, "status": 2000}], 500, "RuntimeError: 2000 is not a final HTTP status"),
    ("str headers", [{**START, "headers": [("a", "b")]}], 500, "TypeError: names and values of response headers"),
    ("a header of three", [{**START, "headers": [(b"a", b"b", b"c")]}], 500, "ValueError: a response header is"),
    ("headers that are no list", [{**START, "headers": 7}], 500, "TypeError"),
    ("a header name with a blank", [{**START, "headers": [(b"a b", b"c")]}], 500, 'header name "a b"'),
    ("a split header", [{**START, "headers": [(b"a", b"b\r\nc: d")]}], 500, 'response header "a"'),
    ("a word as content-length", [{**START, "headers": [(b"content-length", b"x")]}], 500, "invalid content-length"),
    ("two content-lengths", [{**START, "headers": [(b"content-length", b"1"), (b"content-length", b"2")]}], 500,
     "invalid content-length"),
    ("more than content-length", [{**START, "headers": [(b"content-length", b"1")]}, END], 500, "longer than its"),
    ("less than content-length", [{**START, "headers": [(b"content-length", b"9")]}, END], 500, "shorter than its"),
    ("nothing", [], 500, "ASGI application returned without a response"),
    ("only a start", [START], 500, "ASGI application returned without a response"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("messages", "status", "complaint"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_a_wrong_message_is_refused_and_named_in_the_log(
    answer: Callable[..., Any], caplog: pytest.LogCaptureFixture, messages: list[Any], status: int, complaint: str
) -> None:
    got = answer(sends(*messages))
    assert (got.status, got.whole) == (status, True)
    assert got.body == (b"ok" if status == 200 else b"Internal Server Error")
    assert complaint in caplog.text


@pytest.mark.parametrize("messages", [
    [{**START, "headers": [[b"x-a", b"1"], (b"x-b", bytearray(b"2")), iter((b"x-c", b"3"))]}, END],
    [{**START, "headers": iter([(b"x-a", b"1"), (b"x-b", b"2"), (b"x-c", b"3")])}, {**END, "body": bytearray(b"ok")}],
    [{**START, "headers": ((b"X-A", b"1"), (b"X-b", b"2"), (b"x-C", b"3"))}, {**END, "body": memoryview(b"ok")}],
    [{**START, "headers": {b"x-a": b"1", b"x-b": b"2", b"x-c": b"3"}.items()}, {**END, "more_body": 0, "extra": 1}],
])  # fmt: skip
def test_whatever_the_specification_allows_is_taken(answer: Callable[..., Any], messages: list[Any]) -> None:
    got = answer(sends(*messages))
    assert (got.status, got.body) == (200, b"ok")
    assert [got.header(name) for name in ("x-a", "x-b", "x-c")] == ["1", "2", "3"]


def test_headers_and_body_may_be_left_out(answer: Callable[..., Any]) -> None:
    got = answer(sends({"type": "http.response.start", "status": 202}, {"type": "http.response.body"}))
    assert (got.status, got.body) == (202, b"")


def test_a_response_that_breaks_off_is_seen_to_be_broken() -> None:
    heard = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send({**END, "body": b"half", "more_body": True})
        await asyncio.get_running_loop().run_in_executor(None, heard.wait, 10)

    with Server(app, lifespan=False) as server, socket.create_connection(("127.0.0.1", server.port), 10) as client:
        client.sendall(GET)
        received = b""
        while b"half" not in received:
            received += client.recv(4096)
        heard.set()
        while piece := client.recv(4096):
            received += piece
    assert received.endswith(b"half\r\n")


def test_a_response_that_breaks_off_at_once_is_never_taken_for_a_whole_one(ask: Callable[..., Any]) -> None:
    app = sends(START, {**END, "more_body": True})
    # Perhaps not even its head was sent.
    with Server(app, lifespan=False) as server, contextlib.suppress(http.client.RemoteDisconnected):
        assert not ask(server.port, GET).whole


def test_an_exception_before_the_response_is_a_500(
    answer: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError("early")

    assert answer(app).status == 500
    assert "Exception in ASGI application (GET /)" in caplog.text
    assert "ZeroDivisionError: early" in caplog.text


def test_an_exception_between_start_and_body_is_a_500(answer: Callable[..., Any]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        raise ZeroDivisionError

    assert answer(app).status == 500


def test_an_exception_after_the_response_is_logged_and_harmless(
    ask: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(END)
        raise ZeroDivisionError("late")

    with Server(app, lifespan=False) as server:
        assert [ask(server.port, GET).body for _ in range(3)] == [b"ok"] * 3
    assert "ZeroDivisionError: late" in caplog.text


def test_a_returned_value_is_complained_about(answer: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> Any:
        await send(START)
        await send(END)
        return "value"

    assert answer(app).body == b"ok"
    assert "should return None, but returned 'value'" in caplog.text


def test_an_application_that_cancels_itself_is_a_500(answer: Callable[..., Any]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(60)

    assert answer(app).status == 500


def test_receive_works_as_a_task_and_with_a_timeout(answer: Callable[..., Any]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        first = await asyncio.create_task(receive())
        assert first == {"type": "http.request", "body": b"", "more_body": False}
        for _ in range(20):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(receive(), 0.001)
        await asyncio.gather(send(START), asyncio.create_task(send(END)))

    assert answer(app).body == b"ok"


def test_cancelled_receives_are_not_kept(answer: Callable[..., Any]) -> None:
    left: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        futures: list[Any] = []
        for _ in range(50):
            waiting = receive()
            future = waiting.send(None)
            futures.append(weakref.ref(future))
            future.cancel()
            with pytest.raises(asyncio.CancelledError):
                waiting.throw(asyncio.CancelledError())
            del waiting, future
        gc.collect()
        left.append(sum(one() is not None for one in futures))
        await send(START)
        await send(END)

    assert answer(app).body == b"ok"
    assert left[0] < 10


def test_a_receive_of_its_own_and_the_response_go_on_together(answer: Callable[..., Any]) -> None:
    after: list[Any] = []
    done = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        watchers = [asyncio.create_task(receive()) for _ in range(3)]
        await send(START)
        for _ in range(100):
            await send({**END, "body": b"0123456789" * 1000, "more_body": True})
        await send({"type": "http.response.body"})
        after.extend(await asyncio.gather(*watchers))
        after.append(await receive())
        done.set()

    assert len(answer(app).body) == 1_000_000
    assert done.wait(10)
    assert after == [{"type": "http.disconnect"}] * 4


def test_tasks_that_wait_for_one_upload_together_all_come_to_its_end() -> None:
    ends: list[Any] = []
    waiting = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def read() -> int:
            count = 0
            while True:
                message = await receive()
                count += len(message["body"])
                if not message["more_body"]:
                    return count

        readers = [asyncio.create_task(read()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting.set()
        ends.extend(await asyncio.gather(*readers))
        await send(START)
        await send(END)

    with Server(app, lifespan=False) as server, socket.create_connection((server.host, server.port), 10) as client:
        client.sendall(b"POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 6\r\nconnection: close\r\n\r\n")
        assert waiting.wait(10)
        for piece in (b"ab", b"cd", b"ef"):
            client.sendall(piece)
        assert client.recv(100).startswith(b"HTTP/1.1 200")
    assert sum(ends) == 6


def test_what_was_sent_before_a_response_broke_off_reaches_the_client() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({**START, "headers": [(b"content-length", b"9")]})
        await send({**END, "body": b"half", "more_body": True})

    with Server(app, lifespan=False) as server, socket.create_connection((server.host, server.port), 10) as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n")
        received = b""
        while piece := client.recv(1000):
            received += piece
    assert received.startswith(b"HTTP/1.1 200")
    assert received.endswith(b"\r\n\r\nhalf")


def test_an_upload_and_a_download_flow_at_the_same_time(ask: Callable[..., Any]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        more = True
        while more:
            message = await receive()
            more = message["more_body"]
            await send({"type": "http.response.body", "body": message["body"], "more_body": more})

    body = bytes(range(256)) * 8000
    request = b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: %d\r\n\r\n" % len(body)
    with Server(app, lifespan=False) as server, socket.create_connection(("127.0.0.1", server.port), 20) as client:
        sender = threading.Thread(target=client.sendall, args=(request + body,))
        sender.start()
        received = b""
        while not received.endswith(b"\r\n0\r\n\r\n"):
            received += client.recv(1 << 16)
        sender.join()
        assert len(received) > len(body)


def test_work_after_the_response_does_not_hold_the_client(ask: Callable[..., Any]) -> None:
    finished = threading.Event()
    answered = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(END)
        while not answered.is_set():
            await asyncio.sleep(0.001)
        finished.set()

    with Server(app, lifespan=False) as server:
        assert ask(server.port, GET).body == b"ok"
        answered.set()
    assert finished.is_set()


def test_send_after_the_client_has_left_does_nothing(wait_until: Callable[..., None]) -> None:
    outcome: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        outcome.append("arrived")
        assert await receive() == {"type": "http.disconnect"}
        await send(START)
        await send({**END, "body": b"x" * 1_000_000, "more_body": True})
        await send(END)
        outcome.append("sent")

    with Server(app, lifespan=False) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(GET)
            wait_until(lambda: outcome, "the request")
        wait_until(lambda: "sent" in outcome, "the unheard response")


def test_a_client_that_does_not_read_holds_the_application(wait_until: Callable[..., None]) -> None:
    sent: list[int] = []
    piece = b"x" * 100_000

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        for number in range(1000):
            await send({**END, "body": piece, "more_body": True})
            sent.append(number)
        await send({"type": "http.response.body"})

    with Server(app, lifespan=False) as server, socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(GET)
        wait_until(lambda: len(sent) > 1, "the first pieces")
        seen = -1
        while seen != len(sent):
            seen = len(sent)
            threading.Event().wait(0.1)
        assert seen < 500
        received = 0
        while received < 1000 * len(piece):
            received += len(client.recv(1 << 20))


def test_every_request_has_its_own_task_and_context(ask: Callable[..., Any]) -> None:
    name: ContextVar[str] = ContextVar("name", default="unset")
    together = threading.Barrier(4)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        before = name.get()
        name.set(scope["path"])
        await asyncio.get_running_loop().run_in_executor(None, together.wait, 10)
        task = asyncio.current_task()
        inner = await asyncio.create_task(read())
        body = f"{before} {name.get()} {inner} {task is asyncio.current_task()}".encode()
        await send(START)
        await send({**END, "body": body})

    async def read() -> str:
        return name.get()

    answers: list[bytes] = []

    def client(path: str) -> None:
        answers.append(ask(server.port, f"GET {path} HTTP/1.1\r\nhost: h\r\n\r\n".encode()).body)

    with Server(app, lifespan=False) as server:
        threads = [threading.Thread(target=client, args=(f"/{number}",)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(answers) == [f"unset /{number} /{number} True".encode() for number in range(4)]


@pytest.mark.parametrize("send_error", [False, True])
def test_nothing_of_a_request_is_kept_after_it(
    ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, send_error: bool
) -> None:
    # pytest keeps log records, those hold the exceptions, and those the frames.
    monkeypatch.setattr(logging.getLogger("pytest_fastr.server"), "disabled", True)

    class Marker:
        pass

    alive: list[weakref.ref[Marker]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["marker"] = Marker()
        alive.append(weakref.ref(scope["marker"]))
        await receive()
        await send(START)
        if send_error:
            raise ZeroDivisionError
        await send(END)

    with Server(app, lifespan=False) as server:
        for _ in range(20):
            ask(server.port, GET)
    gc.collect()
    assert [one for one in alive if one() is not None] == []
