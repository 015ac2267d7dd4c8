"""Prints the comparison of RECORDS (see `run.py`) as Markdown.

    python benchmarks/engine/table.py RECORDS
    python benchmarks/engine/table.py RECORDS --references nginx,robyn

Ratios are of a round, server against reference; printed are their median over the rounds and, in brackets, the range of
the middle 80 %. Above 1 is faster, for CPU more expensive.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import benchmarks_path  # noqa: F401  (for `measuring`)
from comparison import GOALS, Goal, judged
from servers import SERVERS
from workloads import WORKLOADS, Workload

from measuring.ratios import Ratio, Row, ratio, row
from measuring.records import Record, read

REFERENCES = ["nginx", "hyper-limit", "fastapi-uvicorn", "django-bolt", "django-bolt-msgspec", "robyn"]
BUSY_GENERATOR = 0.9
LIMITED, FAILED, LAX = "≥", "✗", "°"
QUIET_LOAD = 0.5

Rows = dict[tuple[str, str, str, str], Row]
"""By placement, generator, workload and server."""


def rows(records: list[Record]) -> Rows:
    """All measurements, put together by round."""
    grouped: dict[tuple[str, str, str, str], list[Record]] = defaultdict(list)
    for record in records:
        if record["kind"] == "measurement":
            where = record["placement"], record["generator"], record["workload"], record["server"]
            grouped[where].append(record)
    return {where: row(found) for where, found in grouped.items()}


def absences(records: list[Record]) -> dict[str, str]:
    """Why servers have no row, where that was the last word on them."""
    reasons: dict[str, str] = {}
    for record in records:
        if record["kind"] == "absent":
            reasons[f"{record['server']} ({record['routes']})"] = record["reason"]
        elif record["kind"] == "measurement":
            routes = next((one.routes for one in WORKLOADS if one.name == record["workload"]), "plain")
            reasons.pop(f"{record['server']} ({routes})", None)
    return reasons


def workload_table(found: Rows, placement: str, generator: str, workload: Workload, references: list[str]) -> list[str]:
    """Servers on one workload, fastest first; none when nothing was measured."""
    here = {
        server.name: found[placement, generator, workload.name, server.name]
        for server in SERVERS
        if (placement, generator, workload.name, server.name) in found
    }
    if not here:
        return []
    against = [name for name in references if name in here and here[name].rounds]
    costly = [name for name in against[:1] if here[name].middle("cpu_us") is not None]
    titles = ["server", *(f"requests/s, of {name}" for name in against), *(f"CPU, of {name}" for name in costly)]
    titles += ["requests/s", "CPU a request", "p50", "p99", "memory", "rounds", "errors"]
    lines = [f"#### {workload.name}: {workload.title}, {workload.connections} connections", "", _line(titles)]
    lines.append(_line(["---"] * len(titles)))
    for name, own in sorted(here.items(), key=lambda item: -(item[1].middle("rps") or 0)):
        cells = [_name(name, own)]
        cells += [_ratio(ratio(own, here[other], "rps"), name == other) for other in against]
        cells += [_ratio(ratio(own, here[other], "cpu_us"), name == other) for other in costly]
        cells += [
            _number(own.middle("rps"), "{:,.0f}"), _number(own.middle("cpu_us"), "{:.1f} us"),
            _number(own.middle("p50_us"), "{:,.0f} us"), _number(own.middle("p99_us"), "{:,.0f} us"),
            _number(own.middle("rss_bytes"), "{:.0f} MB", 1e-6), str(len(own.rounds)),
            "; ".join([*([f"{own.errors:,}"] if own.errors else []), *own.wrong]) or "0",
        ]  # fmt: skip
        lines.append(_line(cells))
    return [*lines, ""]


def goals_table(found: Rows, generator: str, one_core: str) -> list[str]:
    """Every goal, for each of our rows that was measured."""
    lines = ["#### Goals", "", _line(["goal", "workload", "row", "ratio", ""]), _line(["---"] * 5)]
    for goal in GOALS:
        cases = [
            [goal.text, workload, own, str(value) if value else "", judged(value, goal)]
            for workload in goal.workloads
            for own, value in _cases(found, generator, one_core, goal, workload)
        ]
        lines += [_line(cells) for cells in cases or [[goal.text, "", "", "", judged(None, goal)]]]
    return [*lines, ""]


def _cases(found: Rows, generator: str, one_core: str, goal: Goal, workload: str) -> Iterator[tuple[str, Ratio | None]]:
    for server in goal.ours:
        for placement in goal.placements or (one_core,):
            own = found.get((placement, generator, workload, server))
            if own is None:
                continue
            other_workload = workload.replace(*goal.other_workload) if goal.other_workload else workload
            other = found.get((one_core, generator, other_workload, goal.other or server))
            yield f"{server} ({placement})" if goal.placements else server, ratio(own, other, goal.value)


def check_table(found: Rows) -> list[str]:
    """wrk beside our generator, where both measured the same."""
    lines = []
    for (placement, generator, workload, server), own in found.items():
        if generator == "own" and (other := found.get((placement, "wrk", workload, server))):
            cells = [workload, server, placement]
            cells += [_ratio(ratio(other, own, value)) for value in ("rps", "cpu_us", "p50_us", "p99_us")]
            lines.append(_line(cells))
    if not lines:
        return []
    titles = ["workload", "server", "", "requests/s", "server's CPU", "p50", "p99"]
    return ["#### Generators: wrk / ours", "", _line(titles), _line(["---"] * len(titles)), *lines, ""]


def warnings(records: list[Record], found: Rows) -> list[str]:
    """What a reader must know before believing the tables."""
    runs = [record for record in records if record["kind"] == "run"]
    used = {record["run"] for record in records if record["kind"] == "measurement"}
    runs = [run for run in runs if run["run"] in used]
    notes = []
    if len({run["build"] for run in runs}) > 1:
        notes.append("Our rows mix several builds of the engine: start new records.")
    if len({(run["machine"], run["kernel"]) for run in runs}) > 1:
        notes.append("The records are from several machines or kernels.")
    if any(run["debug_build"] for run in runs):
        notes.append("Some of our rows are of a debug build and mean nothing.")
    if busy := [run["load_average"] for run in runs if run["load_average"] > QUIET_LOAD]:
        notes.append(f"The machine was not idle when runs began (load average up to {max(busy):.1f}).")
    if any(len(own.rounds) < 7 for own in found.values()):
        notes.append("Some rows have fewer than 7 rounds.")
    if len({record["seconds"] for record in records if record["kind"] == "measurement"}) > 1:
        notes.append("Measurements of several lengths are mixed: start new records.")
    return [f"* **{note}**" for note in notes]


def heading(records: list[Record]) -> list[str]:
    """Machine, software and protocol, from the last run."""
    runs = [record for record in records if record["kind"] == "run"]
    if not runs:
        return ["Nothing is recorded."]
    last = runs[-1]
    lines = [
        f"{last['machine']}, kernel {last['kernel']}, {last['time'][:10]}; engine build {last['build']} of commit "
        f"{last['commit'][:10]}{' with changes' if last['changed'] else ''}; {last['nginx']}; "
        f"{last['seconds']:g} s a measurement after {last['warm_up']:g} s of warm-up.",
        "",
    ]
    described = {record["server"]: record for record in records if record["kind"] == "server"}
    pythons: dict[str, list[str]] = defaultdict(list)
    for name, record in described.items():
        if record["python"]:
            pythons[record["python"]].append(name)
    lines += [f"* Python {version}: {', '.join(names)}" for version, names in sorted(pythons.items())]
    lines += [f"* not measured: {name}: {reason}" for name, reason in absences(records).items()]
    return lines


def _name(name: str, own: Row) -> str:
    marks = ""
    if (own.middle("utilisation") or 0) > BUSY_GENERATOR:
        marks += LIMITED
    if any(record.get("refuses") is False for record in own.rounds.values()):
        marks += LAX
    if own.errors or own.wrong:
        marks += FAILED
    return f"{name} {marks}".strip()


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _ratio(found: Ratio | None, same: bool = False) -> str:
    return "1" if same else "" if found is None else str(found)


def _number(value: float | None, form: str, scale: float = 1.0) -> str:
    return "" if value is None else form.format(value * scale)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", type=Path)
    parser.add_argument("--references", type=lambda text: text.split(","), default=REFERENCES, metavar="SERVER,...")
    args = parser.parse_args()
    records = read(args.records)
    found = rows(records)
    lines = [*heading(records), *warnings(records, found), ""]
    lines += [
        f"{LIMITED} the generator had no core time left, so that the server can do more; {FAILED} requests failed, or "
        f"an answer was wrong; {LAX} what is not valid was accepted.",
        "",
    ]
    settings = dict.fromkeys((placement, generator) for placement, generator, _, _ in found)
    for placement, generator in settings:
        if len(settings) > 1:
            lines += [f"### {placement}, generator: {generator}", ""]
        for workload in WORKLOADS:
            lines += workload_table(found, placement, generator, workload, args.references)
    for generator in dict.fromkeys(generator for _, generator in settings):
        lines += goals_table(found, generator, "1 server core(s)")
    lines += check_table(found)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
