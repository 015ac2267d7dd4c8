"""The rows that the table is filled with: the same ones every time, so that an answer can be known beforehand."""

from __future__ import annotations

from hashlib import md5
from typing import TypedDict
from uuid import UUID

COUNT = 2000
PAGE_SIZE = 100
TABLE = """
CREATE TABLE "users" (user_id TEXT PRIMARY KEY NOT NULL, username TEXT NOT NULL UNIQUE, email TEXT NOT NULL UNIQUE)
"""
PAGE = f'SELECT * FROM "users" ORDER BY user_id LIMIT {PAGE_SIZE}'


class User(TypedDict):
    """A row, with its columns in their order."""

    user_id: str
    username: str
    email: str


def users() -> list[User]:
    """All rows. The ids are spread, as random ones would be."""
    return [
        {
            "user_id": str(UUID(bytes=md5(str(number).encode(), usedforsecurity=False).digest())),
            "username": f"user{number}",
            "email": f"user{number}@example.com",
        }
        for number in range(1, COUNT + 1)
    ]


def first_page() -> list[User]:
    """What `PAGE` selects."""
    return sorted(users(), key=lambda user: user["user_id"])[:PAGE_SIZE]
