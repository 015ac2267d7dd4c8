"""The goods that a new shop starts with: the same rows on every machine."""

from __future__ import annotations

from itertools import product
from typing import TypedDict

CATEGORIES = {
    "kitchen": ("kettle", "saucepan", "teapot", "bread knife", "colander", "coffee mill"),
    "garden": ("watering can", "hedge shears", "wheelbarrow", "bird table", "seed tray"),
    "workshop": ("claw hammer", "wood plane", "spirit level", "bench vice", "hand drill"),
    "office": ("desk lamp", "letter tray", "hole punch", "fountain pen", "paper knife"),
    "outdoors": ("rucksack", "camp stove", "sleeping bag", "head torch", "water bottle"),
}
SIZES = ("small", "large")
MATERIALS = ("steel", "copper", "oak", "enamel", "bamboo", "canvas", "brass", "ceramic")


class ItemRow(TypedDict):
    """One row of the table of items."""

    name: str
    description: str
    category: str
    price_cents: int
    stock: int


def catalogue() -> list[ItemRow]:
    """Every thing in every size and material."""
    rows: list[ItemRow] = []
    for category, things in CATEGORIES.items():
        for number, (thing, size, material) in enumerate(product(things, SIZES, MATERIALS)):
            rows.append(
                ItemRow(
                    name=f"{size} {material} {thing}",
                    description=f"A {size} {thing} of {material} for {category} and elsewhere, made to last.",
                    category=category,
                    price_cents=450 + (number * 7919 + len(thing) * 613) % 18_000,
                    stock=(number * 37 + len(material) * 11) % 240,
                )
            )
    return rows
