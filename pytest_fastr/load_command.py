"""``pytest-fastr load URL``: loads a server without a test. Wiring only."""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pytest_fastr import _native
from pytest_fastr.config import parse_duration
from pytest_fastr.errors import LoadError, ReportError
from pytest_fastr.gate.atomic_file import replace_file
from pytest_fastr.load.limits import LimitResult, hold, parse_limit_text
from pytest_fastr.load.request import RequestSpec, build_request
from pytest_fastr.load.result import LoadReport
from pytest_fastr.load.run import LoadPlan, run_plan, share_and_rps
from pytest_fastr.load.shape import Closed, Open, Shape, parse_stages
from pytest_fastr.load.url import LoadTarget, parse_target
from pytest_fastr.report.live import LiveLine
from pytest_fastr.report.load_json import to_json
from pytest_fastr.report.load_text import to_text

INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of the command."""
    parser.add_argument("url", metavar="URL", help="http://HOST:PORT/PATH, or http+unix://%%2Fpath%%2Fof.sock/PATH")
    what = parser.add_argument_group("what is sent")
    what.add_argument("--method", help="default GET, or POST with a body")
    what.add_argument("--header", action="append", default=[], metavar="'NAME: VALUE'", help="may be repeated")
    what.add_argument("--body", metavar="TEXT", help="the body; @FILE reads it from a file")
    what.add_argument(
        "--expect", type=int, metavar="STATUS", help="the status of a good answer (default: any 2xx or 3xx)"
    )
    what.add_argument("--timeout", default="10s", metavar="TIME", help="after which a request counts as failed (10s)")
    what.add_argument("--no-keep-alive", action="store_true", help="a new connection for every request")
    how = parser.add_argument_group("how it is offered")
    how.add_argument("--users", type=int, metavar="N", help="users of the closed loop; connections at a rate (20)")
    how.add_argument("--think", metavar="TIME", help="a user's pause between answer and request; 1s-3s for a range")
    how.add_argument(
        "--rate", type=float, metavar="R", help="an open loop: R requests a second are due, whatever happens"
    )
    how.add_argument("--poisson", action="store_true", help="at a rate: arrivals as of many independent users")
    how.add_argument("--stages", metavar="TIME:N,...", help="ramps: the rate, or the users, at the end of each stage")
    how.add_argument("--max-queue", type=int, metavar="N", help="at a rate: drop what is due beyond N unsent requests")
    when = parser.add_argument_group("until when")
    when.add_argument("--duration", metavar="TIME", help="how long (10s, or as long as the stages)")
    when.add_argument("--requests", type=int, metavar="N", help="exactly so many requests instead")
    when.add_argument(
        "--drain", default="10s", metavar="TIME", help="how long the end waits for what is not over (10s)"
    )
    when.add_argument("--abort-errors", metavar="PERCENT", help="end when more than this share failed, such as 20%%")
    when.add_argument("--abort-grace", default="1s", metavar="TIME", help="but not before this time (1s)")
    out = parser.add_argument_group("what comes of it")
    out.add_argument(
        "--limit", action="append", default=[], metavar="LIMIT",
        help="'p99<50ms', 'rps>2000', 'errors<1%%': exit code 1 when broken; may be repeated (errors: none allowed)",
    )  # fmt: skip
    out.add_argument("--json", metavar="FILE", help="write the result as JSON; - for standard output")
    out.add_argument("--seed", type=int, help="of arrivals and think times (default: a new one)")
    out.add_argument("--allow-remote", action="store_true", help="load another machine than this one")


def run(args: argparse.Namespace) -> int:
    """Loads, reports, and returns the exit code: 0, 1 when a limit is broken or the result is void, 130 after Ctrl-C.

    Raises LoadError, ConfigError and ReportError.
    """
    limits = tuple(parse_limit_text(text) for text in args.limit)
    shape = _shape(args)
    target = parse_target(args.url, args.allow_remote)
    plan = _plan(args, shape, target)
    if args.json not in (None, "-") and not Path(args.json).absolute().parent.is_dir():
        raise LoadError(f"--json {args.json}: there is no such folder")
    with _progress(plan, quiet=args.json == "-") as watch:
        report = run_plan(plan, target, watch)
    results = hold(report, limits)
    if args.json != "-":
        sys.stdout.write(to_text(report, results, min(shutil.get_terminal_size().columns, 100)))
    if args.json is not None:
        _write(to_json(report, results), args.json)
    return _exit_code(report, results)


def _exit_code(report: LoadReport, limits: tuple[LimitResult, ...]) -> int:
    if report.ended_early == "stopped":
        return INTERRUPTED
    void = any(note.level == "void" for note in report.notes)
    kept = all(one.kept for one in limits)
    errors_allowed = any(one.limit.metric == "errors" for one in limits)
    return 1 if void or not kept or (report.errors and not errors_allowed) else 0


def _shape(args: argparse.Namespace) -> Shape:
    users = 20 if args.users is None else _count(args.users, "--users")
    stages = parse_stages(args.stages) if args.stages is not None else ()
    if args.rate is None:
        for option, given in (("--poisson", args.poisson), ("--max-queue", args.max_queue is not None)):
            if given:
                raise LoadError(f"{option} belongs to a rate: give --rate too")
        most = max((int(-(-stage.target // 1)) for stage in stages), default=users)
        return Closed(max(1, most if stages else users), _think(args.think), stages)
    if args.think is not None:
        raise LoadError("--think belongs to users who wait for answers: leave --rate out, or --think")
    if not args.rate >= 0 or args.rate > 1e9 or (args.rate == 0 and not stages):
        raise LoadError(f"--rate {args.rate:g}: must be above 0")
    most_queued = None if args.max_queue is None else _count(args.max_queue, "--max-queue")
    return Open(args.rate, users, args.poisson, stages, most_queued)


def _plan(args: argparse.Namespace, shape: Shape, target: LoadTarget) -> LoadPlan:
    if args.requests is not None and args.duration is not None:
        raise LoadError("give --duration or --requests, not both")
    lasting = sum(stage.duration_s for stage in shape.stages)
    duration_s = parse_duration(args.duration, "--duration") if args.duration is not None else lasting or 10.0
    abort = None
    if args.abort_errors is not None:
        abort = (_percent(args.abort_errors, "--abort-errors"), parse_duration(args.abort_grace, "--abort-grace"))
    return LoadPlan(
        request=_request(args, target),
        shape=shape,
        duration_s=duration_s,
        count=None if args.requests is None else _count(args.requests, "--requests"),
        keep_alive=not args.no_keep_alive,
        drain_s=parse_duration(args.drain, "--drain"),
        abort=abort,
        seed=secrets.randbits(32) if args.seed is None else args.seed % 2**64,
    )


def _request(args: argparse.Namespace, target: LoadTarget) -> RequestSpec:
    headers = {}
    for field in args.header:
        name, colon, value = field.partition(":")
        if not colon:
            raise LoadError(f"--header {field!r}: write 'NAME: VALUE'")
        headers[name.strip()] = value.strip()
    body = _body(args.body)
    request = build_request(
        args.method or ("GET" if body is None else "POST"),
        target.path,
        headers=headers,
        data=body,
        expect=args.expect,
        timeout_s=parse_duration(args.timeout, "--timeout"),
    )
    return replace(request, close=args.no_keep_alive)


def _body(given: str | None) -> bytes | str | None:
    if given is None or not given.startswith("@"):
        return given
    try:
        return Path(given[1:]).read_bytes()
    except OSError as error:
        raise LoadError(f"--body {given}: {error.strerror or error}") from None


def _think(given: str | None) -> tuple[float, float] | None:
    if given is None:
        return None
    low, dash, high = given.partition("-")
    shortest = parse_duration(low.strip(), "--think")
    longest = parse_duration(high.strip(), "--think") if dash else shortest
    if longest < shortest:
        raise LoadError(f"--think {given}: the first time is longer than the second")
    return shortest, longest


def _count(value: int, option: str) -> int:
    if not 1 <= value <= 10_000_000:
        raise LoadError(f"{option} {value}: must be 1 to 10,000,000")
    return value


def _percent(text: str, option: str) -> float:
    try:
        share = float(text.strip().removesuffix("%")) / 100
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise LoadError(f"{option} {text}: write a share of requests, such as 20%")
    return share


@contextmanager
def _progress(plan: LoadPlan, quiet: bool) -> Iterator[_Watch]:
    """Draws a line where there is a terminal. Ctrl-C ends the load with the result so far, a second one at once."""
    stream = sys.stderr
    enabled = stream.isatty() and os.environ.get("TERM") != "dumb" and not quiet
    width = os.get_terminal_size(stream.fileno()).columns if enabled else 80
    watch = _Watch(LiveLine(stream, enabled, width), plan.request.name)
    before = signal.signal(signal.SIGINT, watch.interrupt)
    try:
        yield watch
    finally:
        signal.signal(signal.SIGINT, before)
        watch.line.clear()


class _Watch:
    """Draws progress and remembers an interrupt."""

    def __init__(self, line: LiveLine, name: str) -> None:
        self.line = line
        self._name = name
        self._interrupted = False

    def interrupt(self, _number: int, _frame: object) -> None:
        if self._interrupted:
            raise KeyboardInterrupt
        self._interrupted = True

    def __call__(self, progress: _native.Progress) -> bool:
        phase = f"{progress.errors:,} failed" if progress.errors else "load"
        self.line.show(self._name, phase, *share_and_rps(progress))
        return not self._interrupted


def _write(text: str, place: str) -> None:
    if place == "-":
        sys.stdout.write(text)
        return
    try:
        replace_file(Path(place), text)
    except OSError as error:
        raise ReportError(f"cannot write {place}: {error.strerror or error}; give --json another path") from error
