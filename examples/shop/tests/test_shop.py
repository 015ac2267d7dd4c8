"""What the shop does, asked over HTTP: `perf_server` runs it on the engine that the perf tests load."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from shop.database import KEPT_ORDERS
from shop.slowdown import Slowdown

ORDER = {
    "customer": {"name": "Ada", "email": "ada@example.org"},
    "lines": [{"item_id": 1, "quantity": 2}, {"item_id": 7, "quantity": 1}],
}


@pytest.fixture
def client(perf_server: str) -> Iterator[httpx.Client]:
    """A client of the running shop."""
    with httpx.Client(base_url=perf_server, timeout=10) as client:
        yield client


def order_with(**changes: Any) -> dict[str, Any]:
    """A good order, changed."""
    return {**ORDER, **changes}


def test_it_is_healthy(client: httpx.Client) -> None:
    response = client.get("/health")
    assert response.status_code == 200
    assert response.json() == {"status": "ok"}


def test_a_request_id_is_taken_over_or_made(client: httpx.Client) -> None:
    assert client.get("/health", headers={"x-request-id": "mine"}).headers["x-request-id"] == "mine"
    assert len(client.get("/health").headers["x-request-id"]) == 32


def test_pages_of_items_follow_each_other(client: httpx.Client) -> None:
    first = client.get("/items", params={"limit": 5}).json()
    second = client.get("/items", params={"limit": 5, "offset": 5}).json()
    names = [item["name"] for item in first["items"] + second["items"]]
    assert len(names) == 10
    assert names == sorted(names)
    assert first["total"] == 416


def test_items_can_be_had_by_category(client: httpx.Client) -> None:
    page = client.get("/items", params={"category": "garden", "limit": 100}).json()
    assert page["total"] == len(page["items"]) == 80
    assert {item["category"] for item in page["items"]} == {"garden"}


def test_an_item_that_is_not_there_is_404(client: httpx.Client) -> None:
    assert client.get("/items/1").json()["id"] == 1
    assert client.get("/items/999999").status_code == 404


def test_search_forgives_misspelling(client: httpx.Client) -> None:
    hits = client.get("/search", params={"q": "coper ketle"}).json()["hits"]
    assert {hit["name"] for hit in hits[:2]} == {"small copper kettle", "large copper kettle"}


def test_a_search_for_nothing_is_refused(client: httpx.Client) -> None:
    assert client.get("/search", params={"q": ""}).status_code == 422
    assert client.get("/search", params={"q": " "}).json()["hits"] == []


def test_an_order_is_priced(client: httpx.Client) -> None:
    prices = [client.get(f"/items/{number}").json()["price_cents"] for number in (1, 7)]
    response = client.post("/orders", json=ORDER, headers={"x-user": "ada"})
    assert response.status_code == 201
    order = response.json()
    assert order["customer"] == "ada"
    assert order["pieces"] == 3
    assert order["total_cents"] == 2 * prices[0] + prices[1]


@pytest.mark.parametrize(
    ("order", "status"),
    [
        (order_with(lines=[]), 422),
        (order_with(lines=[{"item_id": 1, "quantity": 0}]), 422),
        (order_with(customer={"name": "Ada", "email": "nowhere"}), 422),
        (order_with(discount=100), 422),
        (order_with(lines=[{"item_id": 999999, "quantity": 1}]), 404),
    ],
)
def test_a_wrong_order_is_refused(client: httpx.Client, order: dict[str, Any], status: int) -> None:
    assert client.post("/orders", json=order, headers={"x-user": "ada"}).status_code == status


def test_only_who_is_signed_in_can_order(client: httpx.Client) -> None:
    assert client.post("/orders", json=ORDER).status_code == 401


def test_orders_never_grow_without_bound(client: httpx.Client) -> None:
    numbers = [
        client.post("/orders", json=ORDER, headers={"x-user": "ada"}).json()["id"] for _ in range(KEPT_ORDERS + 1)
    ]
    assert max(numbers) <= KEPT_ORDERS
    assert numbers[-1] == numbers[0]


def test_the_report_adds_up(client: httpx.Client) -> None:
    report = client.get("/report").json()
    values = [category["value_cents"] for category in report["categories"]]
    assert sum(category["items"] for category in report["categories"]) == 416
    assert sum(values) == report["value_cents"]
    assert values == sorted(values, reverse=True)


def test_a_planted_slowdown_is_more_rounds_of_the_named_endpoint_alone() -> None:
    slowdown = Slowdown.parse("/search:20")
    assert 416 * 0.2 < slowdown.extra_rounds("/search", 416) < 416 * 0.4
    assert slowdown.extra_rounds("/report", 416) == 0
    assert Slowdown.parse("").extra_rounds("/search", 416) == 0


def test_a_slowdown_of_an_endpoint_without_rounds_is_refused() -> None:
    with pytest.raises(ValueError, match="can't be slowed down; these can: /search"):
        Slowdown.parse("/health:20")
