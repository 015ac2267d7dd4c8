"""FastAPI and SQLAlchemy with blocking sessions, as FastAPI's tutorial has them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, FastAPI
from sqlalchemy import create_engine
from sqlalchemy.orm import Session
from users_models import CONNECTIONS, PAGE, User, UserOut, url

engine = create_engine(url("psycopg"), pool_size=CONNECTIONS, max_overflow=0)
app = FastAPI()


def get_session() -> Iterator[Session]:
    """A session of one request."""
    with Session(engine) as session:
        yield session


@app.get("/", response_model=list[UserOut])
def page(session: Annotated[Session, Depends(get_session)]) -> list[User]:
    """The first hundred users by id."""
    return list(session.scalars(PAGE))
