"""What the environment decides, read once when the app starts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from shop.slowdown import Slowdown


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one running app."""

    database_url: str | None = None
    """An SQLAlchemy URL; without one the process has an SQLite file of its own, gone at shutdown."""
    page_limit: int = 100
    """The most items that one page may hold."""
    slowdown: Slowdown = field(default_factory=Slowdown)
    """Work planted for a demonstration; none by default."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Read `SHOP_DATABASE_URL`, `SHOP_PAGE_LIMIT` and `SHOP_SLOWDOWN`."""
        return cls(
            database_url=environment.get("SHOP_DATABASE_URL") or None,
            page_limit=int(environment.get("SHOP_PAGE_LIMIT", "100")),
            slowdown=Slowdown.parse(environment.get("SHOP_SLOWDOWN", "")),
        )
