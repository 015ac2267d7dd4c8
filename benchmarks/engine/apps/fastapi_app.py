"""The FastAPI application: unmodified FastAPI, or with BENCH_FACE our subclass of it. Everything else is the same."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI
from shared import HELLO, Order, busy, registered


def face() -> type[FastAPI]:
    """The class whose instance is served."""
    if not os.environ.get("BENCH_FACE"):
        return FastAPI
    from pytest_fastr import web  # Optional: only the row that measures it needs it.

    chosen: type[FastAPI] = web.FastrAPI
    return chosen


app = face()()


def literal(index: int) -> Callable[[], Awaitable[dict[str, int]]]:
    """A handler of its own for a literal route, so that an answer tells which route it came from."""

    async def handler() -> dict[str, int]:
        return {"route": index}

    return handler


def template(index: int) -> Callable[[int], Awaitable[dict[str, int]]]:
    """The same with a path parameter."""

    async def handler(id: int) -> dict[str, int]:
        return {"route": index, "id": id}

    return handler


def add_plain() -> None:
    """Workloads 1 to 4, 6 and 7. ``response_model=None`` where none is meant: annotations would become one."""

    @app.get("/sync/hello", response_model=None)
    def hello_sync() -> dict[str, str]:
        return HELLO

    @app.get("/async/hello", response_model=None)
    async def hello_async() -> dict[str, str]:
        return HELLO

    @app.get("/sync/users/{id}", response_model=None)
    def user_sync(id: int) -> dict[str, int]:
        return {"id": id}

    @app.get("/async/users/{id}", response_model=None)
    async def user_async(id: int) -> dict[str, int]:
        return {"id": id}

    @app.get("/sync/search", response_model=None)
    def search_sync(q: str, limit: int = 10, active: bool = True) -> dict[str, Any]:
        return {"q": q, "limit": limit, "active": active}

    @app.get("/async/search", response_model=None)
    async def search_async(q: str, limit: int = 10, active: bool = True) -> dict[str, Any]:
        return {"q": q, "limit": limit, "active": active}

    @app.post("/sync/orders", response_model=None)
    def order_sync(order: Order) -> Order:
        return order

    @app.post("/async/orders", response_model=None)
    async def order_async(order: Order) -> Order:
        return order

    @app.post("/sync/orders-model", response_model=Order)
    def order_model_sync(order: Order) -> Order:
        return order

    @app.post("/async/orders-model", response_model=Order)
    async def order_model_async(order: Order) -> Order:
        return order

    @app.get("/busy", response_model=None)
    def busy_route() -> dict[str, int]:
        return {"total": busy()}

    @app.get("/sleep", response_model=None)
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
            app.get(f"/r/{index}", response_model=None)(literal(index))
        else:
            app.get(f"/t{index}/{{id}}", response_model=None)(template(index))


add_routes()
