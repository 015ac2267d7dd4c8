"""The database of one server process: made and filled at startup, removed at shutdown.

Every process has its own, so that two servers beside each other (a baseline and a candidate) never share a
lock or a row.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, select
from sqlalchemy.orm import Session, sessionmaker

from shop.catalogue import catalogue
from shop.models import Base, Item, Order, OrderLine

KEPT_ORDERS = 200
"""A new order takes the place of the oldest one, so that load of any length never makes the tables grow."""

# As many as FastAPI's pool of threads has: a handler that waits for a connection would block one of them.
_CONNECTIONS = 40
_OPENED = datetime(2024, 1, 1, 9, 0)


class Database:
    """An engine, its sessions, and the ring of order numbers."""

    def __init__(self, url: str | None = None) -> None:
        """Connect to `url`; without one, to a new SQLite file in a temporary folder."""
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        if url is None:
            self._folder = tempfile.TemporaryDirectory(prefix="shop-")
            url = f"sqlite:///{Path(self._folder.name) / f'shop-{os.getpid()}.sqlite3'}"
        self.engine: Engine = create_engine(url, pool_size=_CONNECTIONS, max_overflow=0)
        if self.engine.dialect.name == "sqlite":
            event.listen(self.engine, "connect", _tune_sqlite)
        self.session = sessionmaker(self.engine, expire_on_commit=False)
        self._writing = threading.Lock()
        self._placed = 0

    def create(self) -> None:
        """Make the tables and fill them with the same rows every time, unless they are filled already."""
        Base.metadata.create_all(self.engine)
        with self.session.begin() as session:
            if session.scalar(select(Item.id).limit(1)) is None:
                items = [Item(**row) for row in catalogue()]
                session.add_all(items)
                session.flush()
                session.add_all(_seed_order(number, items) for number in range(1, KEPT_ORDERS + 1))

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A session that commits at its end.

        SQLite has one writer at a time: waiting for it here is cheaper than SQLite's own polling.
        """
        with self._writing, self.session.begin() as session:
            yield session

    def next_order_id(self) -> int:
        """The number of the order to replace. Call it while `writing`."""
        self._placed += 1
        return 1 + (self._placed - 1) % KEPT_ORDERS

    def close(self) -> None:
        """Close all connections and remove what this process made."""
        self.engine.dispose()
        if self._folder is not None:
            self._folder.cleanup()


def _seed_order(number: int, items: list[Item]) -> Order:
    chosen = [items[(number * 7 + step * 31) % len(items)] for step in range(3)]
    return Order(
        id=number,
        customer=f"customer-{number % 25}",
        email=f"customer-{number % 25}@example.org",
        note=None,
        placed=_OPENED + timedelta(minutes=37 * number),
        lines=[OrderLine(item_id=item.id, quantity=1 + number % 3, price_cents=item.price_cents) for item in chosen],
    )


def _tune_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    # Readers do not wait for the writer, and a commit does not wait for the disk.
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=OFF")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()
