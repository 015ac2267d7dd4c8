"""The tables of the configuration as values: keys that are declared once, and refusals that name what to write.

What is not understood is refused with the key, the value and an example.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_fastr.errors import ConfigError

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0}


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the table: the field it fills, and what turns its value into the field's."""

    name: str
    field: str
    parse: Callable[[object, str], object]


def fields(table: Mapping[str, object], keys: Iterable[Key], where: str) -> dict[str, Any]:
    """The fields that a table of these keys fills."""
    known = {key.name: key for key in keys}
    values: dict[str, Any] = {}
    for name, value in table.items():
        if name not in known:
            raise ConfigError(f"{where}: unknown key `{name}`{suggestion(name, known)}")
        key = known[name]
        values[key.field] = key.parse(value, f"{where}: `{name}`")
    return values


def parse_duration(value: object, what: str) -> float:
    """Seconds from "500ms", "5s", "2m" or a number of seconds. `what` names the value in messages."""
    example = 'a duration above zero, such as "500ms", "5s", "2m" or a number of seconds'
    if isinstance(value, str):
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m)", value.strip(), re.ASCII)
        seconds = float(match[1]) * _SECONDS[match[2]] if match else math.nan
    else:
        seconds = as_number(value)
    return positive(seconds, value, what, example)


def parse_count(value: object, what: str) -> int:
    """A whole number from 1 up."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise refusal(value, what, "a whole number from 1 up, such as 20")
    return value


def text_like(example: str) -> Callable[[object, str], str]:
    """Takes any text that is not blank."""

    def parse(value: object, what: str) -> str:
        if not isinstance(value, str) or not value.strip() or "\0" in value:
            raise refusal(value, what, f"a text, such as {example}")
        return value

    return parse


def one_of(*choices: str) -> Callable[[object, str], str]:
    """Takes one of these texts."""

    def parse(value: object, what: str) -> str:
        if not isinstance(value, str) or value not in choices:
            raise refusal(value, what, " or ".join(f'"{choice}"' for choice in choices))
        return value

    return parse


def as_number(value: object) -> float:
    """The number itself; NaN, which every check refuses, for what is none. A bool is no number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf


def positive(number: float, value: object, what: str, example: str) -> float:
    """The number, if it is a finite one above zero. Refuses ``value``, which it was read from, otherwise."""
    if not math.isfinite(number) or number <= 0:
        raise refusal(value, what, example)
    return number


def suggestion(name: str, known: Iterable[str]) -> str:
    """The nearest known name, or all of them: the end of a message."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean `{near[0]}`?" if near else f"; known are {', '.join(sorted(names))}"


def refusal(value: object, what: str, example: str) -> ConfigError:
    """The error for a value that is none of what ``example`` describes."""
    return ConfigError(f"{what} is {value!r}; it must be {example}")
