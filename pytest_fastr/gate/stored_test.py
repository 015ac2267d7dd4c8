"""What is stored of a test: sessions with the numbers of each metric, the load that they hold for, and the eras.

`baseline_file` is their text, `baseline` the files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from pytest_fastr.errors import BaselineError

MAX_SESSIONS = 20
"""Sessions kept per test; the oldest goes first."""

MAX_ERAS = 20
"""Eras that are remembered per test; the oldest goes first."""

LANES = ("fast", "typed", "full", "asgi")
"""The lanes that a route can have, best first."""


@dataclass(frozen=True, slots=True)
class StoredMetric:
    """One metric of one session: ln(app / reference app), its standard error, and the app's own value.

    `log_ratio` is the robust centre; `totals_log_ratio` is that of the sums, which sees rare costs that a centre hides.
    """

    log_ratio: float
    totals_log_ratio: float
    se: float
    candidate: float
    unit: str


@dataclass(frozen=True, slots=True)
class StoredSession:
    """What one session measured for one test."""

    recorded: str
    commit: str | None
    engine: str
    metrics: Mapping[str, StoredMetric]


@dataclass(frozen=True, slots=True)
class Era:
    """When another level than before was accepted as the baseline, and why. Sessions of before are not kept: their mean
    with those after it would be nobody's level."""

    since: str
    commit: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class StoredTest:
    """The sessions of one test under one load, oldest first, all of the last era, and the lane of the route that its
    request took in the last one, where that is known."""

    load: Mapping[str, object]
    sessions: tuple[StoredSession, ...]
    eras: tuple[Era, ...] = ()
    lane: str | None = None

    def has_load(self, load: Mapping[str, object]) -> bool:
        """Whether the sessions were measured under this load; under another one they are not comparable."""
        return canonical(self.load, "load") == canonical(load, "load")


def canonical(value: Mapping[str, object], what: str) -> dict[str, object]:
    """The mapping as it comes back from JSON: rounded, lists for tuples. Refuses what would not come back."""
    return {_text_key(key, what): _canonical_value(one, f"{what}.{key}") for key, one in value.items()}


def _canonical_value(value: object, what: str) -> object:
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return canonical(value, what)
    if isinstance(value, (list, tuple)):
        return [_canonical_value(one, what) for one in value]
    raise BaselineError(f"{what} is {value!r}, which a baseline cannot hold; nothing was written")


def _text_key(key: object, what: str) -> str:
    if not isinstance(key, str):
        raise BaselineError(f"{what} has the key {key!r}, which is no text; nothing was written")
    return key
