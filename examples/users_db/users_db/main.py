"""The app: `pytest-fastr serve users_db.main:app` serves it, and so does uvicorn."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, HTTPException

from pytest_fastr.web import FastrAPI, app_scope
from users_db.seed import User
from users_db.store import Store, opened

app = FastrAPI(title="Users")


@app_scope
async def store() -> AsyncIterator[Store]:
    """The database, open for as long as the app runs."""
    async with opened(os.environ.get("DATABASE_URL")) as store:
        yield store


StoreDep = Annotated[Store, Depends(store)]


# Rows come typed out of the database: a response model would only check them again.
@app.get("/", response_model=None)
async def page(store: StoreDep) -> list[User]:
    """The first hundred users by id."""
    return await store.page()


@app.get("/users/{user_id}", response_model=None)
async def user(user_id: str, store: StoreDep) -> User:
    """One user."""
    found = await store.user(user_id)
    if found is None:
        raise HTTPException(404, "there is no such user")
    return found
