"""How long requests took, by route, as Prometheus reads it."""

from __future__ import annotations

import http.client
import re

import pytest
from fastapi import APIRouter
from fastapi.staticfiles import StaticFiles

from pytest_fastr import Server
from pytest_fastr.web import FastrAPI

COUNT = re.compile(r'^http_request_duration_seconds_count\{method="(.*)",route="(.*)",status="(.*)"\} (\d+)$', re.M)


def counts(text: str) -> dict[tuple[str, str, str], int]:
    return {(found[1], found[2], found[3]): int(found[4]) for found in COUNT.finditer(text)}


def make(metrics: bool | str) -> FastrAPI:
    app = FastrAPI(metrics=metrics)
    router = APIRouter(prefix="/inside")
    router.get("/{name}")(lambda name: name)
    app.include_router(router)
    app.mount("/static", StaticFiles(directory="."))

    @app.get("/users/{user_id}")
    async def user(user_id: int) -> int:
        return user_id

    @app.get("/raises")
    async def raises() -> None:
        raise RuntimeError

    return app


def ask(server: Server, method: str, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=20)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_every_request_counts_for_the_route_that_takes_it() -> None:
    app = make(True)
    with Server(app) as server:
        for method, path in [
            ("GET", "/users/1"), ("GET", "/users/2"), ("GET", "/users/x"), ("POST", "/users/1"), ("GET", "/inside/a"),
            ("GET", "/raises"), ("GET", "/static/missing"), ("GET", "/nowhere"), ("GET", "/docs"),
        ]:  # fmt: skip
            ask(server, method, path)
        assert counts(app.metrics.text()) == {
            ("GET", "/users/{user_id}", "200"): 2,
            ("GET", "/users/{user_id}", "422"): 1,
            ("POST", "", "405"): 1,
            ("GET", "/inside/{name}", "200"): 1,
            ("GET", "/raises", "500"): 1,
            ("GET", "/static/...", "404"): 1,
            ("GET", "", "404"): 1,
            ("GET", "/docs", "200"): 1,
        }


def test_counts_outlive_a_change_of_routes() -> None:
    app = make(True)
    with Server(app) as server:
        ask(server, "GET", "/users/1")
        app.get("/later")(lambda: 1)
        ask(server, "GET", "/later")
        ask(server, "GET", "/users/1")
        assert counts(app.metrics.text()) == {
            ("GET", "/users/{user_id}", "200"): 2,
            ("GET", "/later", "200"): 1,
        }


def test_a_path_serves_them() -> None:
    app = make("/metrics")
    with Server(app) as server:
        ask(server, "GET", "/users/1")
        status, body = ask(server, "GET", "/metrics")
        assert status == 200
        assert counts(body.decode()) == {("GET", "/users/{user_id}", "200"): 1}
    assert "/metrics" not in app.openapi()["paths"]


def test_without_it_nothing_is_counted() -> None:
    with pytest.raises(RuntimeError, match="make the application with metrics=True"):
        print(make(False).metrics)
