"""The command ``pytest-fastr``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version

from pytest_fastr.errors import FastrError
from pytest_fastr.gate.profile import detect, render_profile


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="pytest-fastr", description="Performance tests for Python web apps.")
    made.add_argument("--version", action="version", version=f"pytest-fastr {version('pytest-fastr')}")
    commands = made.add_subparsers(dest="command", required=True)
    profile = commands.add_parser("profile", help="print this machine's hardware profile")
    profile.add_argument("--slug", action="store_true", help="only the name of its baseline folder")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command. Returns the exit code: 0, 1 for a failure, 2 for a usage error."""
    args = parser().parse_args(argv)
    try:
        profile = detect(version("pytest-fastr"))
        print(profile.slug if args.slug else render_profile(profile).rstrip())
    except FastrError as error:
        print(f"pytest-fastr: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
