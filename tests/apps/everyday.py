"""A FastAPI application as somebody would write it: one of everything that a server can get wrong."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from fastapi import BackgroundTasks, Cookie, Depends, FastAPI, Header, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, PlainTextResponse, RedirectResponse, StreamingResponse
from pydantic import BaseModel, Field
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.staticfiles import StaticFiles

PUBLIC = Path(__file__).parent / "public"


class Item(BaseModel):
    name: str = Field(min_length=2)
    price: float = Field(gt=0)
    tags: list[str] = []


class OutOfStock(Exception):
    pass


# What the background tasks and the disconnect watcher leave behind, for the tests to ask for.
seen: list[str] = []


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    app.state.started = "yes"
    yield {"greeting": "from the lifespan", "shared": []}


app = FastAPI(lifespan=lifespan)
app.add_middleware(GZipMiddleware, minimum_size=2000)
app.add_middleware(CORSMiddleware, allow_origins=["https://shop.example"], allow_methods=["GET", "PUT"])


async def stamp(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    request.state.stamp = "stamped"
    response = await call_next(request)
    response.headers["x-stamp"] = f"{request.state.stamp} {request.method}"
    return response


app.add_middleware(BaseHTTPMiddleware, dispatch=stamp)


@app.exception_handler(OutOfStock)
async def out_of_stock(request: Request, error: OutOfStock) -> Response:
    return PlainTextResponse("sold", status_code=409, headers={"x-reason": "stock"})


@app.get("/async")
async def asynchronous() -> dict[str, str]:
    await asyncio.sleep(0)
    return {"task": "current" if asyncio.current_task() else "none"}


@app.get("/sync")
def synchronous() -> dict[str, bool]:
    return {"in_main_thread": threading.current_thread() is threading.main_thread()}


@app.get("/items/{item_id}")
async def item(item_id: int, q: list[str] = Query(default=[]), limit: int = Query(10, le=100)) -> dict[str, Any]:  # noqa: B008
    return {"id": item_id, "q": q, "limit": limit}


@app.post("/items", status_code=201)
async def make_item(item: Item, response: Response) -> Item:
    response.headers["location"] = "/items/1"
    return item


@app.get("/missing")
async def missing() -> None:
    raise HTTPException(404, {"why": "gone"}, headers={"x-why": "gone"})


@app.get("/sold")
def sold() -> None:
    raise OutOfStock


@app.get("/bug")
async def bug() -> None:
    raise ZeroDivisionError("a bug")


@app.get("/sync-bug")
def sync_bug() -> None:
    raise ZeroDivisionError("a bug")


@app.get("/stream")
async def stream() -> StreamingResponse:
    async def pieces() -> AsyncIterator[str]:
        for number in range(20):
            yield f"piece {number}\n"
            await asyncio.sleep(0)

    return StreamingResponse(pieces(), media_type="text/plain")


@app.get("/sync-stream")
def sync_stream() -> StreamingResponse:
    def pieces() -> Iterator[bytes]:
        for number in range(20):
            yield b"%d," % number

    return StreamingResponse(pieces(), media_type="text/csv")


@app.get("/broken-stream")
async def broken_stream() -> StreamingResponse:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        await asyncio.sleep(0)
        raise ZeroDivisionError("in the middle")

    return StreamingResponse(pieces())


@app.post("/background")
async def background(tasks: BackgroundTasks, name: str) -> dict[str, str]:
    async def later(what: str) -> None:
        await asyncio.sleep(0)
        seen.append(what)

    tasks.add_task(later, f"async {name}")
    tasks.add_task(seen.append, f"sync {name}")
    return {"queued": name}


@app.get("/seen")
async def what_was_seen() -> list[str]:
    return seen


@app.get("/state")
async def state(request: Request) -> dict[str, str]:
    return {"greeting": request.state.greeting, "started": request.app.state.started}


def authenticated(x_token: str = Header(), session: str | None = Cookie(None)) -> str:
    if x_token != "open sesame":
        raise HTTPException(401, "who are you", headers={"www-authenticate": "Token"})
    return f"{x_token}/{session}"


@app.get("/private")
async def private(who: str = Depends(authenticated)) -> dict[str, str]:
    return {"who": who}


@app.get("/cookies")
async def cookies(response: Response) -> dict[str, str]:
    response.set_cookie("a", "1", max_age=60)
    response.set_cookie("b", "2", httponly=True, samesite="strict")
    response.delete_cookie("c")
    return {}


@app.get("/big")
async def big() -> PlainTextResponse:
    return PlainTextResponse("0123456789" * 1000)


@app.get("/download")
async def download(size: int) -> Response:
    return Response(b"x" * size, media_type="application/octet-stream")


@app.get("/file")
async def file() -> FileResponse:
    return FileResponse(PUBLIC / "note.txt", filename="note.txt", headers={"last-modified": "fixed"})


@app.post("/digest")
async def digest(request: Request) -> dict[str, Any]:
    body = await request.body()
    return {"bytes": len(body), "sha": hashlib.sha256(body).hexdigest(), "type": request.headers.get("content-type")}


@app.post("/stream-digest")
async def stream_digest(request: Request) -> dict[str, Any]:
    size, sha = 0, hashlib.sha256()
    async for piece in request.stream():
        size += len(piece)
        sha.update(piece)
    return {"bytes": size, "sha": sha.hexdigest()}


@app.post("/ignores-the-body")
async def ignores_the_body() -> dict[str, str]:
    return {"read": "nothing"}


@app.post("/echo")
async def echo(request: Request) -> StreamingResponse:
    pieces = [piece async for piece in request.stream()]
    return StreamingResponse(iter(pieces), media_type="application/octet-stream")


@app.get("/endless")
async def endless() -> StreamingResponse:
    async def pieces() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"more"
                await asyncio.sleep(0.002)
        finally:
            seen.append("stream left")

    return StreamingResponse(pieces())


@app.get("/old")
async def old() -> RedirectResponse:
    return RedirectResponse("/async?from=old", status_code=308)


@app.get("/url/{rest:path}", name="url")
async def url(request: Request, rest: str) -> dict[str, Any]:
    return {
        "path": request.url.path,
        "query": request.url.query,
        "rest": rest,
        "root_path": request.scope["root_path"],
        "base": request.base_url.path,
        "for": request.url_for("url", rest="x").path,
        "params": list(request.query_params.multi_items()),
    }


@app.get("/empty", status_code=204)
async def empty() -> None:
    return None


@app.get("/not-modified")
async def not_modified() -> Response:
    return Response(status_code=304, headers={"etag": '"1"'})


@app.head("/head-only")
async def head_only() -> Response:
    return Response(headers={"content-length": "12345", "x-head": "yes"})


@app.api_route("/any", methods=["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"], include_in_schema=False)
async def any_method(request: Request) -> HTMLResponse:
    return HTMLResponse(f"<p>{request.method}</p>")


@app.get("/header-values")
async def header_values() -> Response:
    response = Response(b"", headers={"x-latin": "caf\xe9", "x-empty": "", "x-long": "v" * 6000})
    response.raw_headers.append((b"X-Mixed-Case", b" padded "))
    return response


@app.get("/headers")
async def headers(request: Request) -> list[list[str]]:
    return sorted([name, value] for name, value in request.headers.items() if name != "host")


inner = FastAPI()


@inner.get("/where")
async def where(request: Request) -> dict[str, str]:
    return {"root_path": request.scope["root_path"], "path": request.scope["path"]}


# Without a middleware: those between put their own receive in front of the server's.
bare = FastAPI()


@bare.get("/waiting")
async def waiting(request: Request) -> None:
    seen.append("arrived")
    while not await request.is_disconnected():
        await asyncio.sleep(0.002)
    seen.append("request left")


bare.get("/seen")(what_was_seen)

app.mount("/inner", inner)
app.mount("/public", StaticFiles(directory=PUBLIC, html=True))
