"""``pytest-fastr baseline``: stored baselines are updated, shown, compared, pruned and imported. Wiring only."""

from __future__ import annotations

import argparse
import difflib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any

from pytest_fastr.config import load_config
from pytest_fastr.errors import BaselineError, ConfigError
from pytest_fastr.gate.baseline_diff import diff_of
from pytest_fastr.gate.collect import collect
from pytest_fastr.gate.merge import import_profiles
from pytest_fastr.gate.profile import detect
from pytest_fastr.gate.prune import Removal, gone_tests, old_profiles, remove, void_profiles
from pytest_fastr.gate.snapshot import FoundFile, ProfileSnapshot, read_snapshots
from pytest_fastr.gate.snapshot_files import foreign_files, own_files, ref_files
from pytest_fastr.github.baseline_page import diff_page
from pytest_fastr.keys import suggestion
from pytest_fastr.load_command import INTERRUPTED
from pytest_fastr.report.baseline_json import show_json
from pytest_fastr.report.baseline_text import (
    counted,
    diff_text,
    import_text,
    removals_text,
    show_text,
)
from pytest_fastr.report.output import print_text
from pytest_fastr.report.quantity import printable
from pytest_fastr.root_folder import root_folder

_MOST_SESSIONS = 20
_OWN_OPTIONS = ("--perf-update", "--perf-baselines", "--perf-reason", "--collect-only", "--co")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the commands below ``baseline`` and their options."""
    commands = parser.add_subparsers(dest="baseline_command", required=True)

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str, **more: Any) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text, **more)
        made.add_argument("--baselines", type=Path, metavar="DIR", help="the folder (default: the configuration's)")
        made.set_defaults(run=run)
        return made

    update = command(
        "update", _update, "measure, and store what this hardware measures", allow_abbrev=False,
        usage="%(prog)s [--sessions N] [--reason TEXT] [--baselines DIR]\n         [pytest's arguments ...]",
    )  # fmt: skip
    update.set_defaults(pytest_args=())
    update.add_argument("--sessions", type=int, default=3, metavar="N", help="how often, each time anew (%(default)s)")
    update.add_argument("--reason", metavar="TEXT", help="why a worse baseline is accepted")

    show = command("show", _show, "what is stored: sessions, levels, eras")
    show.add_argument("nodeids", nargs="*", metavar="NODEID", help="a test, or a file, class or folder of tests")
    which = show.add_mutually_exclusive_group()
    which.add_argument("--profile", metavar="SLUG", help="of this hardware profile (default: this machine's)")
    which.add_argument("--all-profiles", action="store_true", help="of all of them")
    show.add_argument("--json", action="store_true", help="print JSON")

    diff = command("diff", _diff, "what differs between two states of the baselines")
    diff.add_argument("a", nargs="?", default="HEAD", metavar="A", help="a folder, or a git ref (%(default)s)")
    diff.add_argument("b", nargs="?", metavar="B", help="another one (default: the folder as it is now)")
    diff.add_argument("--markdown", action="store_true", help="print Markdown, for a pull request")

    prune = command("prune", _prune, "forget what is of no use any more, for the reasons given")
    prune.add_argument("--gone", action="store_true", help="tests that pytest does not collect any more")
    prune.add_argument("--older-than", metavar="AGE", help="profiles not updated for so long: 180d, 26w")
    prune.add_argument("--void", action="store_true", help="profiles measured by another protocol")
    prune.add_argument("--dry-run", action="store_true", help="only say what would be removed")

    bring = command("import", _import, "bring the sessions of another folder, zip file or git ref here")
    bring.add_argument("source", nargs="?", type=Path, metavar="DIR|ZIP", help="such as an artifact of a CI's run")
    bring.add_argument("--ref", metavar="REF", help="a git ref instead: the branch that a merge conflicts with")


def _update(args: argparse.Namespace) -> int:
    if not 1 <= args.sessions <= _MOST_SESSIONS:
        raise ConfigError(f"--sessions {args.sessions}: must be 1 to {_MOST_SESSIONS}, which is how many are kept")
    if args.reason is not None and not args.reason.strip():
        raise ConfigError("--reason is empty: say why the worse baseline is accepted")
    for arg in args.pytest_args:
        if arg.partition("=")[0] in _OWN_OPTIONS:
            raise ConfigError(f"{arg.partition('=')[0]} is not for `baseline update`; it has --baselines and --reason")
    root = _root(args, args.pytest_args)
    before = _own(root)
    # With `=`, so that pytest does not take an existing path for a test's.
    asked = ["--perf", "--perf-update", f"--perf-baselines={root}"]
    asked += [] if args.reason is None else [f"--perf-reason={args.reason}"]
    command = [sys.executable, "-m", "pytest", *asked, *args.pytest_args]
    code, complete = 0, 0
    for number in range(1, args.sessions + 1):
        print(f"session {number} of {args.sessions}", flush=True)
        code = _run(command)
        if code:
            break
        complete += 1
    diffs = diff_of(before, _own(root))
    counts = [test.came for profile in diffs for test in profile.tests if test.came]
    ended = "was interrupted" if code == INTERRUPTED else f"failed with pytest's exit code {code}"
    print(f"\n{complete} of {counted(args.sessions, 'session')} complete" + (f"; the next one {ended}" if code else ""))
    stored = f"{counted(sum(counts), 'result')} of {counted(len(counts), 'test')}"
    _print(f"stored in {root}: {stored if counts else 'nothing'}")
    if diffs:
        _print(diff_text(diffs, _width()))
    return code


def _run(command: Sequence[str]) -> int:
    """Runs pytest to its end. Returns its exit code, or what an interrupted shell command has."""
    interrupted = False
    with subprocess.Popen(command) as process, _ended_with(process):
        while True:
            try:
                code = process.wait()
                break
            except KeyboardInterrupt:
                # The terminal has told pytest too, which ends its servers first.
                interrupted = True
    if interrupted:
        return INTERRUPTED
    return code if code >= 0 else 128 - code


@contextmanager
def _ended_with(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Hands SIGTERM on to the process, which is waited for."""

    def end(number: int, frame: FrameType | None) -> None:
        process.terminate()

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _show(args: argparse.Namespace) -> int:
    root = _root(args)
    here = detect(version("pytest-fastr")).slug
    profiles = read_snapshots(own_files(root), forgiving=True)
    slugs = [one.slug for one in profiles]
    if args.profile is not None and args.profile not in slugs:
        raise ConfigError(f"--profile {args.profile}: {root} has no such profile{suggestion(args.profile, slugs)}")
    everywhere = profiles
    if not args.all_profiles:
        profiles = tuple(one for one in profiles if one.slug == (args.profile or here))
    tests = {one.slug: [test for test in sorted(one.tests) if _is_named(test, args.nodeids)] for one in profiles}
    for nodeid in args.nodeids:
        _refuse_unknown(nodeid, profiles, everywhere)
    if args.json:
        _print(show_json(str(root), profiles, here, tests))
    elif profiles:
        _print(show_text(profiles, here, tests, _width()))
    else:
        others = f"; there are some for {', '.join(slugs)} (--all-profiles)" if slugs else ""
        _print(
            f"{root} has no baselines for this hardware ({here}){others}; `pytest-fastr baseline update` stores them"
        )
    return _said([problem for one in profiles for problem in one.damaged])


def _refuse_unknown(nodeid: str, shown: Sequence[ProfileSnapshot], everywhere: Sequence[ProfileSnapshot]) -> None:
    """Refuses a node id that names no test of the profiles that are shown."""
    if any(_is_named(test, [nodeid]) for profile in shown for test in profile.tests):
        return
    others = [one.slug for one in everywhere if any(_is_named(test, [nodeid]) for test in one.tests)]
    if others:
        raise ConfigError(f"{nodeid!r} has a baseline for {', '.join(others)} only: give --profile or --all-profiles")
    near = difflib.get_close_matches(nodeid, [test for profile in everywhere for test in profile.tests], n=1)
    hint = f"did you mean {near[0]!r}?" if near else "`pytest-fastr baseline show --all-profiles` has all that are"
    raise ConfigError(f"no baseline of {nodeid!r} is stored; {hint}")


def _diff(args: argparse.Namespace) -> int:
    root = _root(args)
    a = _state(args.a, root)
    b = _own(root) if args.b is None else _state(args.b, root)
    _print(diff_page(diff_of(a, b)) if args.markdown else diff_text(diff_of(a, b), _width()))
    return 0


def _prune(args: argparse.Namespace) -> int:
    if not (args.gone or args.older_than is not None or args.void):
        raise ConfigError("nothing is removed without a reason: give --gone, --older-than AGE, --void, or several")
    age = None if args.older_than is None else _age(args.older_than)
    root = _root(args)
    profiles = _own(root)
    removals: list[Removal] = void_profiles(profiles) if args.void else []
    if age is not None:
        removals += old_profiles(profiles, age, datetime.now(timezone.utc))
    if args.gone:
        nodeids = {nodeid for profile in profiles for nodeid in profile.tests}
        if nodeids:
            removals += gone_tests(profiles, collect(root_folder(Path.cwd()), nodeids))
    if not removals:
        _print(f"nothing to remove from {root}")
        return 0
    left = [] if args.dry_run else remove(root, removals)
    done = [one for one in removals if one not in left]
    _print(removals_text(done, "would remove" if args.dry_run else "removed", _width()))
    return _said([f"{one.profile.slug} was updated meanwhile, and stays" for one in left], code=1)


def _import(args: argparse.Namespace) -> int:
    if (args.source is None) == (args.ref is None):
        raise ConfigError("name what to import: a folder, a zip file, or --ref REF")
    root = _root(args)
    here = _own(root)
    files = foreign_files(args.source) if args.ref is None else ref_files(args.ref, root, os.environ)
    found = read_snapshots(files)
    if not found:
        where = args.source if args.ref is None else f"git ref {args.ref}"
        raise BaselineError(f"{where} has no baselines: a folder with a profile.json for each hardware profile")
    imports = import_profiles(root, here, found)
    _print(import_text(imports, _width()))
    return 0 if all(one.is_complete for one in imports) else 1


def _state(name: str, root: Path) -> tuple[ProfileSnapshot, ...]:
    """The baselines of a folder, if there is one of this name, or else of a git ref."""
    path = Path(name)
    files: list[FoundFile] = own_files(path) if path.is_dir() else ref_files(name, root, os.environ)
    return read_snapshots(files)


def _own(root: Path) -> tuple[ProfileSnapshot, ...]:
    return read_snapshots(own_files(root))


def _root(args: argparse.Namespace, pytest_args: Sequence[str] = ()) -> Path:
    """The baselines folder, absolute."""
    if args.baselines is not None:
        folder: Path = Path.cwd() / args.baselines
    else:
        project = root_folder(Path.cwd(), pytest_args)
        folder = project / load_config(project).baselines
    if folder.exists() and not folder.is_dir():
        raise BaselineError(f"{folder} is no folder; give --baselines another one")
    return folder


def _is_named(test: str, nodeids: Sequence[str]) -> bool:
    """Whether a node id names the test, or what it is in; without node ids, everything is named."""
    names = [nodeid.rstrip("/") for nodeid in nodeids]
    return not names or any(test == name or (test.startswith(name) and test[len(name)] in ":[/ ") for name in names)


def _age(text: str) -> timedelta:
    match = re.fullmatch(r"(\d{1,5})([dw])", text.strip(), re.ASCII)
    if match is None or int(match[1]) == 0:
        raise ConfigError(f"--older-than {text!r} must be days or weeks, such as 180d or 26w")
    return timedelta(days=int(match[1]) * (7 if match[2] == "w" else 1))


def _said(problems: Sequence[str], code: int = 2) -> int:
    """Prints what went wrong. Returns the exit code: 0 where nothing did."""
    for problem in problems:
        print(f"pytest-fastr: {printable(problem)}", file=sys.stderr)
    return code if problems else 0


def _print(text: str) -> None:
    print_text(text + "\n", "backslashreplace")


def _width() -> int:
    return min(shutil.get_terminal_size().columns, 120)
