"""What travels over HTTP."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ItemOut(BaseModel):
    """One item, as clients see it."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str
    description: str
    category: str
    price_cents: int
    stock: int


class ItemPage(BaseModel):
    """A page of items."""

    items: list[ItemOut]
    total: int
    offset: int
    limit: int


class SearchHit(BaseModel):
    """An item that resembles the query, and how much: 1 is a match of every letter."""

    id: int
    name: str
    score: float


class SearchResult(BaseModel):
    """The best hits, best first."""

    query: str
    hits: list[SearchHit]


class CustomerIn(BaseModel):
    """Who an order is sent to."""

    name: str = Field(min_length=1, max_length=80)
    email: str = Field(max_length=120, pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")


class OrderLineIn(BaseModel):
    """How many of which item."""

    item_id: int = Field(ge=1)
    quantity: int = Field(ge=1, le=100)


class OrderIn(BaseModel):
    """An order, as a client places it."""

    model_config = ConfigDict(extra="forbid")

    customer: CustomerIn
    lines: list[OrderLineIn] = Field(min_length=1, max_length=50)
    note: str | None = Field(default=None, max_length=400)


class OrderOut(BaseModel):
    """A placed order."""

    id: int
    customer: str
    pieces: int
    total_cents: int


class CategoryReport(BaseModel):
    """The stock of one category in numbers."""

    category: str
    items: int
    pieces: int
    value_cents: int
    median_price_cents: float
    price_spread_cents: float
    top_items: list[str]


class Report(BaseModel):
    """The whole stock, category by category, the most valuable first."""

    value_cents: int
    categories: list[CategoryReport]
