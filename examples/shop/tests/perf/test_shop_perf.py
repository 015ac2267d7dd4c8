"""How fast the shop is: `pytest --perf` measures; without `--perf` each request is tried once."""

from __future__ import annotations

import pytest

from pytest_fastr import Perf

pytestmark = pytest.mark.perf(users=20, duration="3s")

ORDER = {
    "customer": {"name": "Ada", "email": "ada@example.org"},
    "lines": [
        {"item_id": 1, "quantity": 2},
        {"item_id": 7, "quantity": 1},
        {"item_id": 30, "quantity": 4},
    ],
}


def test_health(perf: Perf) -> None:
    perf.get("/health")


def test_items(perf: Perf) -> None:
    perf.get("/items?offset=40&limit=20")


def test_search(perf: Perf) -> None:
    perf.get("/search?q=coper+ketle+for+kitchn")


def test_orders(perf: Perf) -> None:
    perf.post("/orders", json=ORDER, headers={"x-user": "ada"}, expect=201)


def test_report(perf: Perf) -> None:
    perf.get("/report")
