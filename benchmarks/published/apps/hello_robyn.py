"""The constant answer by robyn, as its documentation writes it."""

# No `from __future__ import annotations`: robyn reads annotations as objects.

import os

from robyn import Robyn

app = Robyn(__file__)


@app.get("/")
def hello() -> dict[str, str]:
    """The same words for everybody."""
    return {"message": "Hello, World!"}


if __name__ == "__main__":
    app.start(host="127.0.0.1", port=int(os.environ["BENCH_PORT"]))
