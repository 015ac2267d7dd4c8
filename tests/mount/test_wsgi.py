"""WSGI as PEP 3333 has it: what applications get, what they may do, and what becomes of what they may not."""

from __future__ import annotations

import io
import logging
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any
from wsgiref.validate import validator

import pytest

from pytest_fastr import Server
from pytest_fastr.errors import AppImportError, ConfigError
from pytest_fastr.mount.target import check_app, interface_of

Ask = Callable[..., Any]
PLAIN = [("Content-Type", "text/plain")]


def wire(method: str, target: str, fields: list[tuple[str, str]] | None = None, body: bytes | None = None) -> bytes:
    length = [] if body is None else [("content-length", str(len(body)))]
    lines = [f"{name}: {value}" for name, value in [("host", "shop.example"), *(fields or []), *length]]
    return "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""]).encode("latin-1") + (body or b"")


@pytest.fixture
def answer(ask: Ask) -> Callable[..., Any]:
    """Serves an application, and sends it these bytes."""

    def call(app: Any, request: bytes, **options: Any) -> Any:
        with Server(app, **options) as server:
            return ask(server.port, request)

    return call


def seen(answer: Callable[..., Any], request: bytes, **options: Any) -> dict[str, Any]:
    """The environ of a request."""
    found: dict[str, Any] = {}

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        found.update(environ)
        start_response("200 OK", PLAIN)
        return [b""]

    assert answer(app, request, **options).status == 200
    return found


def test_the_environ_is_what_the_pep_says(answer: Callable[..., Any]) -> None:
    fields = [
        ("content-type", "text/x"), ("x-twice", "1"), ("x-twice", "2"), ("cookie", "a=1"), ("cookie", "b=2"),
        ("x_underscore", "forged"), ("x-latin", "caf\xe9"),
    ]  # fmt: skip
    request = wire("POST", "/caf%C3%A9/a%2Fb%zz?x=%20&y", fields, b"body")
    environ = seen(answer, request, root_path="/api", threads=3)
    assert environ["REQUEST_METHOD"] == "POST"
    assert environ["SCRIPT_NAME"] == "/api"
    assert environ["PATH_INFO"] == "/caf\xc3\xa9/a/b%zz"
    assert environ["QUERY_STRING"] == "x=%20&y"
    assert environ["REQUEST_URI"] == "/caf%C3%A9/a%2Fb%zz?x=%20&y"
    assert (environ["CONTENT_TYPE"], environ["CONTENT_LENGTH"]) == ("text/x", "4")
    assert environ["HTTP_X_TWICE"] == "1,2"
    assert environ["HTTP_COOKIE"] == "a=1; b=2"
    assert environ["HTTP_X_LATIN"] == "caf\xe9"
    assert environ["HTTP_HOST"] == "shop.example"
    assert "HTTP_X_UNDERSCORE" not in environ
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert environ["SERVER_NAME"] == environ["REMOTE_ADDR"] == "127.0.0.1"
    assert int(environ["SERVER_PORT"]) > 0
    assert environ["wsgi.version"] == (1, 0)
    assert environ["wsgi.url_scheme"] == "http"
    assert (environ["wsgi.multithread"], environ["wsgi.multiprocess"], environ["wsgi.run_once"]) == (True, False, False)
    assert environ["wsgi.errors"] is sys.stderr
    assert type(environ) is dict


def test_a_proxy_in_front_tells_the_client_and_its_scheme(answer: Callable[..., Any]) -> None:
    fields = [("x-forwarded-for", "192.0.2.7"), ("x-forwarded-proto", "https")]
    environ = seen(answer, wire("GET", "/", fields))
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == ("192.0.2.7", "https")


def test_one_thread_says_so(answer: Callable[..., Any]) -> None:
    assert seen(answer, wire("GET", "/"), threads=1)["wsgi.multithread"] is False


READS: dict[str, Callable[[Any], Any]] = {
    "read": lambda file: file.read(),
    "read -1": lambda file: file.read(-1),
    "read in parts": lambda file: [file.read(3), file.read(0), file.read(2), file.read(100_000), file.read(5)],
    "readline": lambda file: [file.readline() for _ in range(5)],
    "readline to a size": lambda file: [file.readline(2) for _ in range(6)],
    "readlines": lambda file: file.readlines(),
    "readlines to a hint": lambda file: [file.readlines(2), file.readlines()],
    "iteration": lambda file: list(file),
    "mixed": lambda file: [file.readline(), file.read(1), next(iter(file), None), file.read()],
}


@pytest.mark.parametrize("body", [b"", b"one\ntwo\n\nthree", b"\n", b"x" * 70_000 + b"\n" + b"y" * 70_000])
@pytest.mark.parametrize("framing", ["length", "chunks"])
@pytest.mark.parametrize("how", READS)
def test_the_input_reads_like_a_file(answer: Callable[..., Any], how: str, framing: str, body: bytes) -> None:
    got: list[Any] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        got.append(READS[how](environ["wsgi.input"]))
        start_response("200 OK", PLAIN)
        return [b"ok"]

    request = wire("POST", "/", None, body)
    if framing == "chunks":
        pieces = [body[at : at + 30_000] for at in range(0, len(body), 30_000)]
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""])
        request = wire("POST", "/", [("transfer-encoding", "chunked")]) + chunks
    assert answer(app, request).body == b"ok"
    assert got == [READS[how](io.BytesIO(body))]


def test_a_client_that_leaves_in_the_middle_of_its_body_is_an_error_of_reading() -> None:
    raised = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        try:
            environ["wsgi.input"].read()
        except ConnectionResetError:
            raised.set()
        start_response("200 OK", PLAIN)
        return [b""]

    with Server(app) as server:
        with socket.create_connection((server.host, server.port), 20) as client:
            client.sendall(wire("POST", "/", [("content-length", "200000")]) + b"x" * 100_000)
        assert raised.wait(20)


class Closing:
    """An iterable that knows whether it was closed."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self.closed = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def close(self) -> None:
        self.closed.set()


def returns(result: Any, headers: list[tuple[str, str]] = PLAIN, status: str = "200 OK") -> Any:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response(status, headers)
        return result

    return app


@pytest.mark.parametrize("result", [[b"one"], [b"one", b"", b"two"], (b"one", b"two"), []], ids=str)
def test_of_a_list_the_length_is_known(answer: Callable[..., Any], result: Any) -> None:
    body = b"".join(result)
    got = answer(returns(result), wire("GET", "/"))
    assert (got.status, got.body, got.header("content-length")) == (200, body, str(len(body)))


@pytest.mark.parametrize("pieces", [[b"one", b"", b"two"], []], ids=str)
def test_of_anything_else_it_need_not_be(answer: Callable[..., Any], pieces: list[bytes]) -> None:
    got = answer(returns(iter(pieces)), wire("GET", "/"))
    assert (got.status, got.body, got.whole) == (200, b"".join(pieces), True)


def test_pieces_are_sent_as_they_come(ask: Ask) -> None:
    first_was_read, go_on = threading.Event(), threading.Event()

    def pieces() -> Iterator[bytes]:
        yield b"first"
        assert go_on.wait(20)
        yield b"second"

    with Server(returns(pieces())) as server, socket.create_connection((server.host, server.port), 20) as client:
        client.sendall(wire("GET", "/", [("connection", "close")]))
        received = b""
        while b"first" not in received:
            received += client.recv(4096)
        first_was_read.set()
        assert b"second" not in received
        go_on.set()
        received += b"".join(iter(lambda: client.recv(4096), b""))
        assert b"second" in received


def test_write_sends_at_once_and_before_what_is_returned(answer: Callable[..., Any]) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [("Content-Length", "11")])
        write(b"written")
        write(b"")
        return [b" and"]

    got = answer(app, wire("GET", "/"))
    assert (got.body, got.header("content-length")) == (b"written and", "11")


def test_close_is_called_whatever_happens(answer: Callable[..., Any]) -> None:
    def fails() -> Iterator[bytes]:
        yield b"some"
        raise RuntimeError("in the middle")

    for pieces in (iter([b"all"]), fails(), iter(["no bytes"])):
        result = Closing(pieces)  # type: ignore[arg-type]
        answer(returns(result), wire("GET", "/"))
        assert result.closed.wait(20)


def test_a_stream_stops_and_is_closed_when_its_client_leaves() -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b"x" * 65_536

    result = Closing(endless())
    with Server(returns(result)) as server:
        with socket.create_connection((server.host, server.port), 20) as client:
            client.sendall(wire("GET", "/"))
            client.recv(4096)
        assert result.closed.wait(20)


def test_the_file_wrapper_sends_a_file_and_closes_it(answer: Callable[..., Any]) -> None:
    file = io.BytesIO(b"0123456789" * 5_000)

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [("Content-Length", "50000")])
        return environ["wsgi.file_wrapper"](file, 1000)

    assert answer(app, wire("GET", "/")).body == b"0123456789" * 5_000
    assert file.closed


@pytest.mark.parametrize(("method", "status", "headers", "length"), [
    ("HEAD", "200 OK", [("Content-Length", "4")], "4"), ("GET", "204 No Content", [], None),
    ("GET", "304 Not Modified", [], None),
])  # fmt: skip
def test_answers_without_a_body_have_none(
    answer: Callable[..., Any], method: str, status: str, headers: list[tuple[str, str]], length: str | None
) -> None:
    got = answer(returns([b"body"], headers, status), wire(method, "/"))
    assert (got.status, got.body, got.header("content-length")) == (int(status[:3]), b"", length)


def test_hop_by_hop_headers_are_the_servers_business(answer: Callable[..., Any]) -> None:
    headers = [("Connection", "close"), ("Transfer-Encoding", "chunked"), ("Keep-Alive", "5"), ("X-Own", "1")]
    got = answer(returns([b"ok"], headers), wire("GET", "/"))
    assert got.header("x-own") == "1"
    assert [name for name, _ in got.headers if name in ("connection", "transfer-encoding", "keep-alive")] == []


def breaks(how: str) -> Any:
    """An application that breaks the rules before anything of its answer was sent."""

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        if how == "raises":
            raise RuntimeError("before")
        if how == "says nothing":
            return [b"body"]
        if how == "twice":
            start_response("200 OK", PLAIN)
            start_response("200 OK", PLAIN)
        if how == "bytes":
            start_response(b"200 OK", PLAIN)
        if how == "code":
            start_response("OK", PLAIN)
        if how == "reason":
            start_response("200 OK\r\nx-forged: 1", PLAIN)
        if how == "informs":
            start_response("101 Switching", PLAIN)
        if how == "headers":
            start_response("200 OK", tuple(PLAIN))
        if how == "pairs":
            start_response("200 OK", [["a", "b"]])
        if how == "control":
            start_response("200 OK", [("a", "b\r\nc: d")])
        if how == "latin":
            start_response("200 OK", [("a", "\u20ac")])
        if how == "text":
            start_response("200 OK", PLAIN)
            return ["text"]
        if how == "None":
            start_response("200 OK", PLAIN)
            return None
        return [b"body"]

    return app


@pytest.mark.parametrize(("how", "said"), [
    ("raises", "RuntimeError: before"), ("says nothing", "before it called start_response"),
    ("twice", "called again, without exc_info"), ("bytes", "the status must be a str"),
    ("code", "three digits, a space and a reason"), ("reason", "invalid reason phrase"), ("informs", "101"),
    ("headers", "must be a list"),
    ("pairs", "must be a (name, value) tuple"), ("control", "header"), ("latin", "it is not latin-1"),
    ("text", "made of bytes"), ("None", "NoneType"),
])  # fmt: skip
def test_what_breaks_the_rules_is_answered_with_500_and_said(
    answer: Callable[..., Any], caplog: pytest.LogCaptureFixture, how: str, said: str
) -> None:
    got = answer(breaks(how), wire("GET", "/path"))
    assert (got.status, got.body) == (500, b"Internal Server Error")
    assert "Exception in WSGI application (GET /path)" in caplog.text
    assert said in caplog.text


def test_an_error_may_replace_an_answer_that_was_not_sent(answer: Callable[..., Any]) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", PLAIN)
        try:
            raise ValueError("late")
        except ValueError:
            start_response("503 Sorry", PLAIN, sys.exc_info())
        return [b"sorry"]

    got = answer(app, wire("GET", "/"))
    assert (got.status, got.reason, got.body) == (503, "Sorry", b"sorry")


@pytest.mark.parametrize(("status", "reason"), [
    ("200 OK", "OK"), ("200 Fine", "Fine"), ("413 Request Entity Too Large", "Request Entity Too Large"),
    ("299 Quite so", "Quite so"), ("299", ""), ("404 ", ""), ("200 caf\xe9", "caf\xe9"),
])  # fmt: skip
def test_the_reason_is_the_applications(answer: Callable[..., Any], status: str, reason: str) -> None:
    got = answer(returns([b"body"], PLAIN, status), wire("GET", "/"))
    assert (got.status, got.reason, got.body) == (int(status[:3]), reason, b"body")


def test_the_reason_of_an_answer_that_failed_is_forgotten(answer: Callable[..., Any]) -> None:
    got = answer(returns([b"body"], [("a", "\x00")], "200 Fine"), wire("GET", "/"))
    assert (got.status, got.reason) == (500, "Internal Server Error")


def test_the_reason_of_an_answer_that_failed_is_not_that_of_the_next(answer: Callable[..., Any]) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        with pytest.raises(ValueError, match="header"):
            start_response("200 Fine", [("a", "\x00")])(b"body")
        start_response("200 OK", PLAIN)
        return [b"other"]

    got = answer(app, wire("GET", "/"))
    assert (got.status, got.reason, got.body) == (200, "OK", b"other")


def test_an_error_after_the_first_byte_breaks_the_answer_off(
    answer: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "100")])
        yield b"some"
        try:
            raise ValueError("too late")
        except ValueError:
            start_response("503 Sorry", PLAIN, sys.exc_info())

    got = answer(app, wire("GET", "/"))
    assert (got.status, got.body, got.whole) == (200, b"some", False)
    assert "ValueError: too late" in caplog.text


def test_a_body_that_ends_early_never_goes_unnoticed(
    answer: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    got = answer(returns(iter([b"body"]), [("Content-Length", "9")]), wire("GET", "/"))
    assert got.status == 500 or not got.whole
    assert "Exception in WSGI application" in caplog.text


@pytest.mark.parametrize("body", [[b"body"], [b"b", b"ody"], iter([b"b", b"o", b"dy"])])
def test_a_body_is_cut_off_at_its_length(
    answer: Callable[..., Any], caplog: pytest.LogCaptureFixture, body: Any
) -> None:
    got = answer(returns(body, [("Content-Length", "2")]), wire("GET", "/"))
    assert (got.status, got.body, got.whole) == (200, b"bo", True)
    assert "the body is longer than its Content-Length" in caplog.text


def test_no_more_is_taken_of_a_body_that_is_complete(answer: Callable[..., Any]) -> None:
    taken: list[bytes] = []

    def pieces() -> Iterator[bytes]:
        for piece in (b"bo", b"dy", b"never"):
            taken.append(piece)
            yield piece

    got = answer(returns(pieces(), [("Content-Length", "3")]), wire("GET", "/"))
    assert (got.body, got.whole, taken) == (b"bod", True, [b"bo", b"dy"])


def test_writing_beyond_the_length_is_an_error(answer: Callable[..., Any]) -> None:
    raised: list[str] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [("Content-Length", "2")])
        for data in (b"body", b"more"):
            try:
                write(data)
            except ValueError as error:
                raised.append(str(error))
        return []

    got = answer(app, wire("GET", "/"))
    assert (got.status, got.body, got.whole) == (200, b"bo", True)
    assert len(raised) == 2


def test_pythons_own_validator_has_no_complaint(answer: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    @validator
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        body = environ["wsgi.input"].read(3)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return iter([body, b"end"])

    for request in (wire("GET", "/"), wire("POST", "/a%20b?q=1", [("x-a", "b")], b"body")):
        assert answer(app, request, interface="wsgi").status == 200
    assert caplog.text == ""


def test_no_more_requests_run_than_there_are_threads(ask: Ask, wait_until: Callable[..., None]) -> None:
    running, most, lock, gate = [0], [0], threading.Lock(), threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        assert gate.wait(20)
        with lock:
            running[0] -= 1
        start_response("200 OK", PLAIN)
        return [b"done"]

    with Server(app, threads=2) as server:
        bodies: list[bytes] = []
        clients = [
            threading.Thread(target=lambda: bodies.append(ask(server.port, wire("GET", "/")).body)) for _ in range(6)
        ]
        for client in clients:
            client.start()
        wait_until(lambda: running[0] == 2, "two at a time")
        gate.set()
        for client in clients:
            client.join(20)
        assert bodies == [b"done"] * 6
    assert most == [2]


def test_a_request_in_flight_is_answered_before_the_server_stops(ask: Ask) -> None:
    arrived, gate, bodies = threading.Event(), threading.Event(), []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        arrived.set()
        assert gate.wait(20)
        start_response("200 OK", PLAIN)
        return [b"late"]

    with Server(app) as server:
        client = threading.Thread(target=lambda: bodies.append(ask(server.port, wire("GET", "/")).body))
        client.start()
        assert arrived.wait(20)
        threading.Timer(0.2, gate.set).start()
    client.join(20)
    assert bodies == [b"late"]


def test_an_application_is_known_by_what_it_takes() -> None:
    class Both:
        def __call__(self, environ: Any, start_response: Any) -> Any: ...

    async def asgi(scope: Any, receive: Any, send: Any) -> None: ...

    def plain_asgi(scope: Any, receive: Any, send: Any) -> Any: ...

    assert interface_of(Both()) == interface_of(lambda environ, start_response: []) == "wsgi"
    assert interface_of(asgi) == interface_of(plain_asgi) == interface_of(lambda *args: None) == "asgi"
    with pytest.raises(AppImportError, match="takes one argument"):
        check_app(lambda scope: None, "app")


def test_the_interface_can_be_said(answer: Callable[..., Any]) -> None:
    assert answer(lambda *args: returns([b"said"])(*args), wire("GET", "/"), interface="wsgi").body == b"said"


def test_an_interface_that_cannot_be_is_refused() -> None:
    async def asgi(scope: Any, receive: Any, send: Any) -> None: ...

    with pytest.raises(ConfigError, match='async function: say "asgi"'), Server(asgi, interface="wsgi"):
        pass
    with pytest.raises(ConfigError, match=r'takes two arguments.* say "wsgi"'), Server(returns([]), interface="asgi"):
        pass


def test_there_are_no_native_lanes_for_it() -> None:
    with pytest.raises(ConfigError, match="this one is a WSGI application"), Server(returns([]), mount="native"):
        pass


def test_a_websocket_is_denied(answer: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    fields = [("upgrade", "websocket"), ("connection", "upgrade"), ("sec-websocket-version", "13"),
              ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")]  # fmt: skip
    assert answer(returns([b"x"]), wire("GET", "/", fields)).status == 403
