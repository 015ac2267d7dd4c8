"""The reference app is frozen, standard library only, and answers the same bytes for ever."""

from __future__ import annotations

import ast
import asyncio
import gc
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_fastr.gate import reference

FROZEN_SOURCE = "9255cdebbc290a3c7e20d22c3e42dd7bbe20dc6923bd29f2a15e775edfe2800f"
FROZEN_ANSWER = "9b03c301e5a6398b5e344a42d814f4242381cebbd7f0bb25f3024301981e277f"


def scope(method: str = "GET", path: str = "/", headers: dict[str, str] | None = None) -> dict[str, Any]:
    """An HTTP scope as an ASGI server hands it over."""
    lines = {"host": "127.0.0.1", **(headers or {})}
    return {
        "type": "http",
        "method": method,
        "path": path,
        "headers": [(key.encode("latin-1"), value.encode("latin-1")) for key, value in lines.items()],
    }


async def ask(request: dict[str, Any]) -> list[dict[str, Any]]:
    """All messages that the app sends for one request; it reads no body."""
    sent: list[dict[str, Any]] = []

    async def receive() -> Any:
        raise AssertionError("a GET has no body to wait for")

    async def send(message: Any) -> None:
        sent.append(dict(message))

    await reference.app(request, receive, send)
    return sent


def body_of(**options: Any) -> bytes:
    """The response body of one request."""
    body: bytes = asyncio.run(ask(scope(**options)))[1]["body"]
    return body


def test_its_source_is_the_frozen_one_of_this_protocol_version() -> None:
    source = Path(reference.__file__).read_bytes()
    assert hashlib.sha256(source).hexdigest() == FROZEN_SOURCE, (
        "a change of the reference app voids every stored baseline: raise REFERENCE_VERSION with it"
    )


def test_it_answers_the_frozen_bytes() -> None:
    start, body = asyncio.run(ask(scope()))
    assert start["status"] == 200
    assert dict(start["headers"]) == {
        b"content-type": b"application/json",
        b"content-length": str(len(body["body"])).encode(),
    }
    assert hashlib.sha256(body["body"]).hexdigest() == FROZEN_ANSWER
    assert json.loads(body["body"])["version"] == reference.REFERENCE_VERSION


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer somebody-elses-token"},
        {"authorization": "no token at all"},
        {"user-agent": "ümlaut", "accept": "text/html", "x-request-id": "7"},
    ],
)
def test_no_header_changes_a_byte_of_the_answer(headers: dict[str, str]) -> None:
    assert body_of(headers=headers) == body_of()


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/missing", 404), ("POST", "/", 405)])
def test_it_serves_one_path_and_one_method(method: str, path: str, status: int) -> None:
    start = asyncio.run(ask(scope(method, path)))[0]
    assert start["status"] == status


def test_it_imports_the_standard_library_alone() -> None:
    tree = ast.parse(Path(reference.__file__).read_text(encoding="utf-8"))
    imported: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
    assert imported <= set(sys.stdlib_module_names)


def test_a_request_leaves_nothing_for_the_garbage_collector() -> None:
    async def many() -> int:
        await ask(scope())
        gc.collect()
        for _ in range(50):
            await ask(scope())
        return gc.collect()

    was_enabled = gc.isenabled()
    gc.disable()
    try:
        assert asyncio.run(many()) == 0
    finally:
        if was_enabled:
            gc.enable()


def test_it_takes_part_in_lifespan() -> None:
    incoming = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    sent: list[str] = []

    async def receive() -> Any:
        return next(incoming)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    asyncio.run(reference.app({"type": "lifespan"}, receive, send))
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_it_refuses_what_is_not_http() -> None:
    with pytest.raises(RuntimeError, match="HTTP only, not websocket"):
        asyncio.run(ask({"type": "websocket"}))
