"""The same small shop in Litestar."""

from collections.abc import AsyncIterator
from typing import Any

from litestar import Litestar, MediaType, Request, Response, get, post
from litestar.datastructures import Cookie
from litestar.exceptions import PermissionDeniedException
from litestar.response import Redirect, Stream


@get("/")
async def root() -> dict[str, Any]:
    return {"shop": "caf\xe9", "open": True}


@get("/items/{item_id:int}")
async def item(item_id: int, request: Request[Any, Any, Any]) -> dict[str, Any]:
    return {"id": item_id, "q": request.query_params.getall("q", []), "url": str(request.url)}


@post("/echo", media_type="application/octet-stream")
async def echo(request: Request[Any, Any, Any]) -> bytes:
    return await request.body()


@post("/json")
async def as_json(data: dict[str, Any]) -> dict[str, Any]:
    return {"got": data}


@get("/stream")
async def stream() -> Stream:
    async def pieces() -> AsyncIterator[str]:
        for number in range(5):
            yield f"piece {number}\n"

    return Stream(pieces(), media_type=MediaType.TEXT)


@get("/headers", sync_to_thread=False)
def headers(request: Request[Any, Any, Any]) -> list[tuple[str, str]]:
    return sorted((name, value) for name, value in request.headers.items() if name != "host")


@get("/cookies", media_type=MediaType.TEXT)
async def cookies(request: Request[Any, Any, Any]) -> Response[str]:
    made = [Cookie("b", value="2", httponly=True), Cookie("c", value="3")]
    return Response(request.cookies.get("a", "none"), cookies=made)


@get("/old", status_code=302)
async def old() -> Redirect:
    return Redirect("/")


@get("/empty", status_code=204)
async def empty() -> None: ...


@get("/denied")
async def denied() -> None:
    raise PermissionDeniedException


@get("/bug", sync_to_thread=True)
def bug() -> None:
    raise RuntimeError("a bug")


app = Litestar([root, item, echo, as_json, stream, headers, cookies, old, empty, denied, bug])
