"""The command ``pytest-fastr``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, NoReturn

from pytest_fastr import (
    baseline_command,
    compare_command,
    export_command,
    github_command,
    history_command,
    load_command,
    routes_command,
    selftest_command,
    serve,
)
from pytest_fastr.errors import BaselineError, ConfigError, FastrError, HistoryError, LoadError, RefError, ResultError
from pytest_fastr.gate.profile import detect, render_profile
from pytest_fastr.report.quantity import printable


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line; the usage is for who asks for it.

    A command with a default for ``pytest_args`` leaves to pytest what it does not know, and all that stands behind
    ``--``.
    """

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if self.get_default("pytest_args") is None:
            return super().parse_known_args(args, namespace)
        given = list(args)
        cut = given.index("--") if "--" in given else len(given)
        found, rest = super().parse_known_args(given[:cut], namespace)
        found.pytest_args = [*rest, *given[cut + 1 :]]
        return found, []

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = _Parser(prog="pytest-fastr", description="Performance tests for Python web apps.")
    made.add_argument("--version", action="version", version=f"pytest-fastr {version('pytest-fastr')}")
    commands = made.add_subparsers(dest="command", required=True)
    profile = commands.add_parser("profile", help="print this machine's hardware profile")
    profile.add_argument("--slug", action="store_true", help="only the name of its baseline folder")
    profile.set_defaults(run=_profile)
    load = commands.add_parser("load", help="load a server and report how it did")
    load_command.add_arguments(load)
    load.set_defaults(run=load_command.run)
    selftest = commands.add_parser("selftest", help="try the gate on this machine: red for a slowdown, green for none")
    selftest_command.add_arguments(selftest)
    selftest.set_defaults(run=selftest_command.run)
    serving = commands.add_parser("serve", help="serve an application with the engine that measures it")
    serve.add_arguments(serving)
    serving.set_defaults(run=serve.run)
    routes = commands.add_parser("routes", help="say which routes of an app the engine serves natively, and why not")
    routes_command.add_arguments(routes)
    routes.set_defaults(run=routes_command.run)
    export = commands.add_parser("export", help="a result file as CSV, as a summary, or in the shape of k6's")
    export_command.add_arguments(export)
    export.set_defaults(run=export_command.run)
    schema = commands.add_parser("schema", help="print the JSON Schema of a file that pytest-fastr writes")
    export_command.add_schema_arguments(schema)
    schema.set_defaults(run=export_command.run_schema)
    compare = commands.add_parser("compare", help="hold two result files against each other")
    compare_command.add_arguments(compare)
    compare.set_defaults(run=compare_command.run)
    history = commands.add_parser("history", help="show how tests went over the sessions that were measured here")
    history_command.add_arguments(history)
    history.set_defaults(run=history_command.run)
    github = commands.add_parser("github", help="report a result on GitHub: summary, annotations, check run, comment")
    github_command.add_arguments(github)
    baseline = commands.add_parser("baseline", help="update, show, compare, prune and import stored baselines")
    baseline_command.add_arguments(baseline)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command. Returns the exit code: 0, 1 for a failure, 2 for what cannot be done as it was asked for."""
    args = parser().parse_args(argv)
    try:
        code: int = args.run(args)
        sys.stdout.flush()
    except (BaselineError, LoadError, ConfigError, HistoryError, RefError, ResultError) as error:
        _complain(error)
        return 2
    except FastrError as error:
        _complain(error)
        return 1
    except KeyboardInterrupt:
        return load_command.INTERRUPTED
    except OSError as error:
        # Nothing more can be written there, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"pytest-fastr: cannot write the result: {error.strerror or error}", file=sys.stderr)
        return 2
    return code


def _complain(error: FastrError) -> None:
    """Says what was refused. It may quote a file, and a terminal must not act on that."""
    text = "\n".join(map(printable, str(error).split("\n")))
    print(f"pytest-fastr: {text}", file=sys.stderr)


def _profile(args: argparse.Namespace) -> int:
    profile = detect(version("pytest-fastr"))
    print(profile.slug if args.slug else render_profile(profile).rstrip())
    return 0


if __name__ == "__main__":
    sys.exit(main())
