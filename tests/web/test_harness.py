"""The differential test can fail: each kind of difference, planted on the engine's side, is found."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from support.web_apps import generate
from support.web_case import shrink
from support.web_compare import Difference, failing_line, run
from support.web_library import BLOCKS, complete
from support.web_requests import requests
from support.web_wire import Request

SOURCE = complete(
    """
app = FastAPI()

@app.get("/items/{number}")
async def read(number: int, tasks: BackgroundTasks):
    note("read", number)
    tasks.add_task(note, "later")
    return {"number": number}

@app.get("/cookies")
def cookies(response: Response):
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")

@app.get("/stream")
def stream():
    return StreamingResponse(iter([b"a", b"b"]))
""",
    {},
)


def wrapped(change: Callable[[dict[str, Any]], list[dict[str, Any]]]) -> Callable[[ModuleType], None]:
    """Puts something between the application and the engine that changes messages."""

    def tamper(module: ModuleType) -> None:
        inner = module.app

        async def app(scope: Any, receive: Any, send: Any) -> None:
            async def changed(message: dict[str, Any]) -> None:
                for one in change(message) if scope["type"] == "http" else [message]:
                    await send(one)

            await inner(scope, receive, changed)

        module.__dict__["app"] = app

    return tamper


def in_head(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[ModuleType], None]:
    return wrapped(lambda message: [{**message, **change(message)}] if message["type"].endswith("start") else [message])


def in_body(old: bytes, new: bytes) -> Callable[[ModuleType], None]:
    return wrapped(
        lambda message: [{**message, "body": message["body"].replace(old, new)}] if message.get("body") else [message]
    )


def runs_twice(module: ModuleType) -> None:
    """The handler runs for an answer that is thrown away, and again for the one that is sent."""
    inner = module.app

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def nowhere(message: Any) -> None:
            pass

        if scope["type"] == "http":
            await inner(dict(scope), receive, nowhere)
        await inner(scope, receive, send)

    module.__dict__["app"] = app


PLANTS: dict[str, tuple[str, Callable[[ModuleType], None], str]] = {
    "a status": ("/items/1", in_head(lambda message: {"status": 201}), "status 200 , not 201 "),
    "a byte of a body": ("/items/1", in_body(b"1", b"2"), "the body"),
    "a byte of an error": ("/items/x", in_body(b"valid", b"VALID"), "the body"),
    "a header more": ("/items/1", in_head(lambda one: {"headers": [*one["headers"], (b"x-more", b"1")]}), "unexpected"),
    "a header's value": (
        "/nowhere",
        in_head(lambda one: {"headers": [(name, value.upper()) for name, value in one["headers"]]}),
        "headers: missing",
    ),
    "the order of cookies": ("/cookies", in_head(lambda one: {"headers": one["headers"][::-1]}), "set-cookie"),
    "a piece of a stream": ("/stream", in_body(b"b", b""), "the body"),
    "a handler that runs twice": ("/items/1", runs_twice, "the journal"),
    "a side effect": ("/items/1", lambda module: setattr(module, "note", lambda *what: None), "the journal"),
}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("support.web_compare.JOURNAL_SECONDS", 0.2)


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_difference_is_found(name: str) -> None:
    target, tamper, what = PLANTS[name]
    difference = run(SOURCE, [Request("GET", target)], "asgi", tamper=tamper).difference
    assert difference is not None
    assert what in difference.what
    assert run(SOURCE, [Request("GET", target)], "asgi").difference is None


def test_a_background_task_that_is_lost_is_found() -> None:
    def lose(module: ModuleType) -> None:
        noted = module.note
        # The task is the same function: only that of the handler is kept.
        module.__dict__["note"] = lambda *what: noted(*what) if what != ("later",) else None

    difference = run(SOURCE, [Request("GET", "/items/1")], "asgi", tamper=lose).difference
    assert difference is not None
    assert difference.expected.journal == ("read 1", "later")
    assert difference.got.journal == ("read 1",)


def test_an_application_streams_to_its_end_though_the_answer_can_carry_no_more() -> None:
    source = complete(
        'app = FastAPI()\n\n@app.head("/")\ndef head():\n    return StreamingResponse(pieces())\n', BLOCKS
    )
    request = Request("HEAD", "/", ((b"host", b"h"), (b"connection", b"close")))
    assert run(source, [request], "asgi").difference is None


def test_a_failure_is_made_small_and_shown_whole() -> None:
    app = generate(3, failing_line)
    asked = requests(3, app, 20)

    def fails(smaller: Any, fewer: Any) -> Difference | None:
        with contextlib.suppress(Exception):
            return run(smaller.source, fewer, "asgi", tamper=in_head(lambda one: {"status": 299})).difference
        return None

    first = fails(app, asked)
    assert first is not None
    small = shrink(app, first, fails)
    assert len(small.requests) == 1
    assert len(small.source) < len(first.source)
    text = small.render("3")
    for part in ("seed: 3", "app = FastAPI(", repr(small.requests[0].wire()[0])[:6000], "expected", "got", "journal"):
        assert part in text


@pytest.mark.parametrize("seed", [1, 7, 30])
def test_a_seed_always_gives_the_same_case(seed: int) -> None:
    first, second = generate(seed, failing_line), generate(seed, failing_line)
    assert first.source == second.source
    assert requests(seed, first, 30) == requests(seed, second, 30)
