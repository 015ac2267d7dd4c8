"""FastAPI and a pool of asyncpg, without SQLAlchemy: what was published as FastAPI (async)."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import asyncpg
from fastapi import Depends, FastAPI, Request
from pydantic import BaseModel

CONNECTIONS = 5
PAGE = 'SELECT * FROM "users" ORDER BY user_id LIMIT 100'


class User(BaseModel):
    """A user, as clients see it."""

    user_id: str
    username: str
    email: str


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Opens the pool, and closes it at the end."""
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=CONNECTIONS, max_size=CONNECTIONS) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan)


async def get_connection(request: Request) -> AsyncIterator[Any]:
    """A connection for one request."""
    async with request.app.state.pool.acquire() as connection:
        yield connection


@app.get("/", response_model=list[User])
async def page(connection: Annotated[Any, Depends(get_connection)]) -> list[dict[str, str]]:
    """The first hundred users by id."""
    return [dict(row) for row in await connection.fetch(PAGE)]
