"""Ratios of rows: round by round, so that what changed with time stands on both sides of each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median, quantiles

from measuring.records import Record


@dataclass(frozen=True)
class Row:
    """All rounds of one server on one workload, by round; and the reasons of rounds that went wrong."""

    rounds: dict[int, Record]
    wrong: tuple[str, ...] = ()

    def middle(self, value: str) -> float | None:
        """The median over rounds."""
        values = [record[value] for record in self.rounds.values() if record.get(value) is not None]
        return median(values) if values else None

    @property
    def errors(self) -> int:
        """Requests that failed, in all rounds."""
        return sum(record.get("errors") or 0 for record in self.rounds.values())


@dataclass(frozen=True)
class Ratio:
    """The median of the rounds' ratios, with the range of the middle 80 % of them."""

    value: float
    low: float
    high: float
    rounds: int

    def __str__(self) -> str:
        spread = f" [{self.low:.2f}, {self.high:.2f}]" if self.rounds > 1 else ""
        return f"{self.value:.2f}{spread}"


def row(records: Iterable[Record]) -> Row:
    """The records of one server on one workload. A round that went wrong has no number to compare."""
    good = {record["round"]: record for record in records if record.get("rps") and "wrong" not in record}
    return Row(good, tuple(dict.fromkeys(record["wrong"] for record in records if "wrong" in record)))


def ratio(mine: Row | None, other: Row | None, value: str) -> Ratio | None:
    """Of the rounds that both have; None without any."""
    if mine is None or other is None:
        return None
    ratios = [
        mine.rounds[number][value] / other.rounds[number][value]
        for number in sorted(mine.rounds.keys() & other.rounds.keys())
        if mine.rounds[number].get(value) and other.rounds[number].get(value)
    ]
    if not ratios:
        return None
    tenths = quantiles(ratios, n=10, method="inclusive") if len(ratios) > 1 else [ratios[0]]
    return Ratio(median(ratios), tenths[0], tenths[-1], len(ratios))
