"""The same small shop in Starlette."""

from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route


async def root(request: Request) -> Response:
    return JSONResponse({"shop": "caf\xe9", "open": True})


async def item(request: Request) -> Response:
    found = request.path_params["item_id"]
    return JSONResponse({"id": found, "q": request.query_params.getlist("q"), "url": str(request.url)})


async def echo(request: Request) -> Response:
    return Response(await request.body(), media_type="application/octet-stream")


async def form(request: Request) -> Response:
    data = await request.form()
    return JSONResponse(
        [[name, value if isinstance(value, str) else value.filename] for name, value in data.multi_items()]
    )


async def stream(request: Request) -> Response:
    async def pieces() -> AsyncIterator[str]:
        for number in range(5):
            yield f"piece {number}\n"

    return StreamingResponse(pieces(), media_type="text/plain")


def headers(request: Request) -> Response:
    return JSONResponse(sorted((name, value) for name, value in request.headers.items() if name != "host"))


async def cookies(request: Request) -> Response:
    response = PlainTextResponse(request.cookies.get("a", "none"))
    response.set_cookie("b", "2", httponly=True)
    response.set_cookie("c", "3")
    return response


async def old(request: Request) -> Response:
    return RedirectResponse("/")


async def empty(request: Request) -> Response:
    return Response(status_code=204)


async def denied(request: Request) -> Response:
    return PlainTextResponse("no", 403)


async def bug(request: Request) -> Response:
    raise RuntimeError("a bug")


app = Starlette(
    routes=[
        Route("/", root),
        Route("/items/{item_id:int}", item),
        Route("/echo", echo, methods=["POST"]),
        Route("/form", form, methods=["POST"]),
        *(Route(f"/{one.__name__}", one) for one in (stream, headers, cookies, old, empty, denied, bug)),
    ]
)
