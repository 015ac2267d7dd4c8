"""Starlette's own middleware in front of native routes: the answers are those of the whole application."""

from __future__ import annotations

import gzip
import http.client
import re
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import JSONResponse
from itsdangerous import TimestampSigner
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.sessions import SessionMiddleware

from pytest_fastr import Server
from pytest_fastr.mount.lanes import route_reports
from pytest_fastr.web.layers import LearnedLayers

Change = Callable[[FastAPI], None]

CASES: dict[str, Change] = {
    "cors": lambda app: app.add_middleware(CORSMiddleware, allow_origins=["http://a.example"]),
    "cors for all": lambda app: app.add_middleware(CORSMiddleware, allow_origins=["*"], expose_headers=["x-a"]),
    "cors with credentials": lambda app: app.add_middleware(
        CORSMiddleware, allow_origins=["*"], allow_credentials=True
    ),
    "cors by pattern": lambda app: app.add_middleware(CORSMiddleware, allow_origin_regex=r"http://\w+\.example"),
    "gzip": lambda app: app.add_middleware(GZipMiddleware, minimum_size=100),
    "gzip for all": lambda app: app.add_middleware(GZipMiddleware, minimum_size=0),
    "hosts": lambda app: app.add_middleware(TrustedHostMiddleware, allowed_hosts=["a.example", "*.b.example"]),
    "sessions": lambda app: app.add_middleware(SessionMiddleware, secret_key="secret"),
}


def all_of_them(app: FastAPI) -> None:
    for case in ("sessions", "gzip", "cors", "hosts"):
        CASES[case](app)


CASES["all"] = all_of_them

SESSION = TimestampSigner("secret").sign(b64encode(b'{"seen": 7}')).decode()
REQUESTS: list[tuple[str, str, dict[str, str]]] = [
    (method, path, headers)
    for method, path in (
        ("GET", "/small"), ("GET", "/large"), ("GET", "/html"), ("GET", "/object"), ("GET", "/raises"),
        ("GET", "/counts"), ("HEAD", "/small"), ("OPTIONS", "/small"), ("GET", "/missing"),
    )
    for headers in (
        {"host": "a.example"},
        {"host": "x.b.example:80", "origin": "http://a.example"},
        {"host": "a.example", "origin": "http://c.example", "accept-encoding": "br, gzip"},
        {"host": "a.example", "origin": "http://other.test", "cookie": "session=nonsense; x=1"},
        {"host": "evil.example", "origin": "http://a.example", "access-control-request-method": "GET"},
        {"host": "a.example", "accept-encoding": "gzip", "cookie": "a=b"},
        {"host": "a.example", "accept-encoding": "gzip", "cookie": f"a=b; session={SESSION}"},
    )
]  # fmt: skip


def make(change: Change) -> FastAPI:
    app = FastAPI()
    app.get("/small")(lambda: {"a": 1})
    app.get("/large")(lambda: {"a": "b" * 1000})
    app.get("/object")(lambda: JSONResponse({"a": 1}, 201, {"vary": "x", "x-own": "1"}))

    @app.get("/html")
    async def html() -> str:
        return "text"

    @app.get("/raises")
    def raises() -> None:
        raise RuntimeError

    @app.get("/counts")
    async def counts(request: Request) -> Any:
        if "session" not in request.scope:
            return "no session"
        request.session["seen"] = request.session.get("seen", 0) + 1
        return request.session["seen"]

    change(app)
    return app


def untimed(value: str) -> str:
    """A header's value without the second in which a session was signed, and the signature over it."""
    return re.sub(r"^(session=[^.]+\.)[^;]+", r"\1...", value)


def ask(server: Server, method: str, path: str, headers: dict[str, str]) -> tuple[int, list[tuple[str, str]], bytes]:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=20)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        fields = [(name.lower(), untimed(value)) for name, value in answer.getheaders() if name.lower() != "date"]
        return answer.status, sorted(fields), answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("case", CASES)
def test_answers_are_those_of_the_whole_application(case: str) -> None:
    with Server(make(CASES[case]), mount="native") as native, Server(make(CASES[case]), mount="asgi") as whole:
        for _ in range(2):  # what was learned the first time is used the second
            for method, path, headers in REQUESTS:
                assert ask(native, method, path, headers) == ask(whole, method, path, headers), (method, path, headers)
        assert native.native_counts()["compiled"] > 20


def test_routes_behind_known_middleware_keep_their_lanes() -> None:
    lanes = {one.path: one.lane for one in route_reports(make(all_of_them), "app")}
    assert lanes["/small"] == "fast"
    assert lanes["/counts"] == "asgi"


def test_one_that_is_not_known_keeps_every_route() -> None:
    def both(app: FastAPI) -> None:
        CASES["cors"](app)
        app.add_middleware(BaseHTTPMiddleware, dispatch=lambda request, call_next: call_next(request))

    reports = {one.path: one for one in route_reports(make(both), "app")}
    assert reports["/small"].lane == "asgi"
    assert reports["/small"].reasons == ("the app has the middleware BaseHTTPMiddleware",)


def test_a_session_is_carried_from_answer_to_request() -> None:
    with Server(make(CASES["sessions"]), mount="native") as server:
        connection = http.client.HTTPConnection(server.host, server.port, timeout=20)
        connection.request("GET", "/counts")
        answer = connection.getresponse()
        cookie = str(answer.getheader("set-cookie")).partition(";")[0]
        assert answer.read() == b"1"
        connection.close()
        assert ask(server, "GET", "/counts", {"host": "h", "cookie": cookie})[2] == b"2"


def test_sessions_and_compression_are_no_reason_to_leave_the_lane() -> None:
    headers = {"host": "a.example", "accept-encoding": "gzip", "cookie": f"session={SESSION}"}
    with Server(make(all_of_them), mount="native") as server:
        for path in ("/small", "/large", "/html", "/object"):
            ask(server, "GET", path, headers)
        _, fields, body = ask(server, "GET", "/large", headers)
        assert dict(fields)["content-encoding"] == "gzip"
        assert gzip.decompress(body) == b'{"a":"' + b"b" * 1000 + b'"}'
        counts = server.native_counts()
    assert (counts["compiled"], counts["passed"], counts["replayed"]) == (5, 0, 0)


def test_origins_beyond_what_is_remembered_are_answered_too() -> None:
    with Server(make(CASES["cors for all"]), mount="native") as server:
        for number in range(600):
            status, fields, _ = ask(server, "GET", "/small", {"host": "h", "origin": f"http://{number}.example"})
            assert (status, dict(fields)["access-control-allow-origin"]) == (200, "*")


def test_a_layer_that_waits_or_refuses_lets_nothing_through() -> None:
    hosts = TrustedHostMiddleware(app=None, allowed_hosts=["a.example"])  # type: ignore[arg-type]
    layers = LearnedLayers([hosts])
    given = [(b"content-type", b"text/plain")]
    assert layers.learn(b"b.example", None, False, False, 200, given, False) is None
    learned = layers.learn(b"a.example", None, False, False, 200, given, False)
    assert learned is not None
    assert (b"content-type", b"text/plain") in learned
