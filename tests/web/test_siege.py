"""Native lanes among clients that are slow, many, or there when the server is told to stop."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI

from pytest_fastr import Server

APPS = Path(__file__).parents[1] / "apps"


def make() -> FastAPI:
    app = FastAPI()

    @app.post("/echo")
    async def echo(item: dict[str, int]) -> dict[str, int]:
        return item

    app.get("/")(lambda: "here")
    return app


def get(server: Server) -> bytes:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=20)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read()
    finally:
        connection.close()


def until_closed(client: socket.socket) -> bytes:
    try:
        return b"".join(iter(lambda: client.recv(4096), b""))
    except ConnectionResetError:
        return b""


@pytest.mark.parametrize(
    ("begun", "limit", "answer"),
    [
        (b"GET / HTTP/1.1\r\nhost: h\r\nx-slow: ", "header_timeout", b""),
        (
            b"POST /echo HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{",
            "body_timeout",
            b"HTTP/1.1 408",
        ),
    ],
)
def test_slow_clients_are_cut_off_and_others_served_meanwhile(begun: bytes, limit: str, answer: bytes) -> None:
    with Server(make(), mount="native", limits={limit: 0.5}) as server, contextlib.ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection((server.host, server.port), 20)) for _ in range(200)]
        for client in slow:
            client.sendall(begun)
        for _ in range(50):
            assert get(server) == b'"here"'
        for client in slow:
            assert until_closed(client).startswith(answer)
        assert get(server) == b'"here"'


@pytest.fixture
def descriptors() -> Iterator[int]:
    """How many descriptors this process may have open; as many as it is allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 25_000 if hard == resource.RLIM_INFINITY else min(hard, 25_000)
    with contextlib.suppress(ValueError, OSError):  # macOS has a limit of its own beside this one
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(wanted, soft), hard))
    yield resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_ten_thousand_idle_connections_are_held(descriptors: int) -> None:
    # Both ends are in this process.
    count = min(10_000, (descriptors - 500) // 2)
    with (
        Server(make(), mount="native", limits={"max_connections": count + 100}) as server,
        contextlib.ExitStack() as stack,
    ):
        idle = [stack.enter_context(socket.create_connection((server.host, server.port), 20)) for _ in range(count)]
        assert get(server) == b'"here"'
        for client in idle[:: count // 100]:
            client.sendall(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
            assert until_closed(client).endswith(b'"here"')


def test_sigterm_under_load_loses_no_request_that_was_taken(tmp_path: Path) -> None:
    counted = tmp_path / "count"
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest_fastr.serve", "--path", str(APPS), "counting:app", "--port", "0"],
        env={**os.environ, "COUNTING_FILE": str(counted)},
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert process.stderr is not None
        found = re.search(rb"127\.0\.0\.1:(\d+)", process.stderr.readline())
        assert found is not None
        clients = [Client(int(found[1]), path) for path in ("/suspends", "/pool", "/inline") * 7]
        for client in clients:
            client.start()
        for client in clients:
            assert client.warm.wait(20)
        process.send_signal(signal.SIGTERM)
        for client in clients:
            client.join(20)
            assert client.error is None
        assert process.wait(20) == 0
        assert int(counted.read_text()) == sum(client.answered for client in clients)
    finally:
        process.kill()
        process.communicate()


class Client(threading.Thread):
    """Asks on one connection until the server closes it, between two answers."""

    def __init__(self, port: int, path: str) -> None:
        super().__init__(daemon=True)
        self._address = ("127.0.0.1", port)
        self._path = path
        self.answered = 0
        self.warm = threading.Event()
        self.error: str | None = None

    def run(self) -> None:
        request = f"GET {self._path} HTTP/1.1\r\nhost: h\r\n\r\n".encode()
        with socket.create_connection(self._address, 20) as client:
            while True:
                try:
                    client.sendall(request)
                    answer = self._answer(client)
                except (BrokenPipeError, ConnectionResetError):
                    return  # closed before the request was read
                if not answer:
                    return
                if not answer.startswith(b"HTTP/1.1 200"):
                    self.error = repr(answer)
                    return
                self.answered += 1
                if self.answered == 20:
                    self.warm.set()

    @staticmethod
    def _answer(client: socket.socket) -> bytes:
        """A whole answer; nothing where the connection closes before it begins."""
        answer = b""
        while True:
            head, end, body = answer.partition(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head)
            if end and length is not None and len(body) == int(length[1]):
                return answer
            piece = client.recv(4096)
            if not piece:
                assert not answer, f"cut off: {answer!r}"
                return b""
            answer += piece
