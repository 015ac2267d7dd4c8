"""``pytest-fastr history``: how tests went over the sessions that were measured here. Wiring only."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

from pytest_fastr.config import load_config
from pytest_fastr.errors import ResultError
from pytest_fastr.gate.profile import detect
from pytest_fastr.history.keep import history_file
from pytest_fastr.history.store import HistoryStore
from pytest_fastr.history.trend import metrics_of, trends_of
from pytest_fastr.keys import suggestion
from pytest_fastr.report.history_table import history_csv, history_json
from pytest_fastr.report.history_text import Screen, history_text
from pytest_fastr.report.output import is_ascii_only, print_text

_USUAL = 30
_MOST = 10_000
_HERE = "this machine's"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of the command."""
    parser.add_argument("nodeid", nargs="?", default="", metavar="TEXT", help="only tests whose node id contains this")
    parser.add_argument("--metric", help="cpu (the default), throughput, p50, p90, p99, memory, ...")
    parser.add_argument(
        "--profile", nargs="?", const=_HERE, metavar="SLUG",
        help="only sessions of this hardware profile; without SLUG, of this machine's",
    )  # fmt: skip
    parser.add_argument("--last", type=int, default=_USUAL, metavar="N", help="the last N sessions (%(default)s)")
    parser.add_argument("--db", type=Path, metavar="FILE", help="the database (default: the one of this folder)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the trends as JSON")
    form.add_argument("--csv", action="store_true", help="print the sessions as CSV, a row a test and metric")


def run(args: argparse.Namespace) -> int:
    """Prints trends. Returns 0; 2 where there is nothing to show. Raises HistoryError, ConfigError and ResultError."""
    if not 1 <= args.last <= _MOST:
        raise ResultError(f"--last {args.last}: must be 1 to {_MOST:,}")
    path = args.db or _nearest(Path.cwd())
    if args.db is not None and not args.db.exists():
        raise ResultError(f"--db {args.db}: there is no such file")
    profile = detect(version("pytest-fastr")).slug if args.profile == _HERE else args.profile
    sessions = HistoryStore(path).read(args.nodeid, args.last, profile)
    if not sessions:
        raise ResultError(_nothing(path, args.nodeid, profile))
    trends = trends_of(sessions, args.metric)
    if args.metric is not None and args.metric not in metrics_of(sessions):
        raise ResultError(f"--metric {args.metric}: no session has it{suggestion(args.metric, metrics_of(sessions))}")
    if args.csv:
        print_text(history_csv(sessions, args.metric))
    elif args.json:
        print_text(history_json(trends))
    else:
        print_text(history_text(trends, _screen()))
    return 0


def _nearest(folder: Path) -> Path:
    """The database of the folder or of the nearest one above that has one; that of the folder, where none has."""
    places = [history_file(load_config(one).history, one) for one in (folder, *folder.parents)]
    return next((place for place in places if place.exists()), places[0])


def _nothing(path: Path, nodeid: str, profile: str | None) -> str:
    store = HistoryStore(path)
    if not path.exists() or not store.read(last=1):
        return (
            f"there is no history yet ({path}): every `pytest --perf` adds its session, unless it is switched off "
            "(--perf-no-history, or history = false in [tool.pytest-fastr])"
        )
    if profile is not None and not store.read(last=1, profile=profile):
        known = dict.fromkeys(session.profile for session in store.read(last=_MOST))
        return f"no session of the profile {profile} is in {path}; it has {', '.join(known)}"
    return f"no test whose node id contains {nodeid!r} is in {path}"


def _screen() -> Screen:
    stream = sys.stdout
    color = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Screen(min(shutil.get_terminal_size().columns, 120), color, is_ascii_only(stream))
