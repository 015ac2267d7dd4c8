"""A load run as JSON, for other programs.

`schema_version` is raised when a key changes its meaning or goes; keys may be added without. What is not known is null.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from pytest_fastr.load.limits import LimitResult
from pytest_fastr.load.result import LoadReport, RequestReport, Times
from pytest_fastr.load.search import RateSearch

SCHEMA_VERSION = 1


def to_json(report: LoadReport, limits: Sequence[LimitResult] = (), search: RateSearch | None = None) -> str:
    """The report as sorted, indented JSON in ASCII, with a newline at the end. ``search``: what led to it."""
    document = load_document(report, limits)
    if search is not None:
        document["search"] = [
            {"rate": step.rate, "kept": step.kept, "broken": step.broken or None, "rps": step.report.rps,
             "p50_us": step.report.response.quantiles_us["p50"], "p99_us": step.report.response.quantiles_us["p99"]}
            for step in search.steps
        ]  # fmt: skip
    return json.dumps(document, indent=2, sort_keys=True, allow_nan=False) + "\n"


def load_document(report: LoadReport, limits: Sequence[LimitResult] = ()) -> dict[str, object]:
    """The report as values that JSON has."""
    generator, floor = report.generator, report.generator.floor
    return {
        "schema_version": SCHEMA_VERSION,
        "url": report.url,
        "scenario": report.scenario,
        "shape": report.shape,
        "open_loop": report.is_open,
        "users": report.users,
        "transport": report.transport,
        "duration_s": report.duration_s,
        "requests": report.requests,
        "errors": report.errors,
        "rps": report.rps,
        "scheduled": report.scheduled,
        **_outcomes(report),
        "bytes_received": report.bytes_received,
        "service_time_us": _times(report.service),
        "response_time_us": _times(report.response),
        "connect_time_us": _times(report.connect),
        "by_request": {
            one.name: {
                "requests": one.requests,
                "errors": one.errors,
                "rps": one.rps,
                **_outcomes(one),
                "service_time_us": _times(one.service),
                "response_time_us": _times(one.response),
            }
            for one in report.by_request
        },
        "flows": [
            {"name": flow.name, "completed": flow.completed, "failed": flow.failed, "cut": flow.cut}
            for flow in report.flows
        ],
        "precision": report.precision,
        "server": {
            "cpu_us_per_request": report.server.cpu_us_per_request,
            "peak_rss_bytes": report.server.peak_rss_bytes,
        },
        "queue": {"most": report.most_queued, "unsent": report.unsent, "dropped": report.dropped},
        "reconnects": report.reconnects,
        "resent": report.resent,
        "connection_balance": list(report.balance),
        "ended_early": report.ended_early,
        "generator": {
            "utilisation": generator.utilisation,
            "run_queue_wait": generator.run_queue_wait,
            "steal": generator.steal,
            "cpu_us_per_request": generator.cpu_us_per_request,
            "floor": None
            if floor is None
            else {
                "p50_us": floor.p50_us,
                "p99_us": floor.p99_us,
                "rps": floor.rps,
                "cpu_us_per_request": floor.cpu_us_per_request,
            },
            "timer": generator.timer,
            "lateness_us": _times(generator.lateness),
        },
        "series": {
            "bin_s": 0.1,
            "ok": [ok for ok, _ in report.bins],
            "failed": [failed for _, failed in report.bins],
            "seconds": [
                {"ok": count, "p50_us": p50 / 1000, "p99_us": p99 / 1000, "max_us": most / 1000}
                for count, p50, p99, most in report.seconds
            ],
        },
        "limits": [
            {
                "limit": one.limit.text,
                "value": one.value,
                "bound": one.limit.bound,
                "kept": one.kept if one.is_known else None,
            }
            for one in limits
        ],
        "validity": [{"level": note.level, "code": note.code, "message": note.message} for note in report.notes],
    }


def _outcomes(report: LoadReport | RequestReport) -> dict[str, object]:
    return {
        "outcomes": dict(report.outcomes),
        "unexpected_statuses": {str(code): count for code, count in report.statuses.items()},
        "failure_details": {kind: dict(details) for kind, details in report.details.items()},
    }


def _times(times: Times) -> dict[str, object]:
    return {
        **times.quantiles_us,
        "count": times.count,
        "mean": times.mean_us,
        "max": times.max_us,
        "hdr_v2": times.histogram,
    }
