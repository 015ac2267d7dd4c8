"""Frameworks as people use them answer as under their usual servers: uvicorn for ASGI, gunicorn for WSGI."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

APPS = Path(__file__).parents[1] / "apps"

BOUNDARY = "multipart/form-data; boundary=b"
UPLOAD = (
    b'--b\r\ncontent-disposition: form-data; name="a"\r\n\r\n\xc3\xa9\r\n'
    b'--b\r\ncontent-disposition: form-data; name="f"; filename="x.txt"\r\ncontent-type: text/plain\r\n\r\n'
    + b"line\r\n" * 30_000
    + b"\r\n--b--\r\n"
)
REQUESTS: list[tuple[str, str, dict[str, str], bytes]] = [
    ("GET", "/", {}, b""),
    ("HEAD", "/", {}, b""),
    ("OPTIONS", "/", {}, b""),
    ("DELETE", "/", {}, b""),
    ("GET", "/items/7?q=%C3%A9&q=%2B+x", {}, b""),
    ("GET", "/items/seven", {}, b""),
    ("GET", "/items/%37", {}, b""),
    ("GET", "/nowhere/%E2%82%AC?x", {}, b""),
    ("POST", "/echo", {"content-type": "text/plain"}, b"body"),
    ("POST", "/echo", {}, bytes(range(256)) * 3_000),
    ("POST", "/echo", {"content-type": "text/plain"}, b""),
    ("POST", "/json", {"content-type": "application/json"}, b'{"a": [1, "\xc3\xa9"]}'),
    ("POST", "/json", {"content-type": "application/json"}, b"{"),
    ("POST", "/form", {"content-type": "application/x-www-form-urlencoded"}, b"a=1&a=%C3%A9&b=+"),
    ("POST", "/form", {"content-type": BOUNDARY}, UPLOAD),
    ("GET", "/stream", {}, b""),
    ("GET", "/headers", {"x-a": "1", "accept": "*/*", "cookie": "a=1; b=2", "x-latin": "caf\xe9"}, b""),
    ("GET", "/cookies", {"cookie": "a=1"}, b""),
    ("GET", "/old", {}, b""),
    ("GET", "/empty", {}, b""),
    ("GET", "/denied", {}, b""),
    ("GET", "/bug", {}, b""),
]  # fmt: skip


def wire(method: str, target: str, headers: dict[str, str], body: bytes) -> bytes:
    fields = {"host": "shop.example", **headers}
    if body or method == "POST":
        fields["content-length"] = str(len(body))
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def comparable(answer: Any, ignored: frozenset[str]) -> tuple[int, list[tuple[str, str]], bytes, bool]:
    """What has to be equal: all but clocks, the servers' names and what framing alone says."""
    headers = sorted((name, _unordered(name, value)) for name, value in answer.headers if name not in ignored)
    return answer.status, headers, answer.body, answer.whole


def _unordered(name: str, value: str) -> str:
    """Frameworks keep the methods of a route in a set, whose order is each process' own."""
    return ", ".join(sorted(value.split(", "))) if name == "allow" else value


# A length where the other server sends chunks, and the other way round, means the same.
FRAMING = frozenset({"date", "server", "connection", "transfer-encoding", "content-length"})


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda one: f"{one[0]} {one[1]} {len(one[3])}")
@pytest.mark.parametrize("app", [
    "frameworks.in_starlette:app", "frameworks.in_litestar:app", "frameworks.in_django:asgi", "frameworks.in_quart:app",
])  # fmt: skip
def test_asgi_frameworks_answer_as_under_uvicorn(
    both_servers_here: Callable[..., tuple[int, int]], ask: Callable[..., Any], app: str, request_: Any
) -> None:
    oracle, ours = (ask(port, wire(*request_)) for port in both_servers_here(app))
    assert comparable(ours, FRAMING) == comparable(oracle, FRAMING)


@pytest.fixture(scope="module")
def with_gunicorn(
    spawned: Callable[..., Any], ask: Callable[..., Any], wait_until: Callable[..., None]
) -> Iterator[Callable[[str], tuple[int, int]]]:
    """Serves an app with gunicorn and with ours, once a module. Returns both ports."""
    running: dict[str, tuple[int, int]] = {}
    with contextlib.ExitStack() as stack:

        def serve(app: str) -> tuple[int, int]:
            if app not in running:
                oracle = stack.enter_context(gunicorn_server(app, ask, wait_until))
                running[app] = (oracle, stack.enter_context(spawned(app)).ready.port)
            return running[app]

        yield serve


@contextlib.contextmanager
def gunicorn_server(app: str, ask: Callable[..., Any], wait_until: Callable[..., None]) -> Iterator[int]:
    """The oracle for WSGI, serving ``app`` from the apps folder. Yields its port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        port = listener.getsockname()[1]
        command = [
            sys.executable, "-m", "gunicorn", app, "--pythonpath", str(APPS), "-b", f"fd://{listener.fileno()}",
            "-k", "gthread", "--threads", "2", "--log-level", "critical",
        ]  # fmt: skip
        process = subprocess.Popen(command, pass_fds=[listener.fileno()], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: process.poll() is None and ask(port, wire("GET", "/", {}, b"")).status == 200, "gunicorn")
        yield port
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda one: f"{one[0]} {one[1]} {len(one[3])}")
@pytest.mark.parametrize("app", ["frameworks.in_flask:app", "frameworks.in_django:wsgi"])
def test_wsgi_frameworks_answer_as_under_gunicorn(
    with_gunicorn: Callable[[str], tuple[int, int]], ask: Callable[..., Any], app: str, request_: Any
) -> None:
    oracle, ours = (ask(port, wire(*request_)) for port in with_gunicorn(app))
    assert comparable(ours, FRAMING) == comparable(oracle, FRAMING)
    assert ours.reason == oracle.reason
