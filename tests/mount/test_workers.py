"""Several workers behind one socket, and Unix sockets."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

APPS = Path(__file__).parents[1] / "apps"
GET = b"GET %s HTTP/1.1\r\nhost: h\r\n\r\n"


class Serving:
    """``pytest-fastr serve``, running."""

    def __init__(self, *arguments: str) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "pytest_fastr.cli", "serve", *arguments],
            cwd=APPS,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.said = b""

    def where(self) -> str:
        """The address it says that it serves on."""
        return self.read_until(rb"serving on (\S+) \(")

    def read_until(self, pattern: bytes) -> str:
        assert self.popen.stdout is not None
        while (found := re.search(pattern, self.said)) is None:
            line = self.popen.stdout.readline()
            assert line, self.said
            self.said += line
        return (found[1] if found.re.groups else found[0]).decode()

    def port(self) -> int:
        return int(self.where().rpartition(":")[2])

    def end(self) -> tuple[int, str]:
        assert self.popen.stdout is not None
        rest = self.popen.stdout.read()
        return self.popen.wait(20), (self.said + rest).decode()


@pytest.fixture
def serving() -> Iterator[Callable[..., Serving]]:
    started: list[Serving] = []

    def start(*arguments: str) -> Serving:
        started.append(Serving(*arguments))
        return started[-1]

    yield start
    for one in started:
        one.popen.kill()
        one.popen.communicate()


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose path is short enough for a Unix socket."""
    with tempfile.TemporaryDirectory(prefix="fastr") as folder:
        yield Path(folder)


def body_on(connection: socket.socket, path: bytes = b"/") -> str:
    """The body of an answer on a connection that stays open."""
    connection.sendall(GET % path)
    received = b""
    while not (
        whole := re.fullmatch(rb"HTTP/1.1 200 .*content-length: (\d+)\r\n.*?\r\n\r\n(.*)", received, re.S)
    ) or len(whole[2]) < int(whole[1]):
        piece = connection.recv(4096)
        assert piece, received
        received += piece
    return whole[2].decode()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A process that nobody has waited for yet still has its number.
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


def test_connections_are_spread_evenly(serving: Callable[..., Serving]) -> None:
    port = serving("workers:app", "--port", "0", "--workers", "3").port()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(("127.0.0.1", port), 20)) for _ in range(30)]
        served = Counter(body_on(client).split()[0] for client in clients)
        assert sorted(served.values()) == [10, 10, 10]
        assert served == Counter(body_on(client).split()[0] for client in clients)


def test_wsgi_has_workers_too(serving: Callable[..., Serving]) -> None:
    port = serving("workers:wsgi", "--port", "0", "--workers", "2").port()
    served = set()
    for _ in range(4):
        with socket.create_connection(("127.0.0.1", port), 20) as client:
            served.add(body_on(client).split()[0])
    assert len(served) == 2


@pytest.mark.parametrize(("workers", "said"), [("1", "False"), ("2", "True")])
def test_wsgi_is_told_of_other_processes(serving: Callable[..., Serving], workers: str, said: str) -> None:
    port = serving("workers:wsgi", "--port", "0", "--workers", workers).port()
    with socket.create_connection(("127.0.0.1", port), 20) as client:
        assert body_on(client, b"/multiprocess") == said


def test_a_worker_that_dies_is_replaced_and_the_others_serve_on(serving: Callable[..., Serving]) -> None:
    server = serving("workers:app", "--port", "0", "--workers", "2")
    port = server.port()
    with socket.create_connection(("127.0.0.1", port), 20) as client:
        client.sendall(GET % b"/die")
        assert client.recv(4096) == b""
    server.read_until(rb"worker \d+ ended with -9; another one takes its place")
    served: set[str] = set()
    for _ in range(200):  # the dead one's turns go to the other until the new one is there
        with socket.create_connection(("127.0.0.1", port), 20) as client:
            served.add(body_on(client).split()[0])
        if len(served) == 2:
            break
        time.sleep(0.02)
    assert len(served) == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_is_in_flight_is_answered_before_the_end(serving: Callable[..., Serving], number: signal.Signals) -> None:
    server = serving("workers:app", "--port", "0", "--workers", "2")
    port = server.port()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(("127.0.0.1", port), 20)) for _ in range(4)]
        pids = {int(body_on(client).split()[0]) for client in clients}
        for client in clients:
            client.sendall(GET % b"/slow")
        server.popen.send_signal(number)
        for client in clients:
            assert client.recv(4096).startswith(b"HTTP/1.1 200")
    code, said = server.end()
    assert code == 0, said
    assert not [pid for pid in pids if is_alive(pid)]


def test_workers_end_when_the_one_that_accepts_is_killed(
    serving: Callable[..., Serving], wait_until: Callable[..., None]
) -> None:
    server = serving("workers:app", "--port", "0", "--workers", "2")
    port = server.port()
    pids = set()
    for _ in range(2):
        with socket.create_connection(("127.0.0.1", port), 20) as client:
            pids.add(int(body_on(client).split()[0]))
    server.popen.kill()
    wait_until(lambda: not any(is_alive(pid) for pid in pids), "the end of the workers")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_application_that_does_not_start_is_said_once_more_at_the_end(
    serving: Callable[..., Serving], workers: str
) -> None:
    code, said = serving("workers:never_starts", "--port", "0", "--workers", workers).end()
    assert code == 1
    assert "the application's start-up failed:\nno database" in said


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_that_is_taken_is_said(serving: Callable[..., Serving], workers: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, said = serving("workers:app", "--port", port, "--workers", workers).end()
    assert (code, f"port {port} on 127.0.0.1 is taken by another process" in said) == (3, True)


def over_unix(path: Path) -> str:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(path))
        return body_on(client)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_unix_socket_is_served_and_removed(serving: Callable[..., Serving], short: Path, workers: str) -> None:
    path = short / "app.sock"
    server = serving("workers:app", "--uds", str(path), "--workers", workers)
    assert server.where() == f"unix:{path}"
    assert over_unix(path).partition(" ")[2] == f"None ({str(path)!r}, None)"
    server.popen.terminate()
    assert server.end()[0] == 0
    assert not path.exists()


def test_wsgi_sees_what_a_unix_socket_has(serving: Callable[..., Serving], short: Path) -> None:
    path = short / "app.sock"
    serving("workers:wsgi", "--uds", str(path)).where()
    assert over_unix(path).partition(" ")[2] == "localhost ''"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_socket_that_is_served_is_refused_and_one_left_behind_replaced(
    serving: Callable[..., Serving], short: Path, workers: str
) -> None:
    path = short / "app.sock"
    first = serving("workers:app", "--uds", str(path))
    first.where()
    code, said = serving("workers:app", "--uds", str(path), "--workers", workers).end()
    assert (code, str(path) in said) == (3, True), said
    first.popen.kill()
    first.popen.wait()
    assert path.exists()
    second = serving("workers:app", "--uds", str(path), "--workers", workers)
    second.where()
    assert over_unix(path)


def test_what_is_no_socket_is_never_removed(serving: Callable[..., Serving], short: Path) -> None:
    path = short / "precious"
    path.write_text("data")
    for workers in ("1", "2"):
        code, said = serving("workers:app", "--uds", str(path), "--workers", workers).end()
        assert (code, said) == (
            3, f"pytest-fastr: {path} is there already, and no socket; choose another path, or remove it\n",
        )  # fmt: skip
    assert path.read_text() == "data"


def test_measured_servers_may_have_workers(spawned: Callable[..., Any], ask: Callable[..., Any]) -> None:
    with spawned("workers:app", workers=2) as server:
        served = {ask(server.ready.port, GET % b"/").body.split()[0] for _ in range(4)}
        assert len(served) == 2
        assert str(server.ready.pid).encode() not in served
