"""The stock in numbers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from statistics import median, pstdev

from shop.models import Item
from shop.schemas import CategoryReport, Report


def stock_report(items: Iterable[Item]) -> Report:
    """Sums and spreads by category, the most valuable category first."""
    shelves: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        shelves[item.category].append(item)
    categories = [_category(name, shelf) for name, shelf in shelves.items()]
    categories.sort(key=lambda category: (-category.value_cents, category.category))
    return Report(value_cents=sum(category.value_cents for category in categories), categories=categories)


def _category(name: str, shelf: list[Item]) -> CategoryReport:
    prices = [item.price_cents for item in shelf]
    by_value = sorted(shelf, key=lambda item: (-item.price_cents * item.stock, item.name))
    return CategoryReport(
        category=name,
        items=len(shelf),
        pieces=sum(item.stock for item in shelf),
        value_cents=sum(item.price_cents * item.stock for item in shelf),
        median_price_cents=float(median(prices)),
        price_spread_cents=round(pstdev(prices), 2),
        top_items=[item.name for item in by_value[:5]],
    )
