"""``pytest-fastr compare A.json B.json``: two runs held against each other. Wiring only."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from pytest_fastr.config import parse_limit
from pytest_fastr.errors import ResultError
from pytest_fastr.gate.two_runs import compare_runs
from pytest_fastr.report.compare_text import compare_json, compare_text, why_nothing_was_compared
from pytest_fastr.report.load_reader import LoadRun
from pytest_fastr.report.output import is_ascii_only, print_text
from pytest_fastr.report.result_reader import ResultFile, read_result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of the command."""
    parser.add_argument("a", type=Path, metavar="A.json", help="the earlier run's file of --perf-json")
    parser.add_argument("b", type=Path, metavar="B.json", help="the later run's")
    parser.add_argument(
        "--limit", metavar="PERCENT", help="the change that counts as worse (default: each metric's own limit in B)"
    )
    parser.add_argument("--json", action="store_true", help="print the comparison as JSON")


def run(args: argparse.Namespace) -> int:
    """Compares. Returns 1 where something is worse than its limit beyond its interval, else 0.

    Raises ConfigError and ResultError, the latter also where nothing can be compared; what there is is printed before.
    """
    limit = None if args.limit is None else parse_limit(args.limit, "--limit")
    if limit is not None and limit >= 1:
        raise ResultError(f"--limit {args.limit}: must be below 100 %")
    a, b = read_result(args.a), read_result(args.b)
    runs, loads = compare_runs(a.session, b.session, limit), _loads(a, b)
    if args.json:
        print_text(compare_json(runs, loads))
    else:
        width = min(shutil.get_terminal_size().columns, 100)
        print_text(compare_text(runs, loads, width, is_ascii_only(sys.stdout)))
    sys.stdout.flush()
    nothing = why_nothing_was_compared(runs)
    if nothing:
        raise ResultError(f"cannot compare {args.a} with {args.b}: {nothing}")
    return int(bool(runs.worse))


def _loads(a: ResultFile, b: ResultFile) -> list[tuple[LoadRun, LoadRun]]:
    """Load runs of the same test, in the order of their runs."""
    left = list(a.loads)
    found = []
    for run in b.loads:
        same = next((one for one in left if one.nodeid == run.nodeid), None)
        if same is not None:
            left.remove(same)
            found.append((same, run))
    return found
