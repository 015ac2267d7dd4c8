"""What endpoints ask for.

A dependency that waits for nothing is `async`: FastAPI sends every other one through its pool of threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, Header, HTTPException, Request
from sqlalchemy.orm import Session

from shop.database import Database
from shop.search import SearchIndex
from shop.settings import Settings


async def get_settings(request: Request) -> Settings:
    """The settings that the app was started with."""
    settings: Settings = request.app.state.settings
    return settings


async def get_database(request: Request) -> Database:
    """The database of this process."""
    database: Database = request.app.state.database
    return database


async def get_search_index(request: Request) -> SearchIndex:
    """The search index, built at startup."""
    index: SearchIndex = request.app.state.search_index
    return index


def get_session(database: Annotated[Database, Depends(get_database)]) -> Iterator[Session]:
    """A session to read with, closed after the response."""
    with database.session() as session:
        yield session


async def get_user(x_user: Annotated[str | None, Header(max_length=80)] = None) -> str:
    """Who is asking; a gateway in front of the shop signs people in and sets `x-user`."""
    if not x_user:
        raise HTTPException(401, "sign in first (header x-user)")
    return x_user


SettingsDep = Annotated[Settings, Depends(get_settings)]
DatabaseDep = Annotated[Database, Depends(get_database)]
SearchIndexDep = Annotated[SearchIndex, Depends(get_search_index)]
SessionDep = Annotated[Session, Depends(get_session)]
UserDep = Annotated[str, Depends(get_user)]
