"""The app: `uvicorn shop.main:app` serves it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from typing import Annotated

from fastapi import FastAPI, HTTPException, Query
from sqlalchemy import delete, func, select

from shop.database import Database
from shop.dependencies import DatabaseDep, SearchIndexDep, SessionDep, SettingsDep, UserDep
from shop.middleware import RequestIdMiddleware
from shop.models import Item, Order, OrderLine
from shop.reporting import stock_report
from shop.schemas import ItemOut, ItemPage, OrderIn, OrderOut, Report, SearchHit, SearchResult
from shop.search import SearchIndex
from shop.settings import Settings


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open and fill the database and build the search index; close and remove it at the end."""
    app.state.settings = settings = Settings.from_environment()
    app.state.database = database = Database(settings.database_url)
    try:
        database.create()
        with database.session() as session:
            rows = session.execute(select(Item.id, Item.name, Item.category).order_by(Item.id))
            app.state.search_index = SearchIndex((id, name, category) for id, name, category in rows)
        yield
    finally:
        database.close()


app = FastAPI(title="Shop", lifespan=lifespan)
app.add_middleware(RequestIdMiddleware)


@app.get("/health")
async def health() -> dict[str, str]:
    """Whether the app is up."""
    return {"status": "ok"}


@app.get("/items")
def list_items(
    session: SessionDep,
    settings: SettingsDep,
    offset: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1)] = 20,
    category: str | None = None,
) -> ItemPage:
    """A page of items, by name."""
    limit = min(limit, settings.page_limit)
    wanted = select(Item) if category is None else select(Item).where(Item.category == category)
    total = session.scalar(select(func.count()).select_from(wanted.subquery())) or 0
    items = session.scalars(wanted.order_by(Item.name, Item.id).offset(offset).limit(limit))
    return ItemPage(items=[ItemOut.model_validate(item) for item in items], total=total, offset=offset, limit=limit)


@app.get("/items/{item_id}", response_model=ItemOut)
def get_item(item_id: int, session: SessionDep) -> Item:
    """One item."""
    item = session.get(Item, item_id)
    if item is None:
        raise HTTPException(404, f"there is no item {item_id}")
    return item


@app.get("/search")
async def search(
    index: SearchIndexDep,
    settings: SettingsDep,
    q: Annotated[str, Query(min_length=1, max_length=100)],
    limit: Annotated[int, Query(ge=1, le=50)] = 10,
) -> SearchResult:
    """The items most like the query. All of it is in memory, so there is nothing to wait for in a thread."""
    hits = index.search(q, limit, settings.slowdown.extra_rounds("/search", len(index)))
    return SearchResult(
        query=q,
        hits=[SearchHit(id=hit.document.id, name=hit.document.name, score=round(hit.score, 4)) for hit in hits],
    )


@app.post("/orders", status_code=201)
def place_order(order: OrderIn, user: UserDep, database: DatabaseDep) -> OrderOut:
    """Place an order in the signed-in user's name."""
    with database.writing() as session:
        wanted = {line.item_id for line in order.lines}
        prices = dict(session.execute(select(Item.id, Item.price_cents).where(Item.id.in_(wanted))).tuples().all())
        if missing := sorted(wanted - prices.keys()):
            raise HTTPException(404, f"there is no item {', '.join(map(str, missing))}")
        placed = Order(
            id=database.next_order_id(),
            customer=user,
            email=order.customer.email,
            note=order.note,
            placed=datetime.now(timezone.utc),
            lines=[
                OrderLine(item_id=line.item_id, quantity=line.quantity, price_cents=prices[line.item_id])
                for line in order.lines
            ],
        )
        session.execute(delete(Order).where(Order.id == placed.id))
        session.add(placed)
    return OrderOut(
        id=placed.id,
        customer=user,
        pieces=sum(line.quantity for line in placed.lines),
        total_cents=sum(line.quantity * line.price_cents for line in placed.lines),
    )


@app.get("/report")
def report(session: SessionDep) -> Report:
    """What the stock is worth."""
    return stock_report(session.scalars(select(Item)))
