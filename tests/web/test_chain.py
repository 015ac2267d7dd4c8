"""Dependencies that are calls: compiled into one list, in FastAPI's order, with its cache and its contexts."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import http.client
import inspect
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Header, HTTPException, Query, Request
from fastapi.security import HTTPBearer
from pydantic import BaseModel

from pytest_fastr import Server
from pytest_fastr.mount.lanes import route_reports

journal: list[str] = []
variable = contextvars.ContextVar("variable", default="unset")


class Item(BaseModel):
    name: str


def page(limit: Annotated[int, Query(ge=1)] = 10, skip: int = 0) -> tuple[int, int]:
    journal.append(f"page {limit} {skip}")
    return limit, skip


async def user(x_user: Annotated[str, Header()]) -> str:
    journal.append(f"user {x_user}")
    if x_user == "nobody":
        raise HTTPException(401, "who?")
    return x_user


def both(one: Annotated[tuple[int, int], Depends(page)], two: Annotated[str, Depends(user)]) -> list[Any]:
    journal.append("both")
    return [*one, two]


def fresh() -> int:
    journal.append("fresh")
    return len(journal)


def needs_fresh(one: Annotated[int, Depends(fresh, use_cache=False)]) -> bool:
    return isinstance(one, int)


class Settings:
    def __init__(self, q: str = "q") -> None:
        journal.append(f"settings {q}")
        self.q = q


async def sets() -> None:
    variable.set("set")
    await asyncio.sleep(0)


def sets_in_a_thread() -> None:
    variable.set("never seen")


def make() -> FastAPI:
    app = FastAPI()
    path = app.get

    @path("/sync/{x}")
    def sync(x: int, page: Annotated[Any, Depends(page)], settings: Annotated[Settings, Depends()]) -> list[Any]:
        return [x, page, settings.q]

    @path("/mixed")
    async def mixed(both: Annotated[Any, Depends(both)], again: Annotated[Any, Depends(page)]) -> list[Any]:
        return [both, again]

    @path("/cached")
    def cached(
        one: Annotated[bool, Depends(needs_fresh)],
        two: Annotated[int, Depends(fresh)],
        three: Annotated[int, Depends(fresh, use_cache=False)],
        four: Annotated[bool, Depends(needs_fresh)],
    ) -> list[Any]:
        return [one, four, two < three]

    @path("/context", dependencies=[Depends(sets), Depends(sets_in_a_thread)])
    async def context() -> list[Any]:
        return [variable.get(), asyncio.current_task() is not None]

    @app.post("/body")
    async def body(item: Item, user: Annotated[str, Depends(user)]) -> list[Any]:
        return [item, user]

    @path("/raises", dependencies=[Depends(page)])
    def raises() -> None:
        journal.append("raises")
        raise RuntimeError

    @path("/secure")
    async def secure(token: Annotated[Any, Depends(HTTPBearer())]) -> Any:
        return token

    @path("/request")
    async def request(request: Request, page: Annotated[Any, Depends(page)]) -> Any:
        return [request.url.path, page]

    return app


REQUESTS: list[tuple[str, str, dict[str, str], bytes | None]] = [
    ("GET", "/sync/3?limit=4&q=x", {}, None),
    ("GET", "/sync/3?limit=0", {}, None),
    ("GET", "/mixed", {"x-user": "me"}, None),
    ("GET", "/mixed", {"x-user": "nobody"}, None),
    ("GET", "/mixed", {}, None),
    ("GET", "/cached", {}, None),
    ("GET", "/context", {}, None),
    ("POST", "/body", {"x-user": "me", "content-type": "application/json"}, b'{"name": "n"}'),
    ("POST", "/body", {"x-user": "nobody", "content-type": "application/json"}, b'{"name": "n"}'),
    ("POST", "/body", {"x-user": "me", "content-type": "application/json"}, b"{}"),
    ("GET", "/raises", {}, None),
    ("GET", "/secure", {"authorization": "Bearer t"}, None),
    ("GET", "/request?skip=1", {}, None),
]


def ask(server: Server, method: str, path: str, headers: dict[str, str], body: bytes | None) -> tuple[Any, ...]:
    journal.clear()
    connection = http.client.HTTPConnection(server.host, server.port, timeout=20)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), tuple(journal)
    finally:
        connection.close()


def test_answers_and_calls_are_fastapis() -> None:
    with Server(make(), mount="native") as native, Server(make(), mount="asgi") as whole:
        for _ in range(8):  # the last ones on the loop's thread, where they are short
            for request in REQUESTS:
                assert ask(native, *request) == ask(whole, *request), request
        assert native.native_counts()["direct"] == 16


@pytest.mark.parametrize(("path", "lane", "reason"), [
    ("/sync/{x}", "full", "depends on page; depends on Settings"),
    ("/context", "full", "depends on sets; depends on sets_in_a_thread"),
    ("/secure", "full", "depends on HTTPBearer"),
])  # fmt: skip
def test_lanes(path: str, lane: str, reason: str) -> None:
    report = next(one for one in route_reports(make(), "app") if one.path == path)
    assert (report.lane, "; ".join(report.reasons)) == (lane, reason)


def test_overrides_count_while_there_are_any() -> None:
    app = make()
    with Server(app, mount="native") as server:
        app.dependency_overrides[page] = lambda: "other"
        assert ask(server, "GET", "/sync/3", {}, None)[1] == b'[3,"other","q"]'
        app.dependency_overrides.clear()
        assert ask(server, "GET", "/sync/3", {}, None)[1] == b'[3,[10,0],"q"]'
        assert server.native_counts()["compiled"] == 1


def transparent(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


class Wrapped:
    @transparent
    def __call__(self) -> Iterator[str]:
        yield "made"
        journal.append("ended")


@transparent
def wrapped() -> Iterator[str]:
    yield "made"
    journal.append("ended")


@pytest.mark.parametrize("dependency", [Wrapped(), wrapped, transparent(Wrapped()), functools.partial(wrapped)])
def test_a_wrapped_generator_is_what_fastapi_takes_it_for(dependency: Any) -> None:
    app = FastAPI()

    @app.get("/")
    def get(made: Annotated[Any, Depends(dependency)]) -> Any:
        return made if isinstance(made, str) else inspect.isgenerator(made)

    with Server(app, mount="native") as native, Server(app, mount="asgi") as whole:
        assert ask(native, "GET", "/", {}, None)[:2] == ask(whole, "GET", "/", {}, None)[:2]
