"""The same routes for django-bolt, as its documentation writes them, without its access log and its compression.

It validates bodies with msgspec and knows nothing of pydantic. So there are two rows: in one pydantic validates (called
by hand, as by someone whose models are pydantic's), in the other, with BENCH_BODY=msgspec, a struct with the same
fields, which is django-bolt at its best and does other work than the rest.
"""

# django-bolt is not installed where this is checked, so its decorators have no types there.
# mypy: disable-error-code="import-not-found,untyped-decorator,misc"
# No `from __future__ import annotations`: the struct is annotated in handlers by a local name.

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from django_bolt import BoltAPI, Request
from django_bolt.exceptions import UnprocessableEntity
from pydantic import ValidationError
from shared import HELLO, Order, busy, registered

api = BoltAPI(enable_logging=False, compression=False)


class LineStruct(msgspec.Struct):
    """A position of an order."""

    sku: str
    quantity: int
    price: float


class OrderStruct(msgspec.Struct):
    """The fields of ``shared.Order``."""

    id: int
    customer: str
    email: str
    paid: bool
    discount: float
    lines: list[LineStruct]
    comment: str | None = None


def literal(index: int) -> Callable[[], Awaitable[Any]]:
    """A handler of its own for a literal route."""

    async def handler():  # type: ignore[no-untyped-def]  # an annotation would become a response model
        return {"route": index}

    return handler


def template(index: int) -> Callable[[int], Awaitable[Any]]:
    """The same with a path parameter."""

    async def handler(id: int):  # type: ignore[no-untyped-def]
        return {"route": index, "id": id}

    return handler


def checked(request: Request) -> Order:
    """The order in the body. What is none is refused as django-bolt refuses it elsewhere."""
    try:
        return Order.model_validate_json(request.body)
    except ValidationError as error:
        raise UnprocessableEntity(detail=str(error)) from error


def add_pydantic_orders() -> None:
    """Workload 4 with pydantic."""

    @api.post("/sync/orders")
    def order_sync(request: Request):  # type: ignore[no-untyped-def]
        return checked(request).model_dump()

    @api.post("/async/orders")
    async def order_async(request: Request):  # type: ignore[no-untyped-def]
        return checked(request).model_dump()


def add_struct_orders() -> None:
    """Workload 4 with msgspec."""

    @api.post("/sync/orders")
    def order_sync(order: OrderStruct):  # type: ignore[no-untyped-def]
        return order

    @api.post("/async/orders")
    async def order_async(order: OrderStruct):  # type: ignore[no-untyped-def]
        return order

    @api.post("/sync/orders-model", response_model=OrderStruct)
    def order_model_sync(order: OrderStruct):  # type: ignore[no-untyped-def]
        return order

    @api.post("/async/orders-model", response_model=OrderStruct)
    async def order_model_async(order: OrderStruct):  # type: ignore[no-untyped-def]
        return order


def add_plain() -> None:
    """Workloads 1 to 3, 6 and 7."""

    @api.get("/sync/hello")
    def hello_sync():  # type: ignore[no-untyped-def]
        return HELLO

    @api.get("/async/hello")
    async def hello_async():  # type: ignore[no-untyped-def]
        return HELLO

    @api.get("/sync/users/{id}")
    def user_sync(id: int):  # type: ignore[no-untyped-def]
        return {"id": id}

    @api.get("/async/users/{id}")
    async def user_async(id: int):  # type: ignore[no-untyped-def]
        return {"id": id}

    @api.get("/sync/search")
    def search_sync(q: str, limit: int = 10, active: bool = True):  # type: ignore[no-untyped-def]
        return {"q": q, "limit": limit, "active": active}

    @api.get("/async/search")
    async def search_async(q: str, limit: int = 10, active: bool = True):  # type: ignore[no-untyped-def]
        return {"q": q, "limit": limit, "active": active}

    @api.get("/busy")
    def busy_route():  # type: ignore[no-untyped-def]
        return {"total": busy()}

    @api.get("/sleep")
    async def sleep():  # type: ignore[no-untyped-def]
        await asyncio.sleep(0.001)
        return HELLO


def add_routes() -> None:
    """What the environment asks for."""
    what = registered()
    if what["kind"] == "plain":
        add_plain()
        if os.environ.get("BENCH_BODY") == "msgspec":
            add_struct_orders()
        else:
            add_pydantic_orders()
    for index in range(what["count"]):
        if what["kind"] == "literals":
            api.get(f"/r/{index}")(literal(index))
        else:
            api.get(f"/t{index}/{{id}}")(template(index))


add_routes()
