"""A run in the shape of k6's end-of-test summary (the ``data`` of its ``handleSummary``), as far as it was measured.

Nothing is made up: a value that was not measured has no key. Times are in milliseconds, as k6's are.
https://grafana.com/docs/k6/latest/results-output/end-of-test/custom-summary/
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from pytest_fastr.gate.model import AbsoluteResult, MetricResult, TestReport, Verdict
from pytest_fastr.report.load_reader import LoadLimit, LoadRun

Run = TestReport | LoadRun

_TREND = {"avg": "mean", "med": "p50", "max": "max", "p(90)": "p90", "p(95)": "p95", "p(99)": "p99", "p(99.9)": "p999"}
"""k6's name of a value of a trend, and ours."""
_QUANTILES = {ours: theirs for theirs, ours in _TREND.items()}
_PER_MS = {"us": 1000.0, "ms": 1.0, "s": 0.001, "m": 0.001 / 60}
_LIMIT = re.compile(r"\s*([a-z0-9_]+)\s*([<>])\s*([0-9.]+)\s*([A-Za-z%]*)\s*", re.ASCII)
_DURATION, _FAILED, _REQUESTS = "http_req_duration", "http_req_failed", "http_reqs"
_RESPONSE, _GOOD = "fastr_response_time", "fastr_good_answers"
_CPU, _MEMORY = "fastr_cpu_us_per_request", "fastr_peak_rss_bytes"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of a summary. ``thresholds``: k6's expression, and whether it was kept."""

    type: str
    contains: str
    values: Mapping[str, float]
    thresholds: Mapping[str, bool]


def k6_metrics(run: Run) -> dict[str, Metric]:
    """The metrics of a run that were measured or limited, by k6's names; those of our own begin with ``fastr_``."""
    found = _load_metrics(run) if isinstance(run, LoadRun) else _test_metrics(run)
    thresholds = _load_thresholds(run) if isinstance(run, LoadRun) else _test_thresholds(run)
    return {
        name: Metric(kind, contains, _finite(values), thresholds.get(name, {}))
        for name, (kind, contains, values) in found.items()
        if values or thresholds.get(name)
    }


def to_k6(run: Run) -> str:
    """The summary as sorted, indented JSON in ASCII, with a newline at the end."""
    duration_s = run.duration_s if isinstance(run, LoadRun) else None
    document = {
        "metrics": {
            name: {
                "type": metric.type,
                "contains": metric.contains,
                "values": metric.values,
                **({"thresholds": {text: {"ok": ok} for text, ok in metric.thresholds.items()}}
                   if metric.thresholds else {}),
            }
            for name, metric in k6_metrics(run).items()
        },
        "options": {"summaryTrendStats": list(_TREND), "summaryTimeUnit": "ms"},
        "root_group": {"name": "", "path": "", "groups": [], "checks": []},
        "state": {} if duration_s is None else {"testRunDurationMs": duration_s * 1000},
        "pytest-fastr": {"nodeid": run.nodeid, "verdict": str(run.verdict)},
    }  # fmt: skip
    return json.dumps(document, indent=2, sort_keys=True, allow_nan=False) + "\n"


def _finite(values: Mapping[str, float]) -> dict[str, float]:
    # A duration of next to nothing makes rates that are no numbers.
    return {name: value for name, value in values.items() if math.isfinite(value)}


_Found = dict[str, tuple[str, str, dict[str, float]]]


def _load_metrics(run: LoadRun) -> _Found:
    sent = {} if not run.duration_s else {"rate": run.requests / run.duration_s}
    found: _Found = {
        # k6 counts from when a request was sent, our limits from when it was due.
        _DURATION: ("trend", "time", _trend(run.service_us)),
        _RESPONSE: ("trend", "time", _trend(run.response_us)),
        "http_req_connecting": ("trend", "time", _trend(run.connect_us)),
        _FAILED: ("rate", "default", _failed(run.errors, run.requests)),
        _REQUESTS: ("counter", "default", {"count": run.requests, **sent}),
        _GOOD: ("counter", "default", {} if run.rps is None else {"rate": run.rps}),
        "data_received": ("counter", "data", _counter(run.bytes_received, run.duration_s)),
    }
    if run.flows is not None:
        found["iterations"] = ("counter", "default", _counter(sum(run.flows), run.duration_s))
    if run.users is not None:
        found["vus_max"] = ("gauge", "default", {"value": run.users})
    return found


def _test_metrics(test: TestReport) -> _Found:
    errors = sum(test.errors.values())
    found: _Found = {
        _DURATION: ("trend", "time", _trend({"p50": test.p50_us, "p99": test.p99_us})),
        _FAILED: ("rate", "default", _failed(errors, test.requests)),
        _REQUESTS: (
            "counter",
            "default",
            {"count": test.requests, **({} if test.rps is None else {"rate": test.rps})} if test.requests else {},
        ),
        _CPU: ("gauge", "default", _value(test.cpu_us_per_request)),
        _MEMORY: ("gauge", "data", _value(test.peak_rss_bytes)),
    }
    users = test.load.get("users")
    if isinstance(users, int) and not isinstance(users, bool) and users > 0:
        found["vus_max"] = ("gauge", "default", {"value": users})
    for metric in test.metrics.values():
        found[_change_name(metric)] = ("gauge", "default", _value(metric.change))
    return found


def _trend(times_us: Mapping[str, float | None]) -> dict[str, float]:
    values = {theirs: times_us.get(ours) for theirs, ours in _TREND.items()}
    return {name: value / 1000 for name, value in values.items() if value is not None}


def _failed(errors: int | None, requests: int) -> dict[str, float]:
    # As in k6, what "passes" here are the requests that failed.
    if errors is None or not requests > 0 or errors > requests:
        return {}
    return {"rate": errors / requests, "passes": errors, "fails": requests - errors}


def _counter(count: int | None, duration_s: float | None) -> dict[str, float]:
    if count is None:
        return {}
    return {"count": count, **({"rate": count / duration_s} if duration_s else {})}


def _value(value: float | None) -> dict[str, float]:
    return {} if value is None else {"value": value}


def _change_name(metric: MetricResult) -> str:
    return f"fastr_{metric.name}_change"


def _load_thresholds(run: LoadRun) -> dict[str, dict[str, bool]]:
    """One that the run was too short to tell is not kept, as for the exit code."""
    void = run.verdict is Verdict.INVALID
    found: dict[str, dict[str, bool]] = {}
    for limit in run.limits:
        name, text = _load_threshold(limit)
        found.setdefault(name, {})[text] = limit.kept is True and not void
    return found


def _load_threshold(limit: LoadLimit) -> tuple[str, str]:
    """The metric and the expression; what is not understood stays as it was written."""
    match = _LIMIT.fullmatch(limit.text)
    if match is None:
        return _RESPONSE, limit.text
    metric, sign, number, unit = match.groups()
    if metric == "rps":
        return _GOOD, f"rate{sign}{number}"
    if metric == "errors" and _is_number(number):
        return _FAILED, f"rate{sign}{float(number) / 100:g}"
    return _RESPONSE, _time_threshold(metric, sign, number, unit) or limit.text


def _time_threshold(metric: str, sign: str, number: str, unit: str) -> str | None:
    if metric not in _QUANTILES or unit not in _PER_MS or not _is_number(number):
        return None
    return f"{_QUANTILES[metric]}{sign}{float(number) / _PER_MS[unit]:g}"


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII) is not None


def _test_thresholds(test: TestReport) -> dict[str, dict[str, bool]]:
    """Absolute limits: kept only where that was shown. Changes: those that were told either way."""
    void = test.verdict is Verdict.INVALID
    found: dict[str, dict[str, bool]] = {}
    for one in test.absolute:
        name, text = _absolute_threshold(one)
        found.setdefault(name, {})[text] = one.verdict is Verdict.EQUIVALENT and not void
    for metric in test.metrics.values():
        told = metric.verdict in (Verdict.EQUIVALENT, Verdict.IMPROVED, Verdict.REGRESSED)
        if told and metric.limit is not None:
            text = f"value<{metric.limit:g}" if metric.direction == "lower" else f"value>{-metric.limit:g}"
            found[_change_name(metric)] = {text: metric.verdict is not Verdict.REGRESSED and not void}
    return found


def _absolute_threshold(one: AbsoluteResult) -> tuple[str, str]:
    match = _LIMIT.fullmatch(one.limit)
    if match is not None:
        _, sign, number, unit = match.groups()
        if one.metric == "rps":
            return _REQUESTS, f"rate{sign}{number}"
        if one.metric == "cpu":
            return _CPU, one.limit
        if one.metric == "memory":
            return _MEMORY, one.limit
        text = _time_threshold(one.metric, sign, number, unit)
        if text is not None:
            return _DURATION, text
    return _DURATION, one.limit
