"""What the app answers, asked over HTTP: `perf_server` runs it on the engine that the perf tests load."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from users_db import store
from users_db.seed import COUNT, first_page, users


@pytest.fixture
def client(perf_server: str) -> Iterator[httpx.Client]:
    """A client of the running app."""
    with httpx.Client(base_url=perf_server, timeout=10) as client:
        yield client


def test_the_page_has_the_first_hundred_users_by_id(client: httpx.Client) -> None:
    response = client.get("/")
    assert response.status_code == 200
    assert response.json() == first_page()
    ids = [user["user_id"] for user in response.json()]
    assert len(ids) == 100
    assert ids == sorted(ids)


def test_a_user_can_be_had_by_id(client: httpx.Client) -> None:
    wanted = users()[41]
    assert client.get(f"/users/{wanted['user_id']}").json() == wanted


@pytest.mark.parametrize("user_id", ["nobody", "' OR '1'='1", "%F0%9F%A6%80"])
def test_a_user_that_is_not_there_is_404(client: httpx.Client, user_id: str) -> None:
    response = client.get(f"/users/{user_id}")
    assert response.status_code == 404
    assert response.json() == {"detail": "there is no such user"}


def test_an_empty_database_url_is_none() -> None:
    async def kind() -> type:
        async with store.opened("") as opened:
            return type(opened)

    assert asyncio.run(kind()) is store.SqliteStore


def test_the_rows_are_the_same_every_time_and_no_two_alike() -> None:
    assert users() == users()
    assert len({user["user_id"] for user in users()}) == COUNT


def test_a_database_url_without_asyncpg_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "asyncpg", None)

    async def enter() -> None:
        async with store.opened("postgresql://127.0.0.1:1/users"):
            pass

    with pytest.raises(RuntimeError, match="pip install asyncpg, or unset it"):
        asyncio.run(enter())
