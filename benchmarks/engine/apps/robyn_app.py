"""The same routes for robyn, as its documentation writes them."""

# robyn is not installed where this is checked, so its decorators have no types there.
# mypy: disable-error-code="import-not-found,untyped-decorator"
# No `from __future__ import annotations`: robyn reads annotations as objects.

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

from robyn import Robyn
from shared import HELLO, Order, busy, registered

app = Robyn(__file__)


def literal(index: int) -> Callable[[], Awaitable[dict[str, int]]]:
    """A handler of its own for a literal route."""

    async def handler() -> dict[str, int]:
        return {"route": index}

    return handler


def template(index: int) -> Callable[[int], Awaitable[dict[str, int]]]:
    """The same with a path parameter."""

    async def handler(id: int) -> dict[str, int]:
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

    @app.get("/sync/users/:id")
    def user_sync(id: int) -> dict[str, int]:
        return {"id": id}

    @app.get("/async/users/:id")
    async def user_async(id: int) -> dict[str, int]:
        return {"id": id}

    @app.get("/sync/search")
    def search_sync(q: str, limit: int = 10, active: bool = True) -> dict[str, Any]:
        return {"q": q, "limit": limit, "active": active}

    @app.get("/async/search")
    async def search_async(q: str, limit: int = 10, active: bool = True) -> dict[str, Any]:
        return {"q": q, "limit": limit, "active": active}

    @app.post("/sync/orders")
    def order_sync(order: Order) -> Any:
        return order.model_dump()

    @app.post("/async/orders")
    async def order_async(order: Order) -> Any:
        return order.model_dump()

    @app.post("/sync/orders-model", response_model=Order)
    def order_model_sync(order: Order) -> Any:
        return order

    @app.post("/async/orders-model", response_model=Order)
    async def order_model_async(order: Order) -> Any:
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
            app.get(f"/t{index}/:id")(template(index))


add_routes()
if __name__ == "__main__":
    app.start(host="127.0.0.1", port=int(os.environ["BENCH_PORT"]))
