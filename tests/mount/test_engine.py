"""The engine's border: what Python can ask of it besides serving one application."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from pytest_fastr._native import Engine
from pytest_fastr.mount.asgi import RequestRunner
from pytest_fastr.mount.loop import EngineEventLoop


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = Engine()
    yield made
    made.close()


def mount(engine: Engine, loop: EngineEventLoop, prefix: str, text: bytes) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = text + b" " + scope["root_path"].encode() + b" " + scope["path"].encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    template = {"type": "http", "scheme": "http", "root_path": ""}
    engine.mount_asgi(prefix, RequestRunner(app, loop).start, loop.create_future, template)


def test_constants_and_mounts_share_one_engine(engine: Engine) -> None:
    host, port = engine.bind("127.0.0.1", 0)
    loop = EngineEventLoop(engine)
    mount(engine, loop, "/api", b"api")
    engine.add_constant("GET", "/ping", b"pong", 203, [(b"x-from", b"engine")])
    engine.listen()

    def ask(path: str, method: str = "GET") -> tuple[int, bytes]:
        try:
            with urlopen(Request(f"http://{host}:{port}{path}", method=method), timeout=10) as answer:
                return answer.status, answer.read()
        except HTTPError as error:
            return error.code, b""

    def client() -> None:
        assert ask("/ping") == (203, b"pong")
        assert ask("/ping", "POST") == (404, b"")
        assert ask("/api/items") == (200, b"api /api /api/items")
        assert ask("/other") == (404, b"")
        # Routes may be added while the engine serves.
        mount(engine, loop, "", b"root")
        engine.add_constant("GET", "/other", b"constant")
        assert ask("/other") == (200, b"constant")
        assert ask("/elsewhere") == (200, b"root  /elsewhere")

    try:
        loop.run_until_complete(asyncio.wait_for(loop.run_in_executor(None, client), 20))
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


@pytest.mark.parametrize(
    ("method", "path", "status", "headers"),
    [
        ("G T", "/", 200, []),
        ("GET", "ping", 200, []),
        ("GET", "/", 99, []),
        ("GET", "/", 200, [(b"a b", b"")]),
        ("GET", "/", 200, [(b"a", b"\n")]),
    ],
)
def test_a_constant_that_http_cannot_say_is_refused(
    engine: Engine, method: str, path: str, status: int, headers: list[tuple[bytes, bytes]]
) -> None:
    with pytest.raises(ValueError, match=r".+"):
        engine.add_constant(method, path, b"", status, headers)


def test_an_unknown_limit_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="max_conections"):
        Engine(max_conections=3)


def test_a_closed_engine_says_so(engine: Engine) -> None:
    engine.close()
    with pytest.raises(RuntimeError, match="closed"):
        engine.turn(0, False)
