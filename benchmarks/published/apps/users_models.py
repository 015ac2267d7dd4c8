"""What the applications with SQLAlchemy share: the table, the query and the answer's model."""

from __future__ import annotations

import os

from pydantic import BaseModel, ConfigDict
from sqlalchemy import select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

CONNECTIONS = 5
DATABASE_URL = os.environ["DATABASE_URL"]


class Base(DeclarativeBase):
    """What mapped classes have in common."""


class User(Base):
    """A row."""

    __tablename__ = "users"

    user_id: Mapped[str] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(unique=True)
    email: Mapped[str] = mapped_column(unique=True)


class UserOut(BaseModel):
    """A user, as clients see it."""

    model_config = ConfigDict(from_attributes=True)

    user_id: str
    username: str
    email: str


PAGE = select(User).order_by(User.user_id).limit(100)


def url(driver: str) -> str:
    """The database's URL, for SQLAlchemy and one of its drivers."""
    return DATABASE_URL.replace("postgresql://", f"postgresql+{driver}://", 1)
