"""Servers for the mount's tests, and a client that hides nothing of an answer."""

from __future__ import annotations

import contextlib
import http.client
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pytest_fastr import Server
from pytest_fastr.mount import AppRef, Launch, ServeOptions, ServerProcess, spawn

APPS = Path(__file__).parents[1] / "apps"


@dataclass(frozen=True, slots=True)
class Answer:
    """One response: header names in lower case, in the order sent; ``whole`` is false when it broke off.

    Of ASGI servers each has its own ``reason``, which makes no answer another.
    """

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    whole: bool
    reason: str = field(compare=False)

    def header(self, name: str) -> str | None:
        return next((value for known, value in self.headers if known == name), None)


def ask(port: int, wire: bytes, *, timeout: float = 20.0) -> Answer:
    """Sends these bytes on a connection of their own and reads one response."""
    with socket.create_connection(("127.0.0.1", port), timeout) as connection:
        # A server may answer before it has read all; then the rest is refused.
        with contextlib.suppress(ConnectionError):
            connection.sendall(wire)
        response = http.client.HTTPResponse(connection, method=wire.partition(b" ")[0].decode())
        try:
            response.begin()
            whole = True
            try:
                body = response.read()
            except http.client.IncompleteRead as error:
                body, whole = error.partial, False
            headers = [(name.lower(), value) for name, value in response.getheaders()]
            return Answer(response.status, headers, body, whole, response.reason)
        finally:
            response.close()


def wait_until(holds: Callable[[], Any], what: str, seconds: float = 15.0) -> None:
    """Waits for a condition, and fails with its name."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not come true in {seconds} s"
        time.sleep(0.005)


@contextlib.contextmanager
def uvicorn_server(app: str, root_path: str = "") -> Iterator[int]:
    """The oracle, serving ``app`` from the apps folder. Yields its port."""
    command = [sys.executable, str(APPS / "uvicorn_oracle.py"), app, "--path", str(APPS), "--root-path", root_path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


@contextlib.contextmanager
def spawned(app: str, *, launch: Launch | None = None, **options: Any) -> Iterator[ServerProcess]:
    """Our server in a process of its own, serving ``app`` from the apps folder."""
    launch = launch or Launch(options=ServeOptions(**options), path=(str(APPS),))
    process = spawn(AppRef.parse(app), launch)
    try:
        yield process
    finally:
        process.stop()


@pytest.fixture(scope="session", name="ask")
def ask_fixture() -> Callable[..., Answer]:
    return ask


@pytest.fixture(scope="session", name="wait_until")
def wait_until_fixture() -> Callable[..., None]:
    return wait_until


@pytest.fixture(scope="session", name="spawned")
def spawned_fixture() -> Callable[..., contextlib.AbstractContextManager[ServerProcess]]:
    return spawned


def _serving_both() -> Iterator[Callable[..., tuple[int, int]]]:
    """Serves each app once with uvicorn and with ours. Yields what returns both ports."""
    running: dict[tuple[str, str], tuple[int, int]] = {}
    with contextlib.ExitStack() as stack:

        def serve(app: str, root_path: str = "") -> tuple[int, int]:
            key = (app, root_path)
            if key not in running:
                oracle = stack.enter_context(uvicorn_server(app, root_path))
                ours = stack.enter_context(spawned(app, root_path=root_path))
                assert ours.ready is not None
                running[key] = (oracle, ours.ready.port)
            return running[key]

        yield serve


@pytest.fixture(scope="session")
def both_servers() -> Iterator[Callable[..., tuple[int, int]]]:
    """Serves an app with uvicorn and with ours, once a session. Returns both ports."""
    yield from _serving_both()


@pytest.fixture(scope="module")
def both_servers_here() -> Iterator[Callable[..., tuple[int, int]]]:
    """The same until the end of the module: tests of other modules count the processes there are."""
    yield from _serving_both()


@pytest.fixture
def serve() -> Iterator[Callable[[Any], int]]:
    """Serves an application from a thread of this process until the test ends. Returns its port."""
    with contextlib.ExitStack() as stack:
        yield lambda app: stack.enter_context(Server(app, lifespan=False)).port
