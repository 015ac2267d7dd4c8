"""``pytest-fastr routes``: the lane of every route of an application. Wiring only."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

from pytest_fastr.config import load_config
from pytest_fastr.errors import ConfigError
from pytest_fastr.mount.lanes import route_reports
from pytest_fastr.mount.target import AppRef
from pytest_fastr.report.routes_text import routes_text

_MEMBERS = ("methods", "path", "lane", "reasons")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of the command."""
    parser.add_argument("app", nargs="?", help="module:attr or module:factory() (default: `app` of the configuration)")
    parser.add_argument("--path", action="append", default=[], metavar="DIR", help="put before the import path")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Prints the routes. Returns 0."""
    here = Path.cwd()
    name = args.app or load_config(here).app
    if not isinstance(name, str):
        raise ConfigError('no application: name one, e.g. `pytest-fastr routes shop.main:app`, or set `app = "..."`')
    first = [*args.path, str(here)]
    sys.path[:] = [*first, *(entry for entry in sys.path if entry not in first)]
    reports = route_reports(AppRef.parse(name).load(), name)
    if args.json:
        print(json.dumps([{name: getattr(report, name) for name in _MEMBERS} for report in reports], indent=2))
    else:
        sys.stdout.write(routes_text(reports, min(shutil.get_terminal_size().columns, 120)))
    return 0
