"""Search that forgives misspelling: items are ranked by the three-letter pieces they share with the query."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from heapq import nlargest
from itertools import cycle, islice

_WORTH_SHOWING = 0.25


@dataclass(frozen=True, slots=True)
class Document:
    """An item, cut into pieces once when the index is built."""

    id: int
    name: str
    words: tuple[frozenset[str], ...]


@dataclass(frozen=True, slots=True)
class Hit:
    """A document and how much it resembles the query, from 0 to 1."""

    score: float
    document: Document


def pieces(word: str) -> frozenset[str]:
    """All three-letter pieces of a word, its ends included."""
    padded = f"  {word.lower()} "
    return frozenset(padded[start : start + 3] for start in range(len(padded) - 2))


def resemblance(query: list[frozenset[str]], document: Document) -> float:
    """The mean, over the words of the query, of the likeness of the most similar word of the document."""
    total = 0.0
    for asked in query:
        best = 0.0
        for word in document.words:
            shared = len(asked & word)
            if shared:
                best = max(best, 2 * shared / (len(asked) + len(word)))
        total += best
    return total / len(query)


class SearchIndex:
    """All items in memory, to be compared with a query one by one."""

    def __init__(self, rows: Iterable[tuple[int, str, str]]) -> None:
        """Build the index from id, name and category of each item."""
        self._documents = [
            Document(id, name, tuple(pieces(word) for word in f"{name} {category}".split()))
            for id, name, category in rows
        ]

    def __len__(self) -> int:
        """How many documents one search compares."""
        return len(self._documents)

    def search(self, query: str, limit: int, extra_rounds: int = 0) -> list[Hit]:
        """The best `limit` hits, best first.

        `extra_rounds` comparisons more are made and thrown away (see `slowdown`).
        """
        asked = [pieces(word) for word in query.split()]
        if not asked:
            return []
        hits = [Hit(resemblance(asked, document), document) for document in self._documents]
        for document in islice(cycle(self._documents), extra_rounds):
            Hit(resemblance(asked, document), document)
        close = [hit for hit in hits if hit.score > _WORTH_SHOWING]
        return nlargest(limit, close, key=lambda hit: (hit.score, -hit.document.id))
