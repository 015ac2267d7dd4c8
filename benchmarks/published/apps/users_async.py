"""FastAPI and SQLAlchemy with asynchronous sessions on asyncpg."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from users_models import CONNECTIONS, PAGE, User, UserOut, url

engine = create_async_engine(url("asyncpg"), pool_size=CONNECTIONS, max_overflow=0)
app = FastAPI()


async def get_session() -> AsyncIterator[AsyncSession]:
    """A session of one request."""
    async with AsyncSession(engine) as session:
        yield session


@app.get("/", response_model=list[UserOut])
async def page(session: Annotated[AsyncSession, Depends(get_session)]) -> list[User]:
    """The first hundred users by id."""
    return list(await session.scalars(PAGE))
