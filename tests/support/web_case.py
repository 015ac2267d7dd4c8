"""A case: the application and the requests of one seed, run, and made small where it fails."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from support.web_apps import App, generate
from support.web_compare import Difference, failing_line, run
from support.web_requests import requests
from support.web_wire import Request

REQUESTS_A_CASE = 30
SHRINK_SECONDS = 20.0

Differs = Callable[[App, Sequence[Request]], Difference | None]


@dataclass(slots=True)
class Tally:
    """What many cases came to."""

    cases: int = 0
    requests: int = 0
    lanes: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)

    def __str__(self) -> str:
        lanes = ", ".join(f"{name} {count}" for name, count in self.lanes.most_common()) or "no lanes"
        statuses = ", ".join(f"{status} x {count}" for status, count in self.statuses.most_common(8))
        return f"{self.cases} cases, {self.requests} requests ({lanes}; {statuses})"


def run_case(seed: int, mount: str, tally: Tally | None = None, count: int = REQUESTS_A_CASE) -> Difference | None:
    """Runs the case of a seed. Returns its difference, made small."""
    app = generate(seed, failing_line)
    asked = requests(seed, app, count)
    outcome = run(app.source, asked, mount)
    if tally is not None:
        tally.cases += 1
        tally.requests += outcome.asked
        tally.lanes.update(outcome.lanes)
        tally.statuses.update(outcome.statuses)
    if outcome.difference is None:
        return None

    def differs(smaller: App, fewer: Sequence[Request]) -> Difference | None:
        try:
            return run(smaller.source, fewer, mount).difference
        except Exception:  # what was left out was needed
            return None

    return shrink(app, outcome.difference, differs)


def shrink(app: App, difference: Difference, differs: Differs, seconds: float = SHRINK_SECONDS) -> Difference:
    """Leaves out requests, then pieces of the application, as long as there is still a difference."""
    deadline = time.monotonic() + seconds
    asked = difference.requests
    for fewer in _fewer(asked):
        if time.monotonic() < deadline and (smaller := differs(app, fewer)) is not None:
            difference, asked = smaller, smaller.requests
            break
    index = len(asked) - 2
    while index >= 0 and time.monotonic() < deadline:
        if (smaller := differs(app, asked[:index] + asked[index + 1 :])) is not None:
            difference, asked = smaller, smaller.requests
        index = min(index, len(asked) - 1) - 1
    for index in range(len(app.pieces) - 1, -1, -1):
        if time.monotonic() < deadline and (smaller := differs(app.without(index), asked)) is not None:
            app, difference = app.without(index), smaller
    return difference


def _fewer(asked: Sequence[Request]) -> Iterator[Sequence[Request]]:
    """The usual case first: the last request alone is enough."""
    yield asked[-1:]
    yield asked[len(asked) // 2 :]
