"""The constant answer by fastrapi, as its documentation writes it."""

# No `from __future__ import annotations`: fastrapi reads annotations as objects.

import os

from fastrapi import FastrAPI

app = FastrAPI()


@app.get("/")
def hello() -> dict[str, str]:
    """The same words for everybody."""
    return {"message": "Hello, World!"}


if __name__ == "__main__":
    app.serve("127.0.0.1", int(os.environ["BENCH_PORT"]))
