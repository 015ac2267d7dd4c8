"""Requests that were damaged at random, sent to a server with native lanes: it answers something sound, and lives."""

from __future__ import annotations

import argparse
import logging
import random
import re
import socket
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

from fastapi import Cookie, Depends, FastAPI, Form, Header, Query, WebSocket
from pydantic import BaseModel

import pytest_fastr
from pytest_fastr import Server

OWN = Path(pytest_fastr.__file__).parent
_SERVER_LOG = logging.getLogger("pytest_fastr.server")
SOUND = re.compile(rb"HTTP/1\.[01] [1-5]\d\d [^\r\n]*\r\n(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n]*\r\n)*\r\n")
CHECK_EVERY = 20

_SEEDS = [
    b"GET / HTTP/1.1\r\nhost: h\r\n\r\n",
    b"GET /users/12?flag=true&number=1.5&tags=a&tags=b HTTP/1.1\r\nhost: h\r\n"
    b"cookie: a=1; session=x\r\nx-token: t\r\n\r\n",
    b"GET /files/a%2Fb/%C3%A9.txt?q=%20+x HTTP/1.1\r\nhost: h\r\naccept-encoding: gzip\r\norigin: http://a\r\n\r\n",
    b'POST /items HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\ncontent-length: 45\r\n\r\n'
    b'{"name": "a\\u00e9", "price": 1e3, "tags": [1]}',
    b"POST /items HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    b'e\r\n{"name": "b" }\r\n0\r\nx: y\r\n\r\n',
    b"POST /form HTTP/1.1\r\nhost: h\r\ncontent-type: application/x-www-form-urlencoded\r\n"
    b"content-length: 7\r\n\r\na=1&b=2",
    b"GET /socket HTTP/1.1\r\nhost: h\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\x81\x85\x00\x00\x00\x00hello",
    b"OPTIONS /items HTTP/1.1\r\nhost: h\r\norigin: http://a\r\naccess-control-request-method: POST\r\n\r\n",
]  # fmt: skip
_PIECES = [
    b"\r\n", b"\n", b"\r", b"\x00", b" ", b"\t", b":", b"%", b"%ff", b"%2", b"\xff\xfe", b"{", b"}", b"[" * 300, b'"',
    b"content-length: 5\r\n", b"transfer-encoding: chunked\r\n", b"host: x\r\n", b"x" * 5000, b"1e999", b"-0",
    b"9" * 400, b"HTTP/1.1", b"HTTP/1.0", b"?", b"&", b"=", b"#", b"..", b"//", b"\xc3\x28", b"\\ud800", b"NaN",
]  # fmt: skip


class Item(BaseModel):
    name: str
    price: float = 0
    tags: list[int] = []


def page(q: str = "") -> str:
    return q


def make_app() -> FastAPI:
    """An application with every kind of native route, and a few that are not."""
    app = FastAPI()

    @app.get("/")
    def root() -> str:
        return "root"

    @app.get("/users/{user_id}")
    async def user(
        user_id: int,
        flag: bool = False,
        number: float = 0,
        tags: Annotated[list[str], Query()] = [],  # noqa: B006
        a: Annotated[int, Cookie()] = 0,
        x_token: Annotated[str, Header()] = "",
    ) -> list[Any]:
        return [user_id, flag, number, tags, a, x_token]

    @app.get("/files/{path:path}")
    async def file(path: str, q: Annotated[str, Depends(page)]) -> list[str]:
        return [path, q]

    @app.post("/items")
    async def items(item: Item) -> Item:
        return item

    @app.post("/form")
    async def form(a: Annotated[int, Form()]) -> int:
        return a

    @app.websocket("/socket")
    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(await websocket.receive_text())
        await websocket.close()

    return app


def damaged(draw: random.Random) -> bytes:
    """One of the seeds after some edits."""
    text = bytearray(draw.choice(_SEEDS))
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        at = draw.randrange(len(text) + 1)
        until = min(len(text), at + draw.choice((0, 1, 1, 4, 30)))
        kind = draw.randrange(4)
        if kind == 0:
            text[at:until] = b""
        elif kind == 1:
            text[at:until] = draw.choice(_PIECES)
        elif kind == 2:
            text[at:until] = bytes(draw.randrange(256) for _ in range(draw.randint(1, 4)))
        else:
            other = draw.choice(_SEEDS)
            text[at:at] = other[draw.randrange(len(other)) :][: draw.randint(1, 60)]
    return bytes(text)


def fuzz(seed: int, *, count: int | None = None, seconds: float | None = None) -> Counter[str]:
    """Sends damaged requests. Returns how they ended. Raises AssertionError with the request that broke something."""
    draw, ends, until = random.Random(seed), Counter[str](), time.monotonic() + (seconds or 1e9)
    limits = {"header_timeout": 0.2, "body_timeout": 0.2}
    with _Faults() as faults, Server(make_app(), mount="native", limits=limits) as server:
        number, sent = 0, []
        while (count is None or number < count) and time.monotonic() < until:
            sent.append(damaged(draw))
            ends[_send(server, sent[-1])] += 1
            number += 1
            if number % CHECK_EVERY == 0:
                assert _send(server, _SEEDS[0], b'"root"') == "200", sent
                assert not faults.seen, (faults.seen, sent)
                sent.clear()
    return ends


class _Faults(logging.Handler):
    """What went wrong in the engine and its Python side. FastAPI has faults of its own, with bytes that are no text."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def __enter__(self) -> _Faults:
        self._hook, sys.unraisablehook = sys.unraisablehook, self._note_unraisable
        _SERVER_LOG.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        _SERVER_LOG.removeHandler(self)
        sys.unraisablehook = self._hook

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        frames = traceback.extract_tb(error.__traceback__) if error is not None else []
        if not frames or OWN in Path(frames[-1].filename).parents or "panic" in str(error):
            self.seen.append(self.format(record))

    def _note_unraisable(self, unraisable: Any) -> None:
        self.seen.append(f"unraisable: {unraisable.exc_value!r} in {unraisable.object!r}")


def _send(server: Server, request: bytes, expected: bytes = b"") -> str:
    """How a connection ended on which only this was sent: by its status, or without an answer."""
    with socket.create_connection((server.host, server.port), 20) as client:
        answer = b""
        try:
            client.sendall(request)
            client.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: client.recv(65536), b""))
        except (ConnectionResetError, BrokenPipeError):
            if not answer:
                return "reset"
        except TimeoutError:
            raise AssertionError(f"no end after {request!r}; so far {answer!r}") from None
    if not answer:
        return "nothing"
    assert SOUND.match(answer), (request, answer)
    assert answer.endswith(expected), (request, answer)
    return answer[9:12].decode()


def main() -> None:
    """Runs for a while: ``python tests/web/run_fuzz.py --seconds 600``."""
    parser = argparse.ArgumentParser(description="Damaged requests for native lanes.")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    ends = fuzz(options.seed, seconds=options.seconds)
    print(f"{sum(ends.values())} requests: {', '.join(f'{end} x {count}' for end, count in ends.most_common())}")
