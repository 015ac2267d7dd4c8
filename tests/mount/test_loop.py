"""The engine's event loop is an ordinary asyncio loop: whatever an application uses of it works."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pytest_fastr import Server
from pytest_fastr._native import Engine
from pytest_fastr.mount.loop import RECEIVE_BYTES, EngineEventLoop, EngineSelector

GET = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n"


@pytest.fixture
def loop() -> Iterator[EngineEventLoop]:
    engine = Engine()
    loop = EngineEventLoop(engine)
    try:
        yield loop
    finally:
        loop.close()
        engine.close()


def test_timers_fire_in_order_and_not_before_their_time(loop: EngineEventLoop) -> None:
    fired: list[int] = []

    async def main() -> float:
        start = loop.time()
        for number in (30, 10, 20, 0):
            loop.call_later(number / 1000, fired.append, number)
        await asyncio.sleep(0.04)
        return loop.time() - start

    assert loop.run_until_complete(main()) >= 0.04
    assert fired == [0, 10, 20, 30]


def test_a_thread_wakes_a_loop_that_waits_for_nothing_else(loop: EngineEventLoop) -> None:
    async def main() -> list[int]:
        got: list[int] = []
        done = loop.create_future()

        def hand_over() -> None:
            for number in range(200):
                loop.call_soon_threadsafe(got.append, number)
            loop.call_soon_threadsafe(done.set_result, None)

        thread = threading.Thread(target=hand_over)
        thread.start()
        await done
        thread.join()
        return got

    assert loop.run_until_complete(main()) == list(range(200))


def test_blocking_calls_run_in_the_executor(loop: EngineEventLoop) -> None:
    async def main() -> set[int]:
        together = threading.Barrier(3)

        def meet() -> int:
            together.wait(10)
            return threading.get_ident()

        calls = (loop.run_in_executor(None, meet) for _ in "abc")
        idents = set(await asyncio.gather(*calls))
        await loop.shutdown_default_executor()
        return idents

    assert len(loop.run_until_complete(main()) - {threading.get_ident()}) == 3


def test_readers_and_writers_of_descriptors_are_called(loop: EngineEventLoop) -> None:
    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)

    async def main() -> bytes:
        received = b""
        writable, complete = asyncio.Event(), asyncio.Event()

        def read() -> None:
            nonlocal received
            received += right.recv(3)
            if len(received) >= 10:
                complete.set()

        loop.add_reader(right, read)
        loop.add_writer(left, writable.set)
        await writable.wait()
        assert loop.remove_writer(left)
        left.send(b"01234")
        await asyncio.sleep(0)
        left.send(b"56789")
        await complete.wait()
        assert loop.remove_reader(right)
        return received

    with left, right:
        assert loop.run_until_complete(main()) == b"0123456789"


def test_a_descriptor_that_becomes_ready_later_ends_the_wait(loop: EngineEventLoop) -> None:
    reading, writing = os.pipe()

    async def main() -> int:
        count = 0
        for _ in range(100):
            seen = asyncio.Event()
            loop.add_reader(reading, seen.set)
            threading.Thread(target=os.write, args=(writing, b"x")).start()
            await asyncio.wait_for(seen.wait(), 10)
            loop.remove_reader(reading)
            count += len(os.read(reading, 10))
        return count

    try:
        assert loop.run_until_complete(main()) == 100
    finally:
        os.close(reading)
        os.close(writing)


def test_sockets_and_streams_of_asyncio_work(loop: EngineEventLoop) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()

    async def main() -> bytes:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
            writer.write(b"x" * 50_000 + b"\n")
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
        return answer

    assert len(loop.run_until_complete(main())) == 50_001


def test_subprocesses_of_asyncio_work_on_a_server(ask: Callable[..., Any]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "print(input()[::-1])", stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        output, _ = await process.communicate(b"abc\n")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": output + b"%d" % (process.returncode or 0)})

    with Server(app, lifespan=False) as server:
        assert ask(server.port, GET).body == b"cba\n0"


def test_signals_reach_their_handlers(loop: EngineEventLoop) -> None:
    async def main() -> str:
        handled = loop.create_future()
        loop.add_signal_handler(signal.SIGUSR1, handled.set_result, "through the loop")
        threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGUSR1)).start()
        try:
            return str(await asyncio.wait_for(handled, 10))
        finally:
            loop.remove_signal_handler(signal.SIGUSR1)

    assert loop.run_until_complete(main()) == "through the loop"


def test_a_signal_while_a_loop_closes_is_no_complaint() -> None:
    program = """
import os, signal
from pytest_fastr._native import Engine
from pytest_fastr.mount.loop import EngineEventLoop

class Loop(EngineEventLoop):
    def remove_signal_handler(self, number):  # asyncio does this last
        os.kill(os.getpid(), signal.SIGTERM)
        return super().remove_signal_handler(number)

loop = Loop(Engine())
loop.add_signal_handler(signal.SIGTERM, lambda: None)
loop.close()
print(signal.set_wakeup_fd(-1))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "-1\n", "")


def test_a_busy_loop_does_not_starve_requests(ask: Callable[..., Any]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    async def busy_app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            return await app(scope, receive, send)

        async def spin() -> None:
            while True:
                await asyncio.sleep(0)

        await receive()
        spinning = asyncio.create_task(spin())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        spinning.cancel()
        await send({"type": "lifespan.shutdown.complete"})

    with Server(busy_app) as server:
        assert [ask(server.port, GET).body for _ in range(20)] == [b"ok"] * 20


def test_many_slow_requests_wait_together() -> None:
    everybody = 200
    here: list[asyncio.Future[None]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        here.append(asyncio.get_running_loop().create_future())
        if len(here) == everybody:
            for one in here:
                one.set_result(None)
        await here[-1] if len(here) < everybody else None
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    with Server(app, lifespan=False) as server:
        clients = [socket.create_connection(("127.0.0.1", server.port), 20) for _ in range(everybody)]
        for client in clients:
            client.sendall(GET)
        for client in clients:
            assert client.recv(4096).startswith(b"HTTP/1.1 200")
            client.close()
    assert len(here) == everybody


def test_debug_mode_of_asyncio_finds_nothing_wrong(
    ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert asyncio.get_running_loop().get_debug()
        await receive()
        assert "Waiting" in repr(asyncio.create_task(receive()))
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(receive(), 0.01)
        await asyncio.get_running_loop().run_in_executor(None, time.monotonic)
        await asyncio.create_task(send({"type": "http.response.start", "status": 200, "headers": []}))
        await send({"type": "http.response.body", "body": b"ok"})

    with Server(app, lifespan=False) as server:
        assert ask(server.port, GET).body == b"ok"
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


def test_a_loop_can_be_used_again_and_again(loop: EngineEventLoop) -> None:
    assert [loop.run_until_complete(asyncio.sleep(0, number)) for number in range(5)] == [0, 1, 2, 3, 4]


def test_a_closed_loop_says_so(loop: EngineEventLoop) -> None:
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        loop.call_soon_threadsafe(print)


def test_one_engine_serves_one_loop_at_a_time() -> None:
    engine = Engine()
    selector = EngineSelector(engine)
    refusals: list[str] = []

    def wait() -> None:
        try:
            selector.select(20)
        except RuntimeError as error:
            refusals.append(str(error))
            engine.wake()

    waiting = [threading.Thread(target=wait) for _ in range(2)]
    for thread in waiting:
        thread.start()
    for thread in waiting:
        thread.join()
    selector.close()
    engine.close()
    assert refusals == ["the engine is in a turn already; one loop drives one engine"]


def test_what_an_application_reads_arrives_whole_in_pieces_of_bounded_size(loop: EngineEventLoop) -> None:
    class Client(asyncio.Protocol):
        def __init__(self) -> None:
            self.pieces: list[int] = []
            self.lost = loop.create_future()

        def data_received(self, data: bytes) -> None:
            self.pieces.append(len(data))

        def connection_lost(self, error: Exception | None) -> None:
            self.lost.set_result(error)

    def send() -> None:
        peer, _ = listener.accept()
        with peer:
            peer.sendall(bytes(3_000_000))

    async def main() -> Client:
        _, client = await loop.create_connection(Client, *listener.getsockname())
        await client.lost
        return client

    with socket.create_server(("127.0.0.1", 0)) as listener:
        sender = threading.Thread(target=send)
        sender.start()
        client = loop.run_until_complete(main())
        sender.join()
    assert sum(client.pieces) == 3_000_000
    assert max(client.pieces) <= RECEIVE_BYTES
