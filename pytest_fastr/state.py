"""What the plugin keeps for one pytest session."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from pytest_fastr.config import Config
from pytest_fastr.gate.epochs import EpochPool
from pytest_fastr.gate.model import Outcome, TestReport
from pytest_fastr.gate.progress import Show
from pytest_fastr.gate.session import GateSession
from pytest_fastr.load.limits import LimitResult
from pytest_fastr.load.result import LoadReport
from pytest_fastr.options import Options
from pytest_fastr.report.live import LiveLine, show_on


@dataclass(frozen=True, slots=True)
class ItemResult:
    """One measurement of an item, and what it does to the build."""

    report: TestReport
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class LoadOutcome:
    """One load of an item, and the limits it was held against."""

    nodeid: str
    report: LoadReport
    limits: tuple[LimitResult, ...]


class LiveView:
    """Gives each test a function that draws its progress, and cleans up behind it."""

    def __init__(self, line: LiveLine) -> None:
        self._line = line

    @contextmanager
    def test(self, nodeid: str) -> Iterator[Show]:
        """Yields the function; the line is cleared afterwards."""
        with self._line.below():
            yield show_on(self._line, nodeid)


@dataclass
class PluginState:
    """The session's configuration, servers and gate. ``gate`` is None without ``--perf``."""

    config: Config
    options: Options
    pool: EpochPool
    gate: GateSession | None
    live: LiveView
    results: dict[str, list[ItemResult]] = field(default_factory=dict)
    loads: list[LoadOutcome] = field(default_factory=list)
    failed: dict[str, None] = field(default_factory=dict)
    """Node ids of the tests and files that failed, in their order."""

    def start(self, item: pytest.Item) -> None:
        """The item starts, maybe not for the first time: only its last run counts."""
        self.results.pop(item.nodeid, None)
        self.loads = [one for one in self.loads if one.nodeid != item.nodeid]
        if self.gate is not None:
            self.gate.start(item.nodeid)

    def results_of(self, item: pytest.Item) -> list[ItemResult]:
        """The item's measurements so far."""
        return self.results.setdefault(item.nodeid, [])


STATE = pytest.StashKey[PluginState]()
