"""What a published table is made of: its rows, what they are asked, what was published, and what ours is to reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from measuring.asks import Workload
from measuring.ratios import Ratio
from measuring.rows import Server


@dataclass(frozen=True)
class Published:
    """A row as it was published, by its name there. Times in milliseconds, memory in MiB."""

    name: str
    rps: float
    mean_ms: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    memory_mib: float | None = None


@dataclass(frozen=True)
class Source:
    """Where rows were published, and how they were measured there."""

    title: str
    url: str
    method: str
    rows: tuple[Published, ...]


@dataclass(frozen=True)
class Goal:
    """The best of our rows is to answer at least so many times as many requests a second as another one."""

    text: str
    workload: str
    ours: tuple[str, ...]
    others: tuple[str, ...]
    least: float


@dataclass(frozen=True)
class Table:
    """A table: every server meets every workload. ``base`` is the row that all others are ratios to."""

    name: str
    title: str
    about: str
    servers: tuple[Server, ...]
    workloads: tuple[Workload, ...]
    base: str
    ours: tuple[str, ...]
    """The rows on our engine."""
    goals: tuple[Goal, ...]
    sources: tuple[Source, ...]


Summary = dict[str, Any]
"""What the page is made of: JSON values only."""


def judged(found: Ratio | None, least: float) -> str:
    """Whether a ratio reaches what it is to be. What only the median reaches is said to be that."""
    if found is None:
        return "not measured"
    if found.value < least:
        return "missed"
    return "met" if found.low >= least else "met by the median only"
