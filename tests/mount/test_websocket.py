"""Websockets of applications in this process: many, big, slow and concurrent, limits, drain and what is left after."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from pytest_fastr.mount import ServeOptions
from pytest_fastr.mount.runtime import Address, Runtime
from support.frames import BINARY, CLOSE, FIN, PING, TEXT, RawWebSocket, close_frame, frame

ACCEPT = {"type": "websocket.accept"}
SEND = {"type": "websocket.send"}
GONE = "websocket.disconnect"

App = Callable[[Any, Any, Any], Any]


def test_starlette_turns_a_lost_client_into_its_own_exception(serve: Callable[[App], int]) -> None:
    app, left = FastAPI(), []
    done = threading.Event()

    @app.websocket("/")
    async def endless(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            while True:
                await websocket.send_bytes(bytes(100_000))
        except WebSocketDisconnect as error:
            left.append(error.code)
            done.set()

    with RawWebSocket(serve(app)) as websocket:
        assert websocket.receive() == (FIN | BINARY, bytes(100_000))
    assert done.wait(10)
    assert left == [1006]


def test_receiving_and_sending_happen_at_the_same_time(serve: Callable[[App], int]) -> None:
    app = FastAPI()

    @app.websocket("/")
    async def both_ways(websocket: WebSocket) -> None:
        await websocket.accept()
        total = 0

        async def count() -> None:
            for number in range(1000):
                await websocket.send_text(str(number))

        async def add() -> None:
            nonlocal total
            for _ in range(1000):
                total += int(await websocket.receive_text())

        await asyncio.gather(count(), add())
        await websocket.send_text(f"total {total}")
        await websocket.close()

    with RawWebSocket(serve(app)) as websocket:
        websocket.send_raw(b"".join(frame(FIN | TEXT, b"%d" % number) for number in range(1000)))
        received = [websocket.receive() for _ in range(1001)]
        assert received == [(FIN | TEXT, b"%d" % number) for number in range(1000)] + [(FIN | TEXT, b"total 499500")]


def test_several_receivers_share_the_messages_and_all_see_the_end(serve: Callable[[App], int]) -> None:
    received: list[Any] = []
    done = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)

        async def reader() -> None:
            while (event := await receive())["type"] != GONE:
                received.append(event["text"])
            received.append(event["code"])

        readers = [asyncio.create_task(reader()) for _ in range(5)]
        await asyncio.sleep(0)
        await send({**SEND, "text": "ready"})
        await asyncio.gather(*readers)
        done.set()

    with RawWebSocket(serve(app)) as websocket:
        assert websocket.receive() == (FIN | TEXT, b"ready")
        for number in range(20):
            websocket.send(TEXT, b"%d" % number)
        websocket.close(4000)
    assert done.wait(10)
    assert sorted(received[:20], key=int) == [str(number) for number in range(20)]
    assert received[20:] == [4000] * 5


def test_a_receive_that_is_cancelled_loses_no_message(serve: Callable[[App], int]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        for _ in range(100):
            waiting = asyncio.ensure_future(receive())
            await asyncio.sleep(0)
            if not waiting.cancel():
                await send({**SEND, "text": waiting.result()["text"]})
                return
        await send({**SEND, "text": "ready"})
        await send({**SEND, "text": (await receive())["text"]})

    with RawWebSocket(serve(app)) as websocket:
        assert websocket.receive() == (FIN | TEXT, b"ready")
        websocket.send(TEXT, b"kept")
        assert websocket.receive() == (FIN | TEXT, b"kept")


def test_big_messages_come_whole_in_both_directions(serve: Callable[[App], int]) -> None:
    app = FastAPI()

    @app.websocket("/")
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_bytes((await websocket.receive_bytes())[::-1])
        await websocket.send_text(await websocket.receive_text())
        await websocket.close()

    big = bytes(range(256)) * (60 * 1024)
    text = "\u20ac" * 3_000_000
    with RawWebSocket(serve(app)) as websocket:
        with ThreadPoolExecutor(1) as pool:
            sending = pool.submit(websocket.send, BINARY, big)
            assert websocket.receive() == (FIN | BINARY, big[::-1])
            sending.result()
        websocket.send_raw(frame(TEXT, text.encode()[:4_000_000]) + frame(FIN, text.encode()[4_000_000:]))
        assert websocket.receive() == (FIN | TEXT, text.encode())


def test_a_slow_reader_makes_the_application_wait_but_does_not_deafen_it(serve: Callable[[App], int]) -> None:
    waits = threading.Event()
    sent: list[int] = []
    stopped = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        stop = asyncio.ensure_future(receive())
        while not stop.done():
            sending = asyncio.ensure_future(send({**SEND, "bytes": bytes(1_000_000)}))
            sent.append(1)
            await asyncio.sleep(0)
            if not sending.done():
                waits.set()
            await asyncio.wait([sending, stop], return_when=asyncio.FIRST_COMPLETED)
        stopped.set()

    with RawWebSocket(serve(app)) as websocket:
        assert waits.wait(10)
        websocket.send(TEXT, b"stop")
        assert stopped.wait(10)
        # What the kernel buffers, and a little of ours.
        assert len(sent) < 100
        for _ in sent:
            assert websocket.receive() == (FIN | BINARY, bytes(1_000_000))
        assert websocket.receive() == (FIN | CLOSE, (1000).to_bytes(2, "big"))


def test_a_hundred_websockets_talk_at_once(serve: Callable[[App], int]) -> None:
    app = FastAPI()
    present: list[WebSocket] = []

    @app.websocket("/{name}")
    async def chat(websocket: WebSocket, name: str) -> None:
        await websocket.accept()
        present.append(websocket)
        await websocket.send_text(f"welcome {name}")
        try:
            while True:
                said = await websocket.receive_text()
                for other in list(present):
                    await other.send_text(said)
        except WebSocketDisconnect:
            present.remove(websocket)

    port = serve(app)
    clients = [RawWebSocket(port, f"/{number}") for number in range(100)]
    for number, client in enumerate(clients):
        assert client.receive() == (FIN | TEXT, b"welcome %d" % number)
    for number in range(0, 100, 10):
        clients[number].send(TEXT, b"from %d" % number)
        for client in clients:
            assert client.receive() == (FIN | TEXT, b"from %d" % number)
    for client in clients:
        assert client.close(1000) == [(FIN | CLOSE, (1000).to_bytes(2, "big"))]
        client.socket.close()
    with RawWebSocket(port, "/last") as client:
        assert client.receive() == (FIN | TEXT, b"welcome last")
        client.send(TEXT, b"alone")
        assert client.receive() == (FIN | TEXT, b"alone")
        assert len(present) == 1


def test_requests_and_websockets_share_a_server_and_its_state(serve: Callable[[App], int]) -> None:
    app = FastAPI()
    counted: list[int] = []

    @app.get("/")
    async def read() -> list[int]:
        return counted

    @app.websocket("/")
    async def count(websocket: WebSocket) -> None:
        await websocket.accept()
        counted.append(len(counted))
        await websocket.close()

    port = serve(app)
    for _ in range(3):
        with RawWebSocket(port) as websocket:
            assert websocket.receive() == (FIN | CLOSE, (1000).to_bytes(2, "big"))
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
        assert b"".join(iter(lambda: connection.recv(4096), b"")).endswith(b"[0,1,2]")


def test_a_websocket_behind_a_request_of_its_connection_is_served(serve: Callable[[App], int]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await send(ACCEPT)
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    request = (
        b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", serve(app)), 10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n" + request + close_frame(1000))
        received = b"".join(iter(lambda: connection.recv(4096), b""))
    first, _, second = received.partition(b"ok")
    assert first.startswith(b"HTTP/1.1 200 ")
    assert second.startswith(b"HTTP/1.1 101 ")
    assert second.endswith(b"\r\n\r\n\x88\x02\x03\xe8")


def run_with(app: App, talk: Callable[[Runtime, Address], None], **options: Any) -> None:
    """Runs an application while the talk lasts, and until the runtime has ended."""
    runtime = Runtime(app, ServeOptions(lifespan="off", **options))
    failures: list[BaseException] = []
    talks: list[threading.Thread] = []

    def guarded(address: Address) -> None:
        try:
            talk(runtime, address)
        except BaseException as error:
            failures.append(error)
        finally:
            # A second stop waits for nothing.
            runtime.stop()

    def ready(address: Address) -> None:
        thread = threading.Thread(target=guarded, args=(address,))
        thread.start()
        talks.append(thread)

    runner = threading.Thread(target=lambda: runtime.run(ready, signals=False))
    runner.start()
    runner.join(30)
    assert not runner.is_alive()
    talks[0].join(10)
    if failures:
        raise failures[0]


def test_a_drain_closes_with_1012_and_the_application_sees_it() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        await send({**SEND, "text": "open"})
        event = await receive()
        seen.append((event["code"], event["reason"]))

    def talk(runtime: Runtime, address: Address) -> None:
        clients = [RawWebSocket(address.port) for _ in range(5)]
        for client in clients:
            assert client.receive() == (FIN | TEXT, b"open")
        runtime.stop()
        for client in clients:
            assert client.receive() == (FIN | CLOSE, (1012).to_bytes(2, "big"))
            assert client.close(1012) == []
            client.socket.close()

    run_with(app, talk)
    assert seen == [(1012, "")] * 5


def test_an_application_that_stays_after_a_drain_is_cancelled() -> None:
    ended: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        await send({**SEND, "text": "open"})
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    def talk(runtime: Runtime, address: Address) -> None:
        with RawWebSocket(address.port) as client:
            assert client.receive() == (FIN | TEXT, b"open")
            runtime.stop()
            assert client.receive() == (FIN | CLOSE, (1012).to_bytes(2, "big"))

    run_with(app, talk, drain_timeout=0.1)
    assert ended == ["cancelled"]


@pytest.mark.parametrize(("limits", "sent", "answer", "code"), [
    ({"max_message_bytes": 1000}, bytes(1000), (FIN | BINARY, bytes(1000)), 1009),
    ({"ping_interval": 0.001, "ping_timeout": 0.001}, None, (FIN | PING, b""), 1011),
])  # fmt: skip
def test_limits_of_messages_and_pings_are_configured(
    limits: dict[str, float], sent: bytes | None, answer: Any, code: int
) -> None:
    codes: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        while (event := await receive())["type"] != GONE:
            await send({**SEND, "bytes": event["bytes"]})
        codes.append(event["code"])

    def talk(runtime: Runtime, address: Address) -> None:
        with RawWebSocket(address.port) as client:
            if sent is not None:
                client.send(BINARY, sent)
            assert client.receive() == answer
            if sent is not None:
                client.send(BINARY, sent + b"x")
            opcode, payload = client.receive() or (0, b"")
            assert (opcode, payload[:2]) == (FIN | CLOSE, code.to_bytes(2, "big"))

    run_with(app, talk, limits=limits)
    assert codes == [code]


def test_nothing_of_a_websocket_is_kept_when_it_is_over(serve: Callable[[App], int]) -> None:
    class Held:
        """Something of the application's."""

    held: list[weakref.ref[Held]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        mine = Held()
        held.append(weakref.ref(mine))
        await receive()
        await send(ACCEPT)
        while (await receive())["type"] != GONE:
            pass

    port = serve(app)
    for _ in range(3):
        with RawWebSocket(port) as websocket:
            websocket.send(TEXT, b"hi")
            websocket.close()
    with RawWebSocket(port) as websocket:
        # It is accepted after the tasks before have ended.
        assert websocket.status == 101
        gc.collect()
        assert [one() for one in held[:3]] == [None] * 3
