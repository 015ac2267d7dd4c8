"""``FastrAPI(layers=...)``: Starlette's middleware, in the order that works."""

from __future__ import annotations

import asyncio
import gzip
import http.client
from typing import Any

import httpx
import pytest
from fastapi import Request
from starlette.middleware.base import BaseHTTPMiddleware

from pytest_fastr import Server
from pytest_fastr.web import FastrAPI

# Named in another order than they are in.
LAYERS: dict[str, dict[str, Any]] = {
    "trusted_hosts": {"allowed_hosts": ["testserver", "127.0.0.1"]},
    "gzip": {"minimum_size": 100},
    "cors": {"allow_origins": ["http://a.example"]},
    "sessions": {"secret_key": "secret"},
}


def make(layers: dict[str, dict[str, Any]] = LAYERS) -> FastrAPI:
    app = FastrAPI(layers=layers)

    @app.get("/large")
    async def large() -> dict[str, str]:
        return {"a": "b" * 1000}

    @app.get("/visits")
    async def visits(request: Request) -> int:
        request.session["visits"] = request.session.get("visits", 0) + 1
        return int(request.session["visits"])

    return app


def test_from_the_handler_outwards_sessions_gzip_own_cors_hosts() -> None:
    app = make()
    app.add_middleware(BaseHTTPMiddleware, dispatch=lambda request, call_next: call_next(request))
    app.build_middleware_stack()
    layer: Any = app.build_middleware_stack()
    names = []
    while layer is not app.router:
        names.append(type(layer).__name__)
        layer = layer.app
    inside = names[names.index("TrustedHostMiddleware") : names.index("SessionMiddleware") + 1]
    assert inside == [
        "TrustedHostMiddleware", "CORSMiddleware", "BaseHTTPMiddleware", "GZipMiddleware", "SessionMiddleware",
    ]  # fmt: skip
    assert len(app.user_middleware) == 1


def test_under_another_server_they_do_the_same() -> None:
    async def visit() -> None:
        transport = httpx.ASGITransport(make())
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            assert [(await client.get("/visits")).json() for _ in range(3)] == [1, 2, 3]
            answer = await client.get("/large", headers={"origin": "http://a.example"})
            assert answer.headers["content-encoding"] == "gzip"
            assert answer.headers["access-control-allow-origin"] == "http://a.example"
            assert (await client.get("/large", headers={"host": "evil.example"})).status_code == 400

    asyncio.run(visit())


def test_routes_keep_their_lanes_behind_them() -> None:
    app = make()
    assert {one.path: one.lane for one in app.lanes()}["/large"] == "fast"
    with Server(app) as server:
        connection = http.client.HTTPConnection(server.host, server.port, timeout=20)
        connection.request("GET", "/large", headers={"accept-encoding": "gzip", "origin": "http://a.example"})
        answer = connection.getresponse()
        assert gzip.decompress(answer.read()) == b'{"a":"' + b"b" * 1000 + b'"}'
        assert answer.getheader("access-control-allow-origin") == "http://a.example"
        assert server.native_counts()["compiled"] == 1
        connection.close()


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ({"gzipped": {}}, "there is no 'gzipped'; there are sessions, gzip, cors, trusted_hosts"),
        ({"sessions": {}}, "'sessions', which is a SessionMiddleware: missing a required argument: 'secret_key'"),
        ({"cors": {"origins": ["*"]}}, "'cors', which is a CORSMiddleware: got an unexpected keyword argument"),
        ({"gzip": True}, "'gzip', which is a GZipMiddleware: "),
    ],
)
def test_what_there_is_not_is_refused_by_name(layers: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=f"layers: {message}"):
        make(layers)
