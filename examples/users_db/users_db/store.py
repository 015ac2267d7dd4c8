"""Where users are kept: PostgreSQL behind a pool, or SQLite in the memory of the process."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol, cast

from users_db.seed import PAGE, TABLE, User, users

try:
    import asyncpg
except ModuleNotFoundError:  # Only PostgreSQL needs it.
    asyncpg = None

CONNECTIONS = 5
_ONE = 'SELECT * FROM "users" WHERE user_id = '


class Store(Protocol):
    """What handlers ask a database for."""

    async def page(self) -> list[User]:
        """The first users by id."""

    async def user(self, user_id: str) -> User | None:
        """The user of this id."""


class SqliteStore:
    """SQLite. It answers from memory, sooner than a thread would be there, so it is asked on the loop's thread."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Use a connection, whose rows become dictionaries."""
        connection.row_factory = _as_dict
        self._connection = connection

    async def page(self) -> list[User]:
        """The first users by id."""
        return cast("list[User]", self._connection.execute(PAGE).fetchall())

    async def user(self, user_id: str) -> User | None:
        """The user of this id."""
        return cast("User | None", self._connection.execute(f"{_ONE}?", (user_id,)).fetchone())


class PostgresStore:
    """PostgreSQL by asyncpg."""

    def __init__(self, pool: Any) -> None:
        """Use an `asyncpg.Pool`."""
        self._pool = pool

    async def page(self) -> list[User]:
        """The first users by id."""
        # Taken apart by position: a third of what `dict(row)` costs.
        rows = await self._pool.fetch(PAGE)
        return [{"user_id": id, "username": username, "email": email} for id, username, email in rows]

    async def user(self, user_id: str) -> User | None:
        """The user of this id."""
        row = await self._pool.fetchrow(f"{_ONE}$1", user_id)
        return None if row is None else cast("User", dict(row))


@asynccontextmanager
async def opened(url: str | None) -> AsyncIterator[Store]:
    """The store of a PostgreSQL URL; without one, SQLite. Its table is made and filled where there is none."""
    if not url:
        connection = sqlite3.connect(":memory:")
        try:
            connection.execute(TABLE)
            connection.executemany('INSERT INTO "users" VALUES (:user_id, :username, :email)', users())
            yield SqliteStore(connection)
        finally:
            connection.close()
        return
    if asyncpg is None:
        raise RuntimeError("DATABASE_URL is set, and asyncpg is not installed: pip install asyncpg, or unset it")
    async with pool_of(url, CONNECTIONS) as pool:
        await fill(pool)
        yield PostgresStore(pool)


def pool_of(url: str, connections: int) -> Any:
    """An `asyncpg.Pool`. Nothing here changes a session, so none is reset when its connection goes back."""
    return asyncpg.create_pool(url, min_size=connections, max_size=connections, reset=_keep)


async def fill(pool: Any) -> bool:
    """Makes and fills the table of an `asyncpg.Pool`, unless there is one. Returns whether it did."""
    async with pool.acquire() as connection, connection.transaction():
        # Servers start beside each other: the second one waits here until the first one has committed.
        await connection.execute("SELECT pg_advisory_xact_lock(hashtext('users_db'))")
        if await connection.fetchval("""SELECT to_regclass('"users"')""") is not None:
            return False
        await connection.execute(TABLE)
        await connection.copy_records_to_table("users", records=[tuple(user.values()) for user in users()])
        return True


async def _keep(_connection: object) -> None:
    pass


def _as_dict(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> dict[str, Any]:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}
