"""Reads JSON that people may have edited: every shape that is not the expected one is a ValueError that says what is
wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from contextlib import suppress


def parse(text: str) -> object:
    """The document. Raises ValueError and RecursionError for what is not JSON in the strict sense."""
    document: object = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique)
    return document


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key stands in it twice, as after a merge gone wrong")
    return members


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def member(mapping: object, name: str) -> object:
    """The value of a key that must be there."""
    if not isinstance(mapping, Mapping) or name not in mapping:
        raise ValueError(f"`{name}` is missing")
    return mapping[name]


def only(mapping: object, known: Iterable[str], what: str) -> None:
    """Refuses keys that are not known."""
    for name in mapping_of(mapping, what).keys() - set(known):
        raise ValueError(f"unknown key `{name}` in {what}")


def mapping_of(value: object, what: str) -> Mapping[str, object]:
    """The value, which must be an object."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{what} must be an object")
    return value


def text_of(value: object, what: str) -> str:
    """The value, which must be a text."""
    if not isinstance(value, str):
        raise ValueError(f"{what} must be a text")
    return value


def integer_of(value: object, what: str) -> int:
    """The value, which must be a whole number. A bool is none."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{what} must be a whole number")
    return value


def finite_of(value: object, what: str) -> float:
    """The value, which must be a finite number. A bool is none."""
    number = math.nan
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        with suppress(OverflowError):
            number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{what} must be a finite number")
    return number
