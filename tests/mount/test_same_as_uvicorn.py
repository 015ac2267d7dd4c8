"""An unmodified FastAPI application answers as under uvicorn.

Differences that are deliberate, and taken out before the comparison:

* ``date`` and ``server``: the clock, and uvicorn's name.
* HTTP/1.0: uvicorn sends it chunks, which it cannot read, closes although keep-alive was asked for, and says
  ``connection: close``, which is implied.
* Blanks after a header's value: uvicorn keeps them, RFC 9112 (5.1) has them removed.
* An unescaped backtick in a path: 400, it is no part of a URL (RFC 3986).
* ``transfer-encoding: chunked`` where the whole body was known before the first byte went out: the engine then says
  ``content-length``, which is cheaper for both sides and means the same.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

Ports = tuple[int, int]

GET = [
    "/async", "/sync", "/items/7", "/items/7?q=a&q=b&limit=5", "/items/seven", "/items/7?limit=1000",
    "/items/7?q=%C3%A9&q=%00&q=+%2B", "/missing", "/sold", "/bug", "/sync-bug", "/stream", "/sync-stream", "/state",
    "/private", "/cookies", "/big", "/download?size=0", "/download?size=5000000", "/old", "/empty", "/not-modified",
    "/any", "/header-values", "/nowhere", "/async/", "/inner/where", "/inner", "/inner/nowhere", "/public/note.txt",
    "/public/", "/public/../everyday.py", "/public/%2e%2e/everyday.py", "/url/plain", "/url/a%20b/c%2Fd?x=%26&y=%zz",
    "/url/%E2%82%AC/%F0%9F%98%80", "/url/%ff%fe", "/url/a;b=c", "/url//double//slash/", "/url/a%3Fb?c?d",
    "/url/~!$&'()*+,:=@", "/url/[brackets]{braces}|pipe^", "/url/x?", "/url/x?a=1&a=2&b", "/openapi.json", "/docs",
    "//async", "/%61sync",
]  # fmt: skip

TOKEN = {"x-token": "open sesame"}

OTHER: list[tuple[str, str, dict[str, str], bytes]] = [
    ("GET", "/private", TOKEN, b""),
    ("GET", "/private", {**TOKEN, "cookie": "session=s1; other=2"}, b""),
    ("GET", "/private", {"X-Token": "wrong"}, b""),
    ("GET", "/big", {"accept-encoding": "gzip"}, b""),
    ("GET", "/stream", {"accept-encoding": "gzip"}, b""),
    ("GET", "/async", {"origin": "https://shop.example"}, b""),
    ("GET", "/async", {"origin": "https://elsewhere.example"}, b""),
    ("GET", "/headers", {"x-empty": "", "x-latin": "caf\xe9", "X-UPPER": "v"}, b""),
    ("GET", "/public/note.txt", {"range": "bytes=2-7"}, b""),
    ("GET", "/public/note.txt", {"if-none-match": "*"}, b""),
    ("GET", "/file", {}, b""),
    ("HEAD", "/any", {}, b""),
    ("HEAD", "/head-only", {}, b""),
    ("HEAD", "/async", {}, b""),
    ("HEAD", "/public/note.txt", {}, b""),
    ("HEAD", "/nowhere", {}, b""),
    ("OPTIONS", "/any", {}, b""),
    ("OPTIONS", "/async", {}, b""),
    ("OPTIONS", "/async", {"origin": "https://shop.example", "access-control-request-method": "PUT"}, b""),
    ("OPTIONS", "/async", {"origin": "https://elsewhere.example", "access-control-request-method": "PUT"}, b""),
    ("PUT", "/any", {}, b"body"),
    ("PATCH", "/any", {}, b""),
    ("DELETE", "/any", {}, b""),
    ("DELETE", "/async", {}, b""),
    ("POST", "/items", {"content-type": "application/json"}, b'{"name": "tea", "price": 2.5}'),
    ("POST", "/items", {"content-type": "application/json"}, b'{"name": "t", "price": 0}'),
    ("POST", "/items", {"content-type": "application/json"}, b"{broken"),
    ("POST", "/items", {"content-type": "application/json"}, b""),
    ("POST", "/items", {"content-type": "text/plain"}, b"tea"),
    ("POST", "/items/", {}, b"{}"),
    ("POST", "/digest", {"content-type": "application/x-www-form-urlencoded"}, b"a=1&b=%C3%A9&a=2"),
    ("POST", "/digest", {"content-type": "multipart/form-data; boundary=b"}, b"--b\r\n\r\nfile\r\n--b--\r\n" * 99),
    ("POST", "/digest", {}, bytes(range(256)) * 20_000),
    ("POST", "/stream-digest", {}, bytes(range(256)) * 20_000),
    ("POST", "/stream-digest", {}, b""),
    ("POST", "/ignores-the-body", {}, b"unread"),
    ("POST", "/echo", {}, b"echo " * 300_000),
    ("POST", "/background?name=x", {}, b""),
]


def wire(method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b"") -> bytes:
    """A request with its content-length."""
    fields = {"host": "shop.example", **(headers or {})}
    if body or method in ("POST", "PUT", "PATCH"):
        fields["content-length"] = str(len(body))
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def chunked(target: str, pieces: list[bytes]) -> bytes:
    """A request whose body comes in chunks."""
    head = f"POST {target} HTTP/1.1\r\nhost: shop.example\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""])


def comparable(answer: Any) -> tuple[int, list[tuple[str, str]], bytes, bool]:
    """What has to be equal. A message's framing is replaced by what it means."""
    ignored = {"date", "server", "transfer-encoding"}
    headers = sorted((name, value) for name, value in answer.headers if name not in ignored)
    if answer.body and answer.whole and answer.header("transfer-encoding") == "chunked":
        headers = sorted([*headers, ("content-length", str(len(answer.body)))])
    return answer.status, headers, answer.body, answer.whole


@pytest.fixture(scope="module")
def ports(both_servers: Callable[..., Ports]) -> Ports:
    return both_servers("everyday:app")


@pytest.fixture
def same(ports: Ports, ask: Callable[..., Any]) -> Callable[[bytes], Any]:
    def compare(request: bytes) -> Any:
        oracle, ours = (ask(port, request) for port in ports)
        assert comparable(ours) == comparable(oracle)
        return ours

    return compare


@pytest.mark.parametrize("target", GET)
def test_a_get_is_answered_as_under_uvicorn(same: Callable[[bytes], Any], target: str) -> None:
    same(wire("GET", target))


@pytest.mark.parametrize(("method", "target", "headers", "body"), OTHER, ids=lambda part: str(part)[:30])
def test_a_request_is_answered_as_under_uvicorn(
    same: Callable[[bytes], Any], method: str, target: str, headers: dict[str, str], body: bytes
) -> None:
    same(wire(method, target, headers, body))


@pytest.mark.parametrize("target", ["/digest", "/stream-digest", "/echo"])
def test_a_chunked_upload_is_answered_as_under_uvicorn(same: Callable[[bytes], Any], target: str) -> None:
    same(chunked(target, [b"a", b"bc" * 40_000, b"\r\n0\r\n\r\n", b"d" * 700_000]))


@pytest.mark.parametrize("head", [
    b"GET /async HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n",
    b"GET http://elsewhere.example/url/absolute?x=1 HTTP/1.1\r\nhost: h\r\n\r\n",
    b"POST /digest HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\nabc",
    b"GET /headers HTTP/1.1\r\nhost: h\r\nx-padded:   v\r\n\r\n",
])  # fmt: skip
def test_an_unusual_head_is_answered_as_under_uvicorn(same: Callable[[bytes], Any], head: bytes) -> None:
    same(head)


@pytest.mark.parametrize(("head", "wanted"), [
    (b"GET /async HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", ("connection", "keep-alive")),
    (b"GET /stream HTTP/1.0\r\n\r\n", ("transfer-encoding", None)),
    (b"GET /async HTTP/1.0\r\n\r\n", ("connection", None)),
    (b"GET /url/` HTTP/1.1\r\nhost: h\r\n\r\n", ("connection", "close")),
])  # fmt: skip
def test_where_uvicorn_departs_from_http_this_engine_does_not(
    ports: Ports, ask: Callable[..., Any], head: bytes, wanted: tuple[str, str | None]
) -> None:
    oracle, ours = (ask(port, head) for port in ports)
    assert ours.header(wanted[0]) == wanted[1]
    assert oracle.header(wanted[0]) != wanted[1]


def test_background_tasks_run_after_the_response(
    ports: Ports, ask: Callable[..., Any], wait_until: Callable[..., None]
) -> None:
    for port in ports:
        assert ask(port, wire("POST", "/background?name=later")).status == 200
        wait_until(lambda port=port: b"sync later" in ask(port, wire("GET", "/seen")).body, "the background task")
        assert b"async later" in ask(port, wire("GET", "/seen")).body


def test_a_stream_ends_when_its_client_leaves(
    ports: Ports, ask: Callable[..., Any], wait_until: Callable[..., None]
) -> None:
    for port in ports:
        with socket.create_connection(("127.0.0.1", port), 10) as connection:
            connection.sendall(wire("GET", "/endless"))
            received = b""
            while b"more" not in received:
                received += connection.recv(4096)
        wait_until(lambda port=port: b"stream left" in ask(port, wire("GET", "/seen")).body, "the end of the stream")


def test_a_handler_that_asks_sees_that_its_client_has_left(
    both_servers: Callable[..., Ports], ask: Callable[..., Any], wait_until: Callable[..., None]
) -> None:
    for port in both_servers("everyday:bare"):
        with socket.create_connection(("127.0.0.1", port), 10) as connection:
            connection.sendall(wire("GET", "/waiting"))
            wait_until(lambda port=port: b"arrived" in ask(port, wire("GET", "/seen")).body, "the request")
        wait_until(lambda port=port: b"request left" in ask(port, wire("GET", "/seen")).body, "the disconnect")


@pytest.mark.parametrize("target", ["/url/x?y=1", "/api/url/x", "/inner/where", "/public/note.txt", "/async/"])
def test_behind_a_prefix_that_a_proxy_strips_the_answers_are_the_same(
    both_servers: Callable[..., Ports], ask: Callable[..., Any], target: str
) -> None:
    oracle, ours = (ask(port, wire("GET", target)) for port in both_servers("everyday:app", "/api"))
    assert comparable(ours) == comparable(oracle)
