"""What all applications have in common: their data, the work that computes, and which routes this process registers."""

from __future__ import annotations

import os
from typing import TypedDict

from pydantic import BaseModel

HELLO = {"message": "Hello, World!"}
BUSY_STEPS = 100_000
"""A counted loop, not a time: about 5 ms of pure Python."""


class Line(BaseModel):
    """A position of an order."""

    sku: str
    quantity: int
    price: float


class Order(BaseModel):
    """Six fields, and a list of nested models."""

    id: int
    customer: str
    email: str
    paid: bool
    discount: float
    comment: str | None = None
    lines: list[Line]


class Registered(TypedDict):
    """The routes of a process: the ordinary ones, or so many literals, or so many templates."""

    kind: str
    count: int


def registered() -> Registered:
    """What the environment asks this process to register (``plain``, ``literals:N``, ``templates:N``)."""
    kind, _, count = os.environ.get("BENCH_ROUTES", "plain").partition(":")
    return {"kind": kind, "count": int(count or 0)}


def busy() -> int:
    """Computes without ever letting the interpreter go by itself."""
    total = 0
    for step in range(BUSY_STEPS):
        total += step % 7
    return total
