"""Which route takes a request, told from a table of lanes, is what FastAPI itself does; and any app starts."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.responses import JSONResponse
from starlette.routing import Host, Mount, Route

from pytest_fastr.mount import AppRef, Launch, ServeOptions, Server, spawn
from pytest_fastr.mount.lane_table import LaneTable, RouteLane
from pytest_fastr.mount.lanes import lane_table


class Even(Convertor[int]):
    regex = "[02468]+"

    def convert(self, value: str) -> int:
        return int(value)

    def to_string(self, value: int) -> str:
        return str(value)


register_url_convertor("even", Even())


def tells(path: str) -> Any:
    async def endpoint() -> str:
        return path

    return endpoint


async def plain(request: Any) -> JSONResponse:
    return JSONResponse("/plain/{name}")


async def mounted(request: Any) -> JSONResponse:
    return JSONResponse("/below/...")


def everything() -> FastAPI:
    """Routes that overlap, of every kind that has a pattern."""
    app = FastAPI(openapi_url=None)
    inside = APIRouter(prefix="/in")
    inside.add_api_route("/{number:int}", tells("/in/{number:int}"))
    inside.add_api_route("/{text}", tells("/in/{text}"))
    app.add_api_route("/items/me", tells("/items/me"))
    app.add_api_route("/items/{item_id}", tells("/items/{item_id}"))
    app.add_api_route("/items/{item_id}", tells("never"), methods=["GET"])
    app.add_api_route("/items/{other}", tells("/items/{other}"), methods=["POST"])
    app.add_api_route("/items/late", tells("never"))
    app.include_router(inside)
    app.add_api_route("/even/{number:even}", tells("/even/{number:even}"))
    app.add_api_route("/even/{text}", tells("/even/{text}"))
    app.add_api_route("/a-b/{x}.json", tells("/a-b/{x}.json"))
    app.add_api_route("/files/{rest:path}", tells("/files/{rest:path}"))
    app.router.routes.append(Route("/plain/{name}", plain))
    app.router.routes.append(Mount("/below", Starlette(routes=[Route("/{rest:path}", mounted)])))
    app.add_api_route("/below/never", tells("never"))
    return app


ASKED = [
    ("GET", "/items/me"), ("GET", "/items/me?x=1"), ("GET", "/items/3"), ("POST", "/items/3"), ("PUT", "/items/3"),
    ("GET", "/items/late"), ("GET", "/items/a%20b"), ("GET", "/items/a%2Fb"), ("GET", "/items"), ("GET", "/items/3/x"),
    ("GET", "/in/3"), ("GET", "/in/x"), ("GET", "/in/"), ("GET", "/even/24"), ("GET", "/even/23"),
    ("GET", "/a-b/x.json"), ("GET", "/a-b/x.xml"), ("GET", "/files/a/b"), ("GET", "/files/"), ("GET", "/plain/x"),
    ("POST", "/plain/x"), ("GET", "/below/never"), ("GET", "/below/x"), ("GET", "/nothing"), ("GET", "/i"),
]  # fmt: skip


def taken(port: int, method: str, path: str) -> str | None:
    """The route that has answered; None where none did."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return str(json.loads(body)) if answer.status == 200 else None


def test_the_table_finds_the_route_that_answers() -> None:
    app = everything()
    table = lane_table(app)
    assert isinstance(table, LaneTable)
    with Server(app, mount="asgi") as server:
        answered = {one: taken(server.port, *one) for one in ASKED}
    found = {one: table.route_of(*one) for one in ASKED}
    assert {one: None if route is None else route.path for one, route in found.items()} == answered
    # Every route that can answer was asked for, and some requests are nobody's.
    assert {route.path for route in table.routes} - {"/below/never", "/items/late"} == {
        path for path in answered.values() if path is not None
    }
    assert None in answered.values()


def test_a_root_path_of_the_application_is_taken_off() -> None:
    app = FastAPI(openapi_url=None)
    app.root_path = "/api"
    app.add_api_route("/items", tells("/items"))
    app.add_api_route("/api2", tells("/api2"))
    table = lane_table(app)
    assert isinstance(table, LaneTable)
    with Server(app, mount="asgi") as server:
        for path in ("/api/items", "/items", "/api2", "/api/api2", "/api", "/api/api/items"):
            route = table.route_of("GET", path)
            assert (None if route is None else route.path) == taken(server.port, "GET", path)


def test_what_may_take_any_request_keeps_it_from_those_behind_it() -> None:
    app = FastAPI(openapi_url=None)
    app.add_api_route("/before", tells("/before"))
    app.router.routes.append(Host("shop.example", Starlette()))
    app.add_api_route("/behind", tells("/behind"))
    table = lane_table(app)
    assert isinstance(table, LaneTable)
    before, behind = table.route_of("GET", "/before"), table.route_of("GET", "/behind")
    assert before is not None
    assert behind is not None
    assert (before.path, before.lane) == ("/before", "fast")
    assert (behind.path, behind.lane, behind.reasons) == ("*", "asgi", ("is a Host",))


def test_a_table_survives_the_way_over_the_pipe() -> None:
    table = lane_table(everything())
    assert isinstance(table, LaneTable)
    assert LaneTable.parse(json.loads(json.dumps(asdict(table)))) == table


@pytest.mark.parametrize("pattern", ["^/ab?c$", "^/ab*c$", "^/ab{0,1}c$", "^/x|/ac$", "/ac", "^/ac"])
def test_an_expression_of_any_form_is_searched_in_full(pattern: str) -> None:
    assert RouteLane(("GET",), "/", "asgi", (), pattern).takes("GET", "/ac") is True
    assert RouteLane(("GET",), "/", "asgi", (), pattern).takes("GET", "/zz") is False


def test_lanes_that_cannot_be_told_are_words_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    app = everything()
    monkeypatch.setattr(app.router, "routes", None)
    assert isinstance(lane_table(app), str)


def test_middleware_is_made_once_however_often_lanes_are_told() -> None:
    made = []

    class Counted:
        def __init__(self, app: Any) -> None:
            made.append(self)
            self.app = app

    app = everything()
    app.add_middleware(Counted)  # type: ignore[arg-type]
    first, second = lane_table(app), lane_table(app)
    assert first == second
    assert isinstance(first, LaneTable)
    assert first.routes[0].reasons == ("the app has the middleware Counted",)
    assert len(made) == 1


def test_no_fastapi_is_imported_for_another_app() -> None:
    code = (
        "import sys; from pytest_fastr.mount.lanes import is_fastapi, lane_table; import pytest_fastr.serve;"
        "app = object(); print(is_fastapi(app), lane_table(app), 'fastapi' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "None", "False"]


SHOP = """
from fastapi import FastAPI

app = FastAPI(openapi_url=None)


@app.get("/items/{item_id}")
async def item(item_id: int) -> int:
    return item_id


many = FastAPI(openapi_url=None)
for number in range(2000):
    many.add_api_route(f"/a-path-that-is-rather-long/{number}/{{item_id}}", item)


class Broken(FastAPI):
    async def __call__(self, scope, receive, send):
        await app(scope, receive, send)

    @property
    def root_path(self):
        raise RuntimeError("no root path\\nat all")

    @root_path.setter
    def root_path(self, value):
        pass


broken = Broken(openapi_url=None)
"""


@pytest.fixture
def shop(tmp_path: Path) -> tuple[str, ...]:
    (tmp_path / "lanes_shop.py").write_text(SHOP)
    return (str(tmp_path),)


def test_a_server_tells_its_mount_and_only_when_asked_its_lanes(shop: tuple[str, ...]) -> None:
    app = AppRef.parse("lanes_shop:app")
    for mount in ("asgi", "native"):
        server = spawn(app, Launch(path=shop, options=ServeOptions(mount=mount), lanes=True))
        server.stop()
        ready = server.ready
        assert ready is not None
        assert (ready.mount, ready.is_fastapi) == (mount, True)
        assert isinstance(ready.lanes, LaneTable)
        assert [(one.path, one.lane) for one in ready.lanes.routes] == [("/items/{item_id}", "typed")]
    server = spawn(app, Launch(path=shop))
    server.stop()
    assert server.ready is not None
    assert (server.ready.mount, server.ready.is_fastapi, server.ready.lanes) == ("asgi", True, None)


def test_a_table_larger_than_a_pipe_arrives(shop: tuple[str, ...]) -> None:
    server = spawn(AppRef.parse("lanes_shop:many"), Launch(path=shop, lanes=True))
    server.stop()
    assert server.ready is not None
    table = server.ready.lanes
    assert isinstance(table, LaneTable)
    assert len(table.routes) == 2000
    route = table.route_of("GET", "/a-path-that-is-rather-long/1999/7")
    assert route is not None
    assert route.path == "/a-path-that-is-rather-long/1999/{item_id}"


def test_a_server_starts_though_its_lanes_cannot_be_told(shop: tuple[str, ...]) -> None:
    server = spawn(AppRef.parse("lanes_shop:broken"), Launch(path=shop, lanes=True))
    server.stop()
    assert server.ready is not None
    assert server.ready.lanes == "RuntimeError: no root path"
