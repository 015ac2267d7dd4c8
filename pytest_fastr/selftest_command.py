"""``pytest-fastr selftest``: tries the gate on this machine. Wiring only."""

from __future__ import annotations

import argparse
import shutil
import sys
from importlib.metadata import version

from pytest_fastr.config import parse_limit
from pytest_fastr.gate.measure import LoadShape
from pytest_fastr.gate.profile import detect
from pytest_fastr.gate.selftest import try_gate
from pytest_fastr.keys import parse_duration
from pytest_fastr.report.live import LiveLine, show_on
from pytest_fastr.report.selftest_text import selftest_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of the command."""
    parser.add_argument("--work", default="10%", metavar="PERCENT", help="the planted slowdown (10%%)")
    parser.add_argument("--duration", default="5s", metavar="TIME", help="load a side and trial (5s)")


def run(args: argparse.Namespace) -> int:
    """Runs both trials. Returns 0 when both came out as they had to, else 1."""
    work = parse_limit(args.work, "--work")
    duration_s = parse_duration(args.duration, "--duration")
    line = LiveLine.on(sys.stderr)
    with line.below():
        trials = try_gate(
            work,
            LoadShape(users=20, duration_s=duration_s, epochs=6, warmup_max_s=2.0),
            false_alarm=0.01,
            show=show_on(line, "selftest"),
        )
    width = min(shutil.get_terminal_size().columns, 100)
    slug = detect(version("pytest-fastr")).slug
    sys.stdout.write(selftest_text(trials, slug, duration_s, width))
    return int(not all(trial.passed for trial in trials))
