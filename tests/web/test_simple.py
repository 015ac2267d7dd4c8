"""Which handlers can be told never to wait, from their code alone."""

from __future__ import annotations

import functools
import time
from typing import Any

import pytest

from pytest_fastr.web.simple import never_waits

TEXT = "text"
LOCK: Any = object()


def constant() -> dict[str, str]:
    return {"a": "b"}


def computes(a: int, b: str) -> list[Any]:
    return [a * 2, b + TEXT, len(b), str(a), {"x": sorted([a, 1])}, a if b else None]


def sleeps() -> None:
    time.sleep(1)


def calls_an_argument(call: Any) -> Any:
    return call.wait()


def takes_an_attribute(item: Any) -> Any:
    return item.lazy


def enters() -> None:
    with LOCK:
        pass


def loops(a: int) -> int:
    while a:
        a += 1
    return a


def calls_another() -> Any:
    return constant()


def imports() -> Any:
    import os

    return os


def generates() -> Any:
    yield 1


async def answers(a: int) -> Any:
    return {"a": a}


async def awaits(call: Any) -> Any:
    return await call


async def generates_late() -> Any:
    yield 1


@pytest.mark.parametrize("function", [constant, computes, lambda: 1, lambda x: {"id": x}, answers])
def test_plain_values_and_a_few_builtins_never_wait(function: Any) -> None:
    assert never_waits(function)


@pytest.mark.parametrize("function", [
    sleeps, calls_an_argument, takes_an_attribute, enters, loops, calls_another, imports, generates, awaits,
    generates_late, len, int,
    functools.partial(constant), LOCK, functools.wraps(constant)(lambda: 1),
])  # fmt: skip
def test_everything_else_may(function: Any) -> None:
    assert not never_waits(function)
