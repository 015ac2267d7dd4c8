"""The same small shop in Quart."""

from collections.abc import AsyncIterator
from typing import Any

from quart import Quart, Response, abort, redirect, request

app = Quart(__name__)


@app.get("/")
async def root() -> dict[str, Any]:
    return {"shop": "caf\xe9", "open": True}


@app.get("/items/<int:item_id>")
async def item(item_id: int) -> dict[str, Any]:
    return {"id": item_id, "q": request.args.getlist("q"), "url": request.url}


@app.post("/echo")
async def echo() -> Response:
    return Response(await request.get_data(), mimetype="application/octet-stream")


@app.post("/form")
async def form() -> Any:
    return (await request.form).to_dict(flat=False)


@app.get("/stream")
async def stream() -> Any:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(5):
            yield f"piece {number}\n".encode()

    return pieces(), 200, {"content-type": "text/plain"}


@app.get("/headers")
async def headers() -> dict[str, str]:
    return {
        name: value for name, value in sorted(request.headers.items()) if name.lower() not in ("host", "remote-addr")
    }


@app.get("/cookies")
async def cookies() -> Response:
    response = Response(request.cookies.get("a", "none"))
    response.set_cookie("b", "2", httponly=True)
    response.set_cookie("c", "3")
    return response


@app.get("/old")
async def old() -> Any:
    return redirect("/")


@app.get("/empty")
async def empty() -> tuple[str, int]:
    return "", 204


@app.get("/denied")
async def denied() -> str:
    abort(403)


@app.get("/bug")
async def bug() -> str:
    raise RuntimeError("a bug")
