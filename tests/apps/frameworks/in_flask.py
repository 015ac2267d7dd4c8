"""The same small shop in Flask."""

from collections.abc import Iterator
from typing import Any

from flask import Flask, Response, abort, redirect, request, session

app = Flask(__name__)
app.secret_key = "secret"


@app.get("/")
def root() -> dict[str, Any]:
    return {"shop": "caf\xe9", "open": True}


@app.get("/items/<int:item_id>")
def item(item_id: int) -> dict[str, Any]:
    return {"id": item_id, "q": request.args.getlist("q"), "url": request.url, "root": request.root_path}


@app.post("/echo")
def echo() -> Response:
    return Response(request.get_data(), mimetype="application/octet-stream", headers={"x-len": str(len(request.data))})


@app.post("/json")
def as_json() -> Any:
    return {"got": request.get_json()}


@app.post("/form")
def form() -> Any:
    files = {name: [file.filename, len(file.read())] for name, file in request.files.items()}
    return {"form": request.form.to_dict(flat=False), "files": files}


@app.get("/stream")
def stream() -> Response:
    def pieces() -> Iterator[str]:
        for number in range(5):
            yield f"piece {number}\n"

    return Response(pieces(), mimetype="text/plain")


@app.get("/headers")
def headers() -> dict[str, str]:
    return {name: value for name, value in sorted(request.headers.items()) if name.lower() != "host"}


@app.get("/cookies")
def cookies() -> Response:
    response = Response(request.cookies.get("a", "none"))
    response.set_cookie("b", "2", httponly=True)
    response.set_cookie("c", "3")
    return response


@app.get("/visits")
def visits() -> str:
    session["visits"] = 1
    return "counted"


@app.get("/old")
def old() -> Any:
    return redirect("/")


@app.get("/empty")
def empty() -> tuple[str, int]:
    return "", 204


@app.get("/denied")
def denied() -> str:
    abort(403)


@app.get("/bug")
def bug() -> str:
    raise RuntimeError("a bug")
