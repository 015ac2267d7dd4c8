"""Native lanes beyond equal answers: which routes have them, and what happens when the application changes."""

from __future__ import annotations

import asyncio
import contextvars
import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import pytest
from anyio import from_thread
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, Form, Header, Path, Query, Request
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
from pydantic import BaseModel, computed_field, field_validator
from starlette.applications import Starlette

from pytest_fastr import ConfigError, Server, StartupError
from pytest_fastr.mount.lanes import route_reports
from pytest_fastr.web import FastrAPI, options


class Item(BaseModel):
    name: str
    price: float = 1.0


def one_dependency() -> int:
    return 1


def get(server: Server, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=20)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@contextmanager
def native(app: FastAPI) -> Iterator[Server]:
    with Server(app, mount="native") as server:
        yield server


def by_fastapi(app: FastAPI, path: str) -> tuple[int, bytes]:
    """What the application answers by its own code."""
    with Server(app, mount="asgi") as server:
        return get(server, path)


def lanes(app: FastAPI) -> dict[str, tuple[str, str]]:
    return {
        one.path: (one.lane, "; ".join(one.reasons)) for one in route_reports(app, "app") if "HEAD" not in one.methods
    }


def shapes() -> FastAPI:
    app = FastAPI()

    @app.get("/constant")
    def constant() -> dict[str, str]:
        return {"a": "b"}

    @app.get("/html", response_class=HTMLResponse)
    async def html() -> str:
        return "<p>"

    @app.get("/typed/{number}")
    async def typed(
        number: int, text: Annotated[str, Query(min_length=1)] = "a", x_name: Annotated[str | None, Header()] = None
    ) -> Any:
        return [number, text, x_name]

    @app.get("/validated")
    async def validated(many: Annotated[list[int], Query()], text: Annotated[str, Query(pattern="a+")] = "a") -> Any:
        return [many, text]

    @app.post("/body")
    async def body(item: Item) -> Item:
        return item

    @app.get("/depends")
    async def depends(one: Annotated[int, Depends(lambda: 1)], request: Request) -> Any:
        return one

    @app.post("/form")
    async def background(tasks: BackgroundTasks) -> Any:
        return "x"

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(iter([b"a"]))

    @app.get("/empty", status_code=204)
    async def empty():  # type: ignore[no-untyped-def]
        pass

    @app.get("/files/{name}.json")
    async def mixed(name: str) -> Any:
        return name

    app.mount("/mounted", Starlette())
    return app


def test_the_lanes_and_their_reasons() -> None:
    assert lanes(shapes()) == {
        "/constant": ("fast", ""),
        "/html": ("fast", ""),
        "/typed/{number}": ("typed", "reads parameter 'number'; reads parameter 'text'; reads parameter 'x_name'"),
        "/validated": (
            "full", "parameter 'many' is validated by pydantic; parameter 'text' is validated by pydantic"
        ),
        "/body": ("full", "reads a JSON body"),
        "/depends": ("full", "depends on <lambda>; parameter 'request' is made by FastAPI"),
        "/form": ("full", "parameter 'tasks' is made by FastAPI"),
        "/stream": ("fast", ""),
        "/empty": ("full", "its response (status 204) is built by FastAPI"),
        "/files/{name}.json": ("asgi", "its path has a parameter beside other text"),
        "/mounted/...": ("asgi", "is a mounted application"),
    }  # fmt: skip


def test_debug_pages_show_the_whole_stack_and_so_it_has_to_run() -> None:
    app = FastAPI(debug=True)
    app.get("/")(lambda: 1)
    lane, reason = lanes(app)["/"]
    assert lane == "asgi"
    assert "debug" in reason


def test_an_instrumented_framework_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    original = FastAPI.__call__

    async def watched(self: FastAPI, *args: Any) -> None:
        await original(self, *args)

    monkeypatch.setattr(FastAPI, "__call__", watched)
    app = FastAPI()
    app.get("/")(lambda: 1)
    lane, reason = lanes(app)["/"]
    assert lane == "asgi"
    assert "FastAPI.__call__ is replaced by another tool" in reason


def test_a_subclass_that_serves_in_its_own_way_is_left_alone() -> None:
    class Own(FastAPI):
        async def __call__(self, *args: Any) -> None:
            await super().__call__(*args)

    app = Own()
    app.get("/")(lambda: 1)
    assert lanes(app)["/"] == ("asgi", "Own has a __call__ of its own")


def test_requests_are_served_by_the_lane_that_was_reported() -> None:
    with native(shapes()) as server:
        assert get(server, "/constant") == (200, b'{"a":"b"}')
        assert get(server, "/typed/7?text=x") == (200, b'[7,"x",null]')
        assert get(server, "/validated?many=1&many=2") == (200, b'[[1,2],"a"]')
        body = b'{"name":"n"}'
        assert get(server, "/body", "POST", body, **{"content-type": "application/json"}) == (
            200,
            b'{"name":"n","price":1.0}',
        )
        assert server.native_counts() == {"compiled": 4, "direct": 0, "passed": 0, "replayed": 0}
        assert get(server, "/depends") == (200, b"1")
        assert get(server, "/typed/x")[0] == 422
        assert get(server, "/stream") == (200, b"a")
        assert server.native_counts() == {"compiled": 5, "direct": 1, "passed": 1, "replayed": 1}


def test_the_first_route_wins_whatever_its_kind() -> None:
    app = FastAPI()
    app.get("/a/{x}")(lambda x: ["template", x])
    app.get("/a/literal")(lambda: "never")
    app.get("/b/literal")(lambda: "literal")
    app.get("/b/{x}")(lambda x: ["template", x])
    app.get("/c/{x}.txt")(lambda x: ["mixed", x])
    app.get("/c/{x}")(lambda x: ["template", x])
    app.post("/d")(lambda: "post")
    app.get("/d")(lambda: "get")
    with native(app) as server:
        assert get(server, "/a/literal") == (200, b'["template","literal"]')
        assert get(server, "/b/literal") == (200, b'"literal"')
        assert get(server, "/b/%C3%BC") == (200, '["template","ü"]'.encode())
        assert get(server, "/c/a.txt") == (200, b'["mixed","a"]')
        assert get(server, "/c/a") == (200, b'["template","a"]')
        assert get(server, "/d") == (200, b'"get"')
        assert get(server, "/d", "PUT")[0] == 405
        assert get(server, "/d/", "GET")[0] == 307


def test_a_route_added_while_serving_is_served_and_takes_its_place() -> None:
    app = FastAPI()

    @app.get("/add")
    async def add() -> str:
        app.get("/late")(lambda: "late")
        app.router.routes.insert(0, app.router.routes.pop())
        app.get("/old")(lambda: "never: the first one wins")
        return "added"

    app.get("/old")(lambda: "old")
    with native(app) as server:
        assert get(server, "/late")[0] == 404
        assert get(server, "/add") == (200, b'"added"')
        assert get(server, "/late") == (200, b'"late"')
        assert get(server, "/old") == (200, b'"old"')
        before = server.native_counts()["compiled"]
        assert get(server, "/late") == (200, b'"late"')
        assert server.native_counts()["compiled"] == before + 1


def test_a_router_that_is_mutated_is_compiled_again() -> None:
    app, router = FastAPI(), APIRouter()
    router.get("/one")(lambda: 1)
    app.include_router(router, prefix="/r")

    @app.get("/mutate")
    async def mutate() -> str:
        router.get("/two")(lambda: 2)
        return "done"

    @app.get("/remove")
    async def remove() -> str:
        del app.router.routes[-3:]
        return "done"

    with native(app) as server:
        assert get(server, "/r/one") == (200, b"1")
        assert get(server, "/mutate") == (200, b'"done"')
        assert get(server, "/r/two") == by_fastapi(app, "/r/two")
        assert get(server, "/remove") == (200, b'"done"')
        assert get(server, "/mutate")[0] == 404


def test_overrides_of_dependencies_count_at_once() -> None:
    app = FastAPI()

    @app.get("/")
    async def handler(one: Annotated[int, Depends(one_dependency)]) -> int:
        return one

    with native(app) as server:
        assert get(server, "/") == (200, b"1")
        app.dependency_overrides[one_dependency] = lambda: 2
        assert get(server, "/") == (200, b"2")


def test_a_handler_never_runs_twice_whatever_becomes_of_its_result() -> None:
    calls: list[str] = []
    app = FastAPI()

    @app.get("/model", response_model=Item)
    def model() -> Any:
        calls.append("model")
        return {"price": "none"}

    @app.get("/raises")
    async def raises() -> Any:
        calls.append("raises")
        raise RuntimeError

    @app.get("/set")
    def as_a_set() -> Any:
        calls.append("set")
        return {1}

    @app.get("/object")
    async def an_object() -> Any:
        calls.append("object")
        return JSONResponse({"a": 1}, 201, {"x-own": "1"})

    with native(app) as server:
        assert get(server, "/model")[0] == 500
        assert get(server, "/raises")[0] == 500
        assert get(server, "/set") == (200, b"[1]")
        assert get(server, "/object") == (201, b'{"a":1}')
    assert calls == ["model", "raises", "set", "object"]


def test_handlers_see_what_they_would_see_under_fastapi() -> None:
    variable = contextvars.ContextVar("variable", default="unset")
    app = FastAPI()

    def look() -> list[Any]:
        before = variable.get()
        variable.set("set")
        try:
            loop: Any = asyncio.get_running_loop() is not None
        except RuntimeError:
            loop = "none"
        return [before, loop]

    @app.get("/sync")
    def sync() -> list[Any]:
        return look()

    @app.get("/inline")
    @options(run="inline")
    def inline() -> list[Any]:
        return look()

    @app.get("/async")
    async def asynchronous() -> list[Any]:
        return [*look(), asyncio.current_task() is not None]

    @app.get("/suspends")
    async def suspends() -> list[Any]:
        task = asyncio.current_task()
        await asyncio.sleep(0.001)
        return [*look(), asyncio.current_task() is task]

    with native(app) as server:
        for _ in range(20):  # the pool's and, promoted, the loop's thread
            assert get(server, "/sync") == (200, b'["unset","none"]')
            assert get(server, "/inline") == (200, b'["unset","none"]')
        assert get(server, "/async") == (200, b'["unset",true,true]')
        assert get(server, "/suspends") == (200, b'["unset",true,true]')


def test_a_handler_that_may_block_never_runs_on_the_loops_thread() -> None:
    app = FastAPI()

    @app.get("/may")
    def may() -> list[Any]:
        return [threading.current_thread().name, from_thread.run(asyncio.sleep, 0, "from the loop")]

    @app.get("/pool")
    @options(run="pool")
    def pool() -> str:
        return threading.current_thread().name

    @app.get("/inline")
    @options(run="inline")
    def inline() -> str:
        return threading.current_thread().name

    with native(app) as server:
        for _ in range(15):
            name, value = json.loads(get(server, "/may")[1])
            assert (name, value) == ("AnyIO worker thread", "from the loop")
            assert get(server, "/pool")[1].startswith(b'"fastr-handler-')
            assert get(server, "/inline")[1] == b'"pytest_fastr.Server"'


def test_a_handler_may_wait_for_another_request_of_its_server() -> None:
    arrived = threading.Event()
    app = FastAPI()

    @app.get("/waits")
    def waits(long: bool = False) -> bool:
        return arrived.wait(20) if long else True

    @app.get("/sets")
    async def sets() -> None:
        arrived.set()

    with native(app) as server:
        for _ in range(20):
            assert get(server, "/waits") == (200, b"true")
        thread = threading.Thread(target=get, args=(server, "/waits?long=1"))
        thread.start()
        assert get(server, "/sets")[0] == 200
        thread.join(20)
        assert not thread.is_alive()


def test_a_dictionary_may_change_while_its_models_are_dumped() -> None:
    class Grows(BaseModel):
        @computed_field
        def grown(self) -> int:
            items[str(len(items))] = Grows()
            return len(items)

    items: dict[str, Any] = {"a": Grows()}
    app = FastAPI()
    app.get("/")(lambda: items)
    app.get("/fine")(lambda: "fine")
    with native(app) as server:
        get(server, "/")
        assert get(server, "/fine") == (200, b'"fine"')


def test_variables_of_one_request_are_its_own_and_seen_by_what_becomes_of_it() -> None:
    variable = contextvars.ContextVar("variable", default="none")

    class Named(BaseModel):
        name: str

        @field_validator("name")
        @classmethod
        def keep(cls, value: str) -> str:
            variable.set(value)
            return value

        @computed_field
        def seen(self) -> str:
            return variable.get()

    app = FastAPI()

    @app.exception_handler(KeyError)
    async def handle(request: Request, error: KeyError) -> JSONResponse:
        return JSONResponse(variable.get(), 418)

    def post(item: Any) -> Any:
        return item

    async def post_async(item: Any) -> Any:
        return [item, variable.get()]

    post.__annotations__ = post_async.__annotations__ = {"item": Named}
    app.post("/sync")(post)
    app.post("/async")(post_async)

    @app.get("/raises")
    async def raises() -> None:
        variable.set("raised")
        raise KeyError

    @app.get("/who")
    async def who() -> str:
        return variable.get()

    kind = {"content-type": "application/json"}
    with native(app) as one, Server(app, mount="asgi") as whole:
        for server in (one, whole):
            for _ in range(3):
                assert (
                    get(server, "/async", "POST", b'{"name":"ann"}', **kind)[1]
                    == b'[{"name":"ann","seen":"ann"},"ann"]'
                )
                assert get(server, "/sync", "POST", b'{"name":"bob"}', **kind)[1] == b'{"name":"bob","seen":"bob"}'
                assert get(server, "/who") == (200, b'"none"')
                assert get(server, "/raises") == (418, b'"raised"')


def test_an_odd_route_does_not_keep_the_server_from_starting() -> None:
    app = FastAPI()

    def odd(x: Any) -> Any:
        return x

    odd.__annotations__ = {"x": Annotated[str, Header(alias="bad name")]}
    app.get("/odd")(odd)
    app.get("/fine")(lambda: "fine")
    lane, reason = lanes(app)["/odd"]
    assert (lane, "cannot be compiled" in reason) == ("asgi", True)
    app.add_middleware(GZipMiddleware)  # the report has not closed the stack
    with native(app) as server:
        assert get(server, "/fine") == (200, b'"fine"')
        assert get(server, "/odd") == by_fastapi(app, "/odd")


def test_a_full_queue_answers_503_and_later_requests_are_served() -> None:
    release = threading.Event()
    app = FastAPI()

    @app.get("/waits")
    @options(run="pool")
    def waits() -> str:
        release.wait(20)
        return "done"

    app.get("/free")(lambda: "free")
    with native(app) as server:
        connections = [http.client.HTTPConnection(server.host, server.port, timeout=30) for _ in range(300)]
        for connection in connections:
            connection.request("GET", "/waits")
        release.set()
        answers = []
        for connection in connections:
            answer = connection.getresponse()
            answers.append((answer.status, answer.getheader("retry-after"), answer.read()))
            connection.close()
        assert {answer[0] for answer in answers} <= {200, 503}
        assert answers[0][0] == 200
        assert all(answer[1] == "1" for answer in answers if answer[0] == 503)
        assert get(server, "/waits") == (200, b'"done"')


def test_the_face_takes_options_of_routes_and_caches() -> None:
    calls: list[int] = []
    app = FastrAPI()

    @app.get("/constant", cache_response=True, run="inline")
    def constant() -> dict[str, int]:
        calls.append(1)
        return {"calls": len(calls)}

    assert by_fastapi(app, "/constant") == (200, b'{"calls":1}')
    with Server(app) as server:
        assert [get(server, "/constant") for _ in range(3)] == [(200, b'{"calls":2}')] * 3
        app.router.routes.pop()
        assert get(server, "/constant")[0] == 404
    assert len(calls) == 2
    assert [one.lane for one in app.lanes()] == ["asgi"] * 4


def test_the_decorated_handler_is_still_the_users() -> None:
    app = FastrAPI()

    @app.get("/a", run="pool")
    def handler(x: int) -> int:
        return x

    assert handler(3) == 3
    assert app.routes[-1].endpoint is handler  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match='it is "trial", "pool" or "inline"'):
        options(run="nowhere")  # type: ignore[arg-type]


@pytest.mark.parametrize("root_path", ["", "/api"])
def test_root_paths(root_path: str) -> None:
    app = FastAPI()
    app.root_path = root_path

    @app.get("/where/{x}")
    async def where(x: int, request: Request) -> list[Any]:
        return [x, request.scope["root_path"], request.url.path]

    app.get("/plain/{x}")(lambda x: x)
    with native(app) as server:
        assert get(server, "/plain/1") == (200, b'"1"')
        for path in ("/plain/1", "/api/plain/1", "/apix/plain/1", "/api", "/where/3", "/api/where/3"):
            assert get(server, path) == by_fastapi(app, path), path
    with (
        Server(app, mount="native", root_path="/behind") as server,
        Server(app, mount="asgi", root_path="/behind") as by_itself,
    ):
        for path in ("/where/3", "/plain/1"):
            assert get(server, path) == get(by_itself, path), path


def test_only_fastapi_can_be_compiled() -> None:
    with pytest.raises(ConfigError, match=r"needs a FastAPI application, and this one is a starlette\.applications"):
        route_reports(Starlette(), "app")
    with pytest.raises((ConfigError, StartupError), match='use mount = "asgi"'), Server(Starlette(), mount="native"):
        pass


def test_forms_are_read_by_fastapi() -> None:
    pytest.importorskip("python_multipart", reason="FastAPI reads forms with python-multipart, which is not installed")
    app = FastAPI()

    @app.post("/form/{x}")
    async def form(x: Annotated[int, Path()], name: Annotated[str, Form()]) -> list[Any]:
        return [x, name]

    assert lanes(app)["/form/{x}"] == ("full", "a form is read by FastAPI")
    with native(app) as server:
        kind = {"content-type": "application/x-www-form-urlencoded"}
        assert get(server, "/form/1", "POST", b"name=a+b", **kind) == (200, b'[1,"a b"]')


def test_two_servers_of_one_application_see_its_changes() -> None:
    app = FastAPI()
    app.get("/old")(lambda: "old")
    with native(app) as one, native(app) as other:
        for _ in range(3):
            assert get(one, "/old") == get(other, "/old") == (200, b'"old"')
        app.get("/new")(lambda: "new")
        for _ in range(3):
            assert get(one, "/new") == get(other, "/new") == (200, b'"new"')
        # The first request after a change is the application's, on each; the others are native.
        assert one.native_counts()["passed"] <= 1
        assert one.native_counts()["compiled"] == other.native_counts()["compiled"] == 5
    assert app.router.routes.listeners == []  # type: ignore[attr-defined]
