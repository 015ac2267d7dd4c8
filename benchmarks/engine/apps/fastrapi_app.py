"""The same routes for fastrapi, as its documentation writes them."""

# fastrapi is not installed where this is checked, so its decorators have no types there.
# mypy: disable-error-code="import-not-found,untyped-decorator"
# No `from __future__ import annotations`: fastrapi reads annotations as objects.

import asyncio
import os
from collections.abc import Callable
from typing import Any

from fastrapi import FastrAPI
from shared import HELLO, Order, busy, registered

app = FastrAPI()


def literal(index: int) -> Callable[[], dict[str, int]]:
    """A handler of its own for a literal route; a blocking one, since 0.2.11 cannot call the other kind."""

    def handler() -> dict[str, int]:
        return {"route": index}

    return handler


def template(index: int) -> Callable[[int], dict[str, int]]:
    """The same with a path parameter."""

    def handler(id: int) -> dict[str, int]:
        return {"route": index, "id": id}

    return handler


def add_plain() -> None:
    """Workloads 1 to 4, 6 and 7."""

    @app.get("/sync/hello")
    def hello_sync() -> dict[str, str]:
        return HELLO

    @app.get("/async/hello")
    async def hello_async() -> dict[str, str]:
        return HELLO

    @app.get("/sync/users/{id}")
    def user_sync(id: int) -> dict[str, int]:
        return {"id": id}

    @app.get("/async/users/{id}")
    async def user_async(id: int) -> dict[str, int]:
        return {"id": id}

    @app.get("/sync/search")
    def search_sync(q: str, limit: int = 10, active: bool = True) -> dict[str, Any]:
        return {"q": q, "limit": limit, "active": active}

    @app.get("/async/search")
    async def search_async(q: str, limit: int = 10, active: bool = True) -> dict[str, Any]:
        return {"q": q, "limit": limit, "active": active}

    @app.post("/sync/orders")
    def order_sync(order: Order):  # type: ignore[no-untyped-def]  # an annotation may become a response model
        return order

    @app.post("/async/orders")
    async def order_async(order: Order):  # type: ignore[no-untyped-def]
        return order

    @app.post("/sync/orders-model", response_model=Order)
    def order_model_sync(order: Order) -> Order:
        return order

    @app.post("/async/orders-model", response_model=Order)
    async def order_model_async(order: Order) -> Order:
        return order

    @app.get("/busy")
    def busy_route() -> dict[str, int]:
        return {"total": busy()}

    @app.get("/sleep")
    async def sleep() -> dict[str, str]:
        await asyncio.sleep(0.001)
        return HELLO


def add_routes() -> None:
    """What the environment asks for."""
    what = registered()
    if what["kind"] == "plain":
        add_plain()
    for index in range(what["count"]):
        if what["kind"] == "literals":
            app.get(f"/r/{index}")(literal(index))
        else:
            app.get(f"/t{index}/{{id}}")(template(index))


add_routes()
if __name__ == "__main__":
    app.serve("127.0.0.1", int(os.environ["BENCH_PORT"]))
