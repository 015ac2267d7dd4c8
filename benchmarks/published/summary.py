"""From records to the values of a table: JSON, which the page is made of."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from measuring.ratios import Ratio, Row, ratio, row
from measuring.records import Record
from published.sources import last_run
from published.table import Goal, Summary, Table, judged
from pytest_fastr.report.output import write_text

SCHEMA = 1
VALUES = (
    "rps", "mean_us", "p50_us", "p95_us", "p99_us", "service_p50_us", "service_p99_us", "cpu_us", "others_us",
    "peak_rss_bytes", "utilisation", "steal",
)  # fmt: skip
COMPARED = ("rps", "cpu_us", "p50_us", "p99_us")
Rows = dict[tuple[str, str, str], Row]
"""By workload, server and generator."""


def summarised(table: Table, records: list[Record], seconds: float, placement: str) -> Summary:
    """The values of all rounds of this length in this place."""
    mine = [
        record
        for record in records
        if record.get("kind") == "measurement" and record["seconds"] == seconds and record["placement"] == placement
    ]
    found = _rows(mine)
    started = {record["server"]: record for record in records if record.get("kind") == "server"}
    absent = {record["server"]: record["reason"] for record in records if record.get("kind") == "absent"}
    return {
        "schema": SCHEMA,
        "table": table.name,
        "run": _run(records, mine, seconds),
        "servers": [
            {
                "name": server.name, "title": server.title, "command": started.get(server.name, {}).get("command"),
                "python": started.get(server.name, {}).get("python"),
                "packages": started.get(server.name, {}).get("packages", []),
            }
            for server in table.servers
        ],
        "workloads": [
            {
                "name": workload.name, "title": workload.title, "rate": workload.rate,
                "rows": [
                    _row(found, workload.name, server.name, table.base, absent.get(server.name))
                    for server in table.servers
                ],
            }
            for workload in table.workloads
        ],
        "goals": [_goal(goal, found) for goal in table.goals],
        "where": next((_steps(record) for record in reversed(records) if record.get("kind") == "where"), None),
    }  # fmt: skip


def _steps(record: Record) -> Summary:
    return {name: value for name, value in record.items() if name.endswith("_us")}


def _rows(records: list[Record]) -> Rows:
    grouped: dict[tuple[str, str, str], list[Record]] = defaultdict(list)
    for record in records:
        grouped[record["workload"], record["server"], record["generator"]].append(record)
    return {where: row(group) for where, group in grouped.items()}


def _run(records: list[Record], mine: list[Record], seconds: float) -> Summary:
    """The machine and the options, without what would name the machine to strangers."""
    run = last_run(records)
    kept = ("kernel", "python", "build", "commit", "wrk", "oha", "database", "warm_up", "server_cores",
            "generator_cores", "machine")  # fmt: skip
    return {
        **{name: run.get(name) for name in kept},
        "profile": run.get("profile", {}),
        "seconds": seconds,
        "rounds": len({record["round"] for record in mine}),
        "from": min((record["time"] for record in mine), default=None),
        "to": max((record["time"] for record in mine), default=None),
    }


def _row(found: Rows, workload: str, server: str, base: str, absent: str | None) -> Summary:
    own = found.get((workload, server, "own"))
    if own is None:
        return {"server": server, "absent": absent or "not measured"}
    values = {name: _spread(own, name) for name in VALUES}
    scheduled = [record["scheduled"] for record in own.rounds.values() if record.get("scheduled")]
    answered = sum(record["requests"] for record in own.rounds.values())
    beside = {
        other: {name: _ratio(ratio(found[workload, server, other], own, name)) for name in COMPARED}
        for other in ("wrk", "oha")
        if (workload, server, other) in found
    }
    failed = {other: found[workload, server, other].errors for other in beside}
    return {
        "server": server,
        "rounds": len(own.rounds),
        **values,
        "of_base": _ratio(ratio(own, found.get((workload, base, "own")), "rps")),
        "scheduled": sum(scheduled) or None,
        "answered": answered,
        "errors": own.errors,
        "wrong": list(own.wrong),
        "beside": beside,
        "beside_errors": {name: count for name, count in failed.items() if count},
    }


def _spread(own: Row, name: str) -> Summary | None:
    """The median of the rounds and the range of the middle 80 %. Not known, where it is not known of every round: those
    that lack a quantile are not like the others."""
    values = [record[name] for record in own.rounds.values() if record.get(name) is not None]
    if not values or len(values) < len(own.rounds):
        return None
    tenths = quantiles(values, n=10, method="inclusive") if len(values) > 1 else values
    return {"median": median(values), "low": tenths[0], "high": tenths[-1]}


def _ratio(found: Ratio | None) -> Summary | None:
    return None if found is None else {"median": found.value, "low": found.low, "high": found.high}


def _goal(goal: Goal, found: Rows) -> Summary:
    """The best of ours against the best of the others."""
    ours = _best(found, goal.workload, goal.ours)
    others = _best(found, goal.workload, goal.others)
    ratio_ = None
    if ours is not None and others is not None:
        ratio_ = ratio(found[goal.workload, ours, "own"], found[goal.workload, others, "own"], "rps")
    return {
        "text": goal.text, "workload": goal.workload, "ours": ours, "other": others, "least": goal.least,
        "ratio": _ratio(ratio_), "judged": judged(ratio_, goal.least),
    }  # fmt: skip


def _best(found: Rows, workload: str, names: tuple[str, ...]) -> str | None:
    rates = {
        name: rate
        for name in names
        if (own := found.get((workload, name, "own"))) is not None and (rate := own.middle("rps")) is not None
    }
    return max(rates, key=rates.__getitem__) if rates else None


def progress(summary: Summary) -> list[str]:
    """The goals, for the terminal."""
    return [
        f"{goal['judged']:22}{_shown(goal['ratio']):24}{goal['text']}"
        for goal in summary["goals"]
        if goal["judged"] != "not measured"
    ]


def _shown(found: Summary | None) -> str:
    return "" if found is None else f"{found['median']:.2f} [{found['low']:.2f}, {found['high']:.2f}]"


def write_summary(summary: Summary, folder: Path) -> Path:
    """Writes the summary in one step."""
    path = folder / f"{summary['table']}.json"
    write_text(path, json.dumps(summary, indent=1, sort_keys=True) + "\n", "results", "--results")
    return path


def read_summary(path: Path, table: str) -> Summary | None:
    """The summary of a file; None without the file. Raises ValueError for one that is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    found: Any = json.loads(text)
    if not isinstance(found, dict) or found.get("schema") != SCHEMA or found.get("table") != table:
        raise ValueError(f"it is no summary of the table {table} in form {SCHEMA}")
    return found
