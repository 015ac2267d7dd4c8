"""A value of a JSON document that is not trusted, with the place where it stands, for refusals that name it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from pytest_fastr.errors import ResultError

_MOST_TEXT = 200_000
_MOST_COUNT = 2**63
NAME = r"[A-Za-z][A-Za-z0-9_.-]{0,79}"
"""What a short name of ours looks like: a metric, a rule."""


@dataclass(frozen=True, slots=True)
class JsonValue:
    """The value. Every reader of it refuses what is not of its type: a number is never taken for a text."""

    value: object
    place: str
    document: str

    def refuse(self, why: str) -> NoReturn:
        """Raises ResultError. The value itself is not repeated: it may be anything."""
        raise ResultError(f"the result file {self.document} is no result of pytest-fastr: {self.place} {why}")

    def members(self) -> Mapping[str, JsonValue]:
        """The members of an object."""
        if not isinstance(self.value, dict):
            self.refuse("is no object")
        return {key: JsonValue(one, f"a member of {self.place}", self.document) for key, one in self.value.items()}

    def member(self, name: str) -> JsonValue:
        """A member that must be there."""
        if not isinstance(self.value, dict):
            self.refuse("is no object")
        place = name if self.place == "the document" else f"{self.place}.{name}"
        if name not in self.value:
            JsonValue(None, place, self.document).refuse("is missing")
        return JsonValue(self.value[name], place, self.document)

    def optional(self, name: str) -> JsonValue:
        """A member that files of earlier versions lack: null where it is not there."""
        if isinstance(self.value, dict) and name not in self.value:
            return JsonValue(None, f"{self.place}.{name}", self.document)
        return self.member(name)

    def items(self, most: int) -> list[JsonValue]:
        """The items of a list."""
        if not isinstance(self.value, list):
            self.refuse("is no list")
        if len(self.value) > most:
            self.refuse(f"has more than {most:,} items")
        return [JsonValue(one, f"{self.place}[{index}]", self.document) for index, one in enumerate(self.value)]

    def text(self, most: int = _MOST_TEXT) -> str:
        """A text of at most so many characters; half of a surrogate pair is written as `?`."""
        if not isinstance(self.value, str):
            self.refuse("is no text")
        if len(self.value) > most:
            self.refuse(f"has more than {most:,} characters")
        return self.value.encode("utf-8", "replace").decode("utf-8")

    def matching(self, pattern: str) -> str:
        """A text that the pattern matches as a whole."""
        text = self.text()
        if not re.fullmatch(pattern, text):
            self.refuse("is not written as it should be")
        return text

    def one_of(self, *words: str) -> str:
        """One of these words."""
        text = self.text()
        if text not in words:
            self.refuse(f"is none of {', '.join(words)}")
        return text

    def truth(self) -> bool:
        """True or false."""
        if not isinstance(self.value, bool):
            self.refuse("is neither true nor false")
        return self.value

    def count(self) -> int:
        """A whole number that is not negative."""
        if type(self.value) is not int or not 0 <= self.value < _MOST_COUNT:
            self.refuse("is no count")
        return self.value

    def finite(self) -> float:
        """A number."""
        number = self.number()
        if number is None:
            self.refuse("is no number")
        return number

    def number(self) -> float | None:
        """A finite number, or None for null."""
        if self.value is None:
            return None
        if type(self.value) not in (int, float):
            self.refuse("is no number")
        number = float(self.value) if abs(self.value) < 1e300 else math.inf  # type: ignore[arg-type]
        if not math.isfinite(number):
            self.refuse("is no finite number")
        return number


def texts_of(value: JsonValue) -> tuple[str, ...]:
    """The texts of a list."""
    return tuple(one.text() for one in value.items(1000))
