"""``pytest-fastr export`` and ``pytest-fastr schema``: results in other forms. Wiring only."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from pytest_fastr.errors import ResultError
from pytest_fastr.report.csv_text import to_csv
from pytest_fastr.report.k6 import Run, to_k6
from pytest_fastr.report.load_reader import LoadRun
from pytest_fastr.report.output import is_ascii_only, print_text, write_text
from pytest_fastr.report.quantity import printable
from pytest_fastr.report.result_reader import read_result_or_load
from pytest_fastr.report.schemas import SCHEMAS, schema_text
from pytest_fastr.report.summary_text import summary_text

_MOST_NAMED = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of ``export``."""
    parser.add_argument(
        "result", type=Path, metavar="RESULT.json", help="a file of --perf-json, or of pytest-fastr load --json"
    )
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument("--csv", dest="form", action="store_const", const="csv", help="a row a test and metric")
    form.add_argument(
        "--summary", dest="form", action="store_const", const="summary", help="text for a terminal, in k6's manner"
    )
    form.add_argument(
        "--k6", dest="form", action="store_const", const="k6", help="one run as JSON in the shape of k6's summary"
    )
    parser.add_argument("--test", metavar="TEXT", help="only tests (and load runs) whose node id contains this")
    parser.add_argument("--mode", choices=("stored", "paired", "equal", "none", "load"), help="only runs of this mode")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write there instead of to standard output")


def run(args: argparse.Namespace) -> int:
    """Exports. Returns 0. Raises ResultError and ReportError."""
    to_file = args.output is not None
    if to_file and args.output.resolve() == args.result.resolve():
        raise ResultError(f"--output {args.output} is the result file itself: give another file")
    runs = _chosen(args)
    if args.form == "csv":
        text = to_csv(runs)
    elif args.form == "k6":
        text = to_k6(_only(runs, args.result))
    else:
        width = min(shutil.get_terminal_size().columns, 100)
        text = "\n".join(summary_text(one, width, not to_file and is_ascii_only(sys.stdout)) for one in runs)
    if to_file:
        write_text(args.output, text, "export", "--output")
    else:
        print_text(text)
    return 0


def add_schema_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of ``schema``."""
    parser.add_argument(
        "name", nargs="?", choices=SCHEMAS, default="result",
        help="result: the file of --perf-json (the default); load: that of pytest-fastr load --json",
    )  # fmt: skip


def run_schema(args: argparse.Namespace) -> int:
    """Prints a schema. Returns 0."""
    print_text(schema_text(args.name))
    return 0


def _chosen(args: argparse.Namespace) -> list[Run]:
    read = read_result_or_load(args.result)
    all_runs: list[Run] = [read] if isinstance(read, LoadRun) else [*read.session.tests, *read.loads]
    if not all_runs:
        raise ResultError(f"the result file {args.result} holds no test and no load run: there is nothing to export")
    runs = [one for one in all_runs if (args.test or "") in one.nodeid and args.mode in (None, _mode(one))]
    if not runs:
        raise ResultError(f"no run in {args.result} is what --test and --mode ask for; it has {_names(all_runs)}")
    return runs


def _only(runs: Sequence[Run], path: Path) -> Run:
    if len(runs) > 1:
        raise ResultError(
            f"a k6 summary is of one run, and {path} has {len(runs)}: choose by --test or --mode among {_names(runs)}"
        )
    return runs[0]


def _names(runs: Sequence[Run]) -> str:
    named = [f"{printable(one.nodeid)} ({_mode(one)})" for one in runs[:_MOST_NAMED]]
    more = len(runs) - len(named)
    return ", ".join(named) + (f" and {more:,} more" if more else "")


def _mode(one: Run) -> str:
    return "load" if isinstance(one, LoadRun) else one.mode
