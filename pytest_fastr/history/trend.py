"""How one metric of one test went over the sessions. Pure functions on records."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_fastr.history.record import MetricRecord, RunRecord, SessionRecord

_PREFERRED = ("cpu", "throughput", "p50")
_MOST_LOG_RATIO = 15.0
_MOST_VALUE = 1e15
_OPERATING_POINT = "slice_users"
"""Set by how fast the app is, so that it may differ between sessions of one load."""


@dataclass(frozen=True, slots=True)
class Point:
    """One session. ``value``: None where it was not measured."""

    started: str
    commit: str | None
    verdict: str
    value: float | None
    low: float | None = None
    """Ends of the value's own 95 % interval; None: not known."""
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Trend:
    """One test under one load on one hardware profile."""

    nodeid: str
    request: str
    mode: str
    profile: str
    metric: str
    unit: str
    is_ratio: bool
    """Values are multiples of the reference app's, which cancels the machine out; else they are absolute."""
    points: tuple[Point, ...]
    """Oldest first."""
    connections: tuple[int, int] | None = None
    """The fewest and the most connections that slices had; a cost depends on them. None: not known, or no slices."""


_Key = tuple[str, str, str, str, str, int]


def trends_of(sessions: Sequence[SessionRecord], metric: str | None = None) -> list[Trend]:
    """A trend for each test, mode, load and profile, in the order in which they first came. ``metric``: None takes CPU
    time per request, or what there is instead; tests that never had it have no trend."""
    found: dict[_Key, list[tuple[SessionRecord, RunRecord]]] = {}
    lost: list[tuple[SessionRecord, RunRecord]] = []
    for session in sessions:
        seen: Counter[tuple[str, str, str, str, str]] = Counter()
        for run in session.runs:
            if run.mode == "none":
                lost.append((session, run))
                continue
            load = (run.nodeid, run.request, run.mode, session.profile, _load_key(run))
            found.setdefault((*load, seen[load]), []).append((session, run))
            seen[load] += 1
    trends = []
    for key, runs in found.items():
        # What could not be measured at all has no load to be told by.
        failed = [one for one in lost if (one[1].nodeid, one[0].profile) == (key[0], key[3])]
        trend = _trend(key, runs, failed, metric)
        if trend is not None:
            trends.append(trend)
    known = {(trend.nodeid, trend.profile) for trend in trends}
    return [*trends, *_never_measured([one for one in lost if (one[1].nodeid, one[0].profile) not in known], metric)]


def metrics_of(sessions: Sequence[SessionRecord]) -> list[str]:
    """The metrics that any run has."""
    return list(dict.fromkeys(one.name for session in sessions for run in session.runs for one in run.metrics))


def _load_key(run: RunRecord) -> str:
    return json.dumps({name: one for name, one in run.load.items() if name != _OPERATING_POINT}, sort_keys=True)


def _trend(
    key: _Key,
    runs: Sequence[tuple[SessionRecord, RunRecord]],
    failed: Sequence[tuple[SessionRecord, RunRecord]],
    wanted: str | None,
) -> Trend | None:
    names = {one.name for _, run in runs for one in run.metrics}
    metric = wanted or next((name for name in _PREFERRED if name in names), None)
    if metric is None or metric not in names:
        return None
    units = [one.unit for _, run in runs for one in run.metrics if one.name == metric]
    is_ratio = key[2] == "stored"
    points = [_point(session, run, metric, is_ratio) for session, run in (*runs, *failed)]
    # Sessions may end in another order than they began; a time with its zone sorts as text, since all are UTC.
    points.sort(key=lambda point: point.started)
    slices = [count for _, run in runs if isinstance(count := run.load.get(_OPERATING_POINT), int)]
    return Trend(
        nodeid=key[0],
        request=key[1],
        mode=key[2],
        profile=key[3],
        metric=metric,
        unit=units[-1],
        is_ratio=is_ratio,
        points=tuple(points),
        connections=(min(slices), max(slices)) if slices else None,
    )


def _never_measured(runs: Sequence[tuple[SessionRecord, RunRecord]], metric: str | None) -> Iterator[Trend]:
    grouped: dict[tuple[str, str], list[Point]] = {}
    for session, run in runs:
        grouped.setdefault((run.nodeid, session.profile), []).append(_point(session, run, "", False))
    for (nodeid, profile), points in grouped.items():
        yield Trend(nodeid, "", "none", profile, metric or _PREFERRED[0], "", False, tuple(points))


def _point(session: SessionRecord, run: RunRecord, metric: str, is_ratio: bool) -> Point:
    found = next((one for one in run.metrics if one.name == metric), None)
    value, low, high = (None, None, None) if found is None else _values(found, is_ratio)
    return Point(session.started, session.commit, run.verdict, value, low, high)


def _values(metric: MetricRecord, is_ratio: bool) -> tuple[float | None, float | None, float | None]:
    # A file may hold any number; beyond these a value has no meaning.
    if not is_ratio:
        known = metric.candidate is not None and 0 <= metric.candidate < _MOST_VALUE
        return metric.candidate if known else None, None, None
    if metric.log_ratio is None or abs(metric.log_ratio) > _MOST_LOG_RATIO:
        return None, None, None
    centre, reach = metric.log_ratio, 1.96 * (metric.log_ratio_se or 0.0)
    if metric.log_ratio_se is None or not 0 <= reach < _MOST_LOG_RATIO:
        return math.exp(centre), None, None
    return math.exp(centre), math.exp(centre - reach), math.exp(centre + reach)
