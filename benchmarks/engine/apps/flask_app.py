"""Flask: the constant answer by WSGI."""

from __future__ import annotations

from flask import Flask, Response

app = Flask(__name__)


@app.get("/sync/hello")
def hello() -> Response:
    return Response('{"message":"Hello, World!"}', mimetype="application/json")
