"""Measures the published tables again, and writes docs/benchmarks.md.

    python -m published frameworks               # a constant answer, beside other frameworks
    python -m published database                 # a hundred rows of PostgreSQL, beside FastAPI and Axum
    python -m published page                     # only the page, from the results that are there

`make bench-frameworks` and `make bench-database` do so. A measurement that was interrupted goes on where it stopped.
Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from measuring.environments import Environments, Missing
from measuring.generators import Span
from measuring.processes import Cores, cores
from measuring.records import Record, append, read
from measuring.rounds import CACHE, Plan, Setting, end_on_signals, measure, say
from published import database, frameworks
from published.page import write_page
from published.places import APPS, PAGE, RECORDS, RESULTS
from published.sources import Stale, check_records, sources_hash
from published.summary import progress, summarised, write_summary
from published.table import Summary, Table
from pytest_fastr.errors import FastrError

TABLES = {table.name: table for table in (frameworks.TABLE, database.TABLE)}
CHECKED_ROUNDS = 2
"""In so many rounds another generator measures the same beside ours."""


class Refused(Exception):
    """What cannot be done as asked. The message names what to change."""


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="published", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=(*TABLES, "page"))
    parser.add_argument("--seconds", type=_amount, default=30.0, help="of load for a row, in all rounds together (30)")
    parser.add_argument("--rounds", type=_count, default=6, help="in which rows alternate (6)")
    parser.add_argument("--warm-up", type=_amount, default=1.0, metavar="SECONDS", help="before each round (1)")
    parser.add_argument("--only", type=_names, default=[], metavar="ROW,...", help="some of the rows")
    parser.add_argument("--workloads", type=_names, default=[], metavar="NAME,...", help="some of the loads")
    parser.add_argument("--server-cores", type=_count, default=1, metavar="N", help="that a server may use (1)")
    parser.add_argument("--no-check", action="store_true", help="leave out the generators beside ours")
    parser.add_argument("--records", type=Path, metavar="FILE", help="(default: reports/published/TABLE.jsonl)")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR", help="for results as JSON")
    parser.add_argument("--page", type=Path, default=PAGE, metavar="FILE", help="with images/ beside it")
    parser.add_argument("--cache", type=Path, default=CACHE, metavar="DIR", help="for the peers' environments")
    parser.add_argument("--python", metavar="PYTHON", help="the peers' interpreter (default: this one, if it will do)")
    parser.add_argument("--list", action="store_true", help="print rows and loads, measure nothing")
    return parser.parse_args(argv)


def _amount(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text!r}: must be a number above 0")
    return value


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r}: must be a whole number from 1")
    return int(text)


def _names(text: str) -> list[str]:
    # Nothing would be everything, such as --only "$ROWS" of a variable that is not set.
    if not (names := [name for name in text.split(",") if name]):
        raise argparse.ArgumentTypeError(f"{text!r}: must be names, with commas between them")
    return names


def chosen(table: Table, rows: list[str], loads: list[str]) -> Table:
    """The table with some of its rows and loads. Raises Refused for a name that is none."""
    for names, known, what in (
        (rows, [server.name for server in table.servers], "--only"),
        (loads, [workload.name for workload in table.workloads], "--workloads"),
    ):
        for name in names:
            if name not in known:
                raise Refused(f"{what} {name}: there are {', '.join(known)}")
    return replace(
        table,
        servers=tuple(server for server in table.servers if not rows or server.name in rows),
        workloads=tuple(workload for workload in table.workloads if not loads or workload.name in loads),
    )


def run(args: argparse.Namespace) -> int:
    """Measures and writes. Returns the exit code."""
    whole = TABLES[args.what]
    table = chosen(whole, args.only, args.workloads)
    if args.list:
        titles = [(one.name, one.title) for one in table.servers] + [(one.name, one.title) for one in table.workloads]
        print("\n".join(f"{name:18}{title}" for name, title in titles))
        return 0
    records = args.records or RECORDS / f"{args.what}.jsonl"
    seconds = args.seconds / args.rounds
    check_records(records, warm_up=args.warm_up)
    place = placed(args.server_cores)
    plan = Plan(
        list(table.servers), list(table.workloads), generators(args.no_check), args.rounds,
        Span(seconds, args.warm_up), 1, place, CHECKED_ROUNDS,
    )  # fmt: skip
    environments = Environments(args.cache.expanduser().absolute(), args.python)
    with database.database(environments, place.generator) if args.what == "database" else nullcontext() as served:
        options = {"table": args.what, "sources": sources_hash()}
        setting = Setting(records, args.cache, APPS, args.python, start_s=60.0)
        if served is not None:
            check_records(records, database=served.version)
            chosen_names = {server.name for server in table.servers}
            plan = replace(plan, servers=[one for one in database.servers(served.url) if one.name in chosen_names])
            setting = replace(setting, others=() if served.pid is None else (served.pid,), secret=served.url)
            options["database"] = served.version
        whole_run = measure(plan, setting, options)
        if served is not None and whole_run:
            add_steps(environments, served.url, place, records)
    if not whole_run:
        return 130
    summary = read_values(whole, read(records), seconds, place.name, records)
    for line in progress(summary):
        print(line)
    written = [write_summary(summary, args.results), *write_page(args.results, args.page)]
    say(f"written: {', '.join(str(path) for path in written)}")
    return 0


def read_values(table: Table, found: list[Record], seconds: float, placement: str, path: Path) -> Summary:
    """The values of records. Raises Refused for records that lack theirs."""
    try:
        return summarised(table, found, seconds, placement)
    except (KeyError, TypeError, ValueError) as error:
        raise Refused(f"{path} is damaged ({type(error).__name__}: {error}): remove it, and measure again") from error


def placed(server_cores: int) -> Cores:
    """The cores of servers, and that of the generator. Raises Refused where there are not so many."""
    try:
        return cores(False, server_cores)
    except ValueError as error:
        usable, needed = len(os.sched_getaffinity(0)), max(server_cores, 2)
        raise Refused(f"--server-cores {server_cores}: {usable} may be used here, and {needed} are needed") from error


def add_steps(environments: Environments, url: str, place: Cores, records: Path) -> None:
    """Records what the steps of our answer cost, where that can be told."""
    try:
        append(records, database.where(environments, url, place.servers))
    except (Missing, ValueError, OSError) as error:
        say(f"where the time goes is left out: {error}")


def generators(alone: bool) -> list[str]:
    """Ours first, and those beside it that are installed."""
    return ["own", *(name for name in ("wrk", "oha") if not alone and shutil.which(name))]


def main(argv: list[str] | None = None) -> int:
    """Returns 0, 2 for what cannot be done as asked, 130 when interrupted."""
    args = arguments(argv)
    end_on_signals()
    try:
        if args.what == "page":
            say(f"written: {', '.join(str(path) for path in write_page(args.results, args.page))}")
            return 0
        return run(args)
    except (Refused, Missing, Stale, FastrError) as error:
        print(f"published: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        say("interrupted: the same command goes on from here")
        return 130


if __name__ == "__main__":
    sys.exit(main())
