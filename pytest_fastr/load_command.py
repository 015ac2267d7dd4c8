"""``pytest-fastr load URL``: loads a server without a test. Wiring only."""

from __future__ import annotations

import argparse
import json
import os
import re
import runpy
import secrets
import shutil
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pytest_fastr import _native
from pytest_fastr.errors import LoadError, ReportError
from pytest_fastr.gate.atomic_file import replace_file
from pytest_fastr.keys import parse_duration
from pytest_fastr.load.check import checked
from pytest_fastr.load.limits import Limit, LimitResult, hold, parse_limit_text, why_refused
from pytest_fastr.load.request import RequestSpec, build_request
from pytest_fastr.load.result import QUANTILES, LoadReport
from pytest_fastr.load.run import LoadPlan, run_plan, share_and_rps
from pytest_fastr.load.scenario import Scenario, scenario
from pytest_fastr.load.search import RateSearch, search_rate
from pytest_fastr.load.shape import Closed, Open, Precision, Shape, check_rate, closed_loop, parse_pause, parse_stages
from pytest_fastr.load.url import LoadTarget, parse_target
from pytest_fastr.report.live import LiveLine
from pytest_fastr.report.load_json import to_json
from pytest_fastr.report.load_text import search_text, to_text

INTERRUPTED = 130
MOST_PRECISE = 0.001
PROBE_S = 1.0
PER_TRY_S = 5.0
UNTIL_S = 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of the command."""
    parser.add_argument(
        "url", metavar="URL", help="http://HOST:PORT/PATH, https://..., or http+unix://%%2Fpath%%2Fof.sock/PATH"
    )
    what = parser.add_argument_group("what is sent")
    what.add_argument("--method", help="default GET, or POST with a body")
    what.add_argument("--header", action="append", default=[], metavar="'NAME: VALUE'", help="may be repeated")
    what.add_argument("--body", metavar="TEXT", help="the body; @FILE reads it from a file")
    what.add_argument(
        "--expect", type=int, metavar="STATUS", help="the status of a good answer (default: any 2xx or 3xx)"
    )
    what.add_argument(
        "--check", action="append", default=[], metavar="CHECK",
        help="what a good answer has besides: contains:TEXT, matches:REGEX, json:/POINTER=VALUE, json:/POINTER, "
        "header:NAME=VALUE, header:NAME, sha256:HEX, bytes:N; may be repeated",
    )  # fmt: skip
    what.add_argument("--check-every", type=int, default=1, metavar="N", help="check every N-th answer only (1)")
    what.add_argument("--auth", metavar="USER:PASSWORD", help="HTTP Basic authentication")
    what.add_argument("--cookies", action="store_true", help="each user keeps cookies")
    what.add_argument(
        "--scenario", metavar="FILE.py:NAME", help="a load.scenario(...) instead; the URL is only the server then"
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
    when.add_argument("--warm-up", metavar="TIME", help="the same load before, which nothing counts")
    when.add_argument("--requests", type=int, metavar="N", help="exactly so many requests instead")
    when.add_argument(
        "--until", metavar="VALUE:PERCENT",
        help="end when a value is known so precisely: rps:1%%, p50:2%%, p99:5%% (half of its 95 %% interval)",
    )  # fmt: skip
    when.add_argument(
        "--find-rate", action="store_true",
        help="search the highest rate that keeps every --limit; --duration is that of each try (5s)",
    )  # fmt: skip
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
    out.add_argument("--pid", type=int, help="the server's process: its CPU time and memory are reported")
    to = parser.add_argument_group("to whom")
    to.add_argument("--allow-remote", action="store_true", help="load another machine than this one")
    to.add_argument("--cacert", metavar="FILE", help="https: trust the certificates of this PEM file only")
    to.add_argument("--insecure", action="store_true", help="https: the server may be anyone")


def run(args: argparse.Namespace) -> int:
    """Loads, reports, and returns the exit code: 0, 1 when a limit is broken or the result is void, 130 after Ctrl-C.

    Raises LoadError, ConfigError and ReportError.
    """
    limits = tuple(parse_limit_text(text) for text in args.limit)
    shape = _shape(args)
    target = _target(args)
    plan = _plan(args, shape, target)
    if args.json not in (None, "-") and not Path(args.json).absolute().parent.is_dir():
        raise LoadError(f"--json {args.json}: there is no such folder")
    if args.json not in (None, "-") and Path(args.json).is_dir():
        raise LoadError(f"--json {args.json}: this is a folder; name a file")
    search = None
    with _progress(plan, quiet=args.json == "-") as watch:
        if args.find_rate:
            search = _search(args, limits, plan, target, watch)
            report = (search.highest or search.steps[-1]).report
        else:
            report = run_plan(plan, target, watch)
    if report.ended_early == "stopped" and not report.requests:
        sys.stderr.write("pytest-fastr: stopped before the load began; nothing was measured\n")
        return INTERRUPTED
    results = hold(report, limits)
    if args.json != "-":
        width = min(shutil.get_terminal_size().columns, 100)
        if search is not None:
            sys.stdout.write(search_text(search, width) + "\n")
        sys.stdout.write(to_text(report, results, width))
    if args.json is not None:
        _write(to_json(report, results, search), args.json)
    if search is not None:
        return INTERRUPTED if search.stopped else int(search.highest is None)
    return _exit_code(report, results)


def _exit_code(report: LoadReport, limits: tuple[LimitResult, ...]) -> int:
    if report.ended_early == "stopped":
        return INTERRUPTED
    return int(bool(why_refused(report, limits)))


def _search(
    args: argparse.Namespace, limits: tuple[Limit, ...], plan: LoadPlan, target: LoadTarget, watch: _Watch
) -> RateSearch:
    if not limits:
        raise LoadError("--find-rate needs a --limit that tells when a rate is too high, such as --limit 'p99<50ms'")
    given = [
        option
        for option in ("rate", "stages", "requests", "until", "think", "max_queue")
        if getattr(args, option) is not None
    ]
    if given:
        raise LoadError(f"--find-rate tries rates of its own: leave --{given[0].replace('_', '-')} out")
    watch.name = "capacity"
    probe = run_plan(replace(plan, shape=Closed(plan.connections), duration_s=PROBE_S), target, watch)
    if not probe.ok:
        raise LoadError("--find-rate: no request was answered as expected, so there is no rate to search from")

    def at(rate: float) -> LoadReport:
        watch.name = f"{rate:,.0f}/s"
        return run_plan(replace(plan, shape=Open(rate, plan.connections, args.poisson)), target, watch)

    return search_rate(at, limits, probe.rps)


def _target(args: argparse.Namespace) -> LoadTarget:
    if args.cacert is not None and args.insecure:
        raise LoadError("give --cacert or --insecure, not both: one says whom to trust, the other anyone")
    if (args.cacert is not None or args.insecure) and not args.url.lower().startswith("https:"):
        raise LoadError("--cacert and --insecure belong to an https URL")
    roots = None
    if args.cacert is not None:
        roots = _read(args.cacert, f"--cacert {args.cacert}")
    if args.pid is not None and not _is_alive(args.pid):
        raise LoadError(f"--pid {args.pid}: there is no such process")
    return parse_target(
        args.url,
        args.allow_remote,
        roots=roots,
        verify=not args.insecure,
        pids=() if args.pid is None else (args.pid,),
    )


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return pid > 0


def _read(path: str, option: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise LoadError(f"{option}: {error.strerror or error}") from None


def _shape(args: argparse.Namespace) -> Shape:
    users = 20 if args.users is None else _count(args.users, "--users")
    stages = parse_stages(args.stages) if args.stages is not None else ()
    if args.rate is None:
        for option, given in (("--poisson", args.poisson), ("--max-queue", args.max_queue is not None)):
            if given and not args.find_rate:
                raise LoadError(f"{option} belongs to a rate: give --rate too")
        return closed_loop(users, None if args.think is None else parse_pause(args.think, "--think"), stages)
    if args.think is not None:
        raise LoadError("--think belongs to users who wait for answers: leave --rate out, or --think")
    most_queued = None if args.max_queue is None else _count(args.max_queue, "--max-queue")
    return Open(check_rate(args.rate, stages, "--rate"), users, args.poisson, stages, most_queued)


def _plan(args: argparse.Namespace, shape: Shape, target: LoadTarget) -> LoadPlan:
    if args.requests is not None and args.duration is not None:
        raise LoadError("give --duration or --requests, not both")
    if args.requests is not None and args.until is not None:
        raise LoadError("give --requests or --until, not both")
    lasting = sum(stage.duration_s for stage in shape.stages)
    usual_s = PER_TRY_S if args.find_rate else UNTIL_S if args.until is not None else 10.0
    duration_s = _seconds(args.duration, "--duration") if args.duration is not None else lasting or usual_s
    abort = None
    if args.abort_errors is not None:
        abort = (_percent(args.abort_errors, "--abort-errors"), _seconds(args.abort_grace, "--abort-grace"))
    return LoadPlan(
        scenario=_scenario(args, target),
        shape=shape,
        duration_s=duration_s,
        count=None if args.requests is None else _count(args.requests, "--requests"),
        precision=None if args.until is None else _precision(args.until),
        warm_up_s=0.0 if args.warm_up is None else _seconds(args.warm_up, "--warm-up"),
        keep_alive=not args.no_keep_alive,
        drain_s=0.0 if re.fullmatch(r"0(ms|s|m)?", args.drain) else _seconds(args.drain, "--drain"),
        abort=abort,
        seed=secrets.randbits(32) if args.seed is None else args.seed % 2**64,
    )


def _scenario(args: argparse.Namespace, target: LoadTarget) -> Scenario:
    if args.scenario is None:
        return scenario(_request(args, target), cookies=args.cookies)
    for option in ("method", "body", "expect", "auth"):
        if getattr(args, option) is not None:
            raise LoadError(f"--{option} belongs to a single request, and --scenario has its own")
    if args.header or args.check or args.cookies:
        raise LoadError("--header, --check and --cookies belong to a single request, and --scenario has its own")
    if args.no_keep_alive:
        raise LoadError("--no-keep-alive belongs to a single request, not to --scenario")
    path, colon, name = args.scenario.rpartition(":")
    if not colon or not path:
        raise LoadError(f"--scenario {args.scenario}: write FILE.py:NAME")
    return _named_scenario(path, name)


def _named_scenario(path: str, name: str) -> Scenario:
    """Runs a file, and returns the scenario of this name in it."""
    option = f"--scenario {path}:{name}"
    if not Path(path).is_file():
        raise LoadError(f"{option}: there is no such file")
    folder = str(Path(path).absolute().parent)
    sys.path.insert(0, folder)
    try:
        names = runpy.run_path(path)
    except (Exception, SystemExit) as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
        where = f"{path}:{lines[-1]}" if lines else path
        raise LoadError(f"{option}: {where} fails with {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(folder)
    found = names.get(name)
    if isinstance(found, RequestSpec):
        found = scenario(found)
    if not isinstance(found, Scenario):
        has = "has no such name" if found is None else f"has a {type(found).__name__} of that name"
        raise LoadError(f"{option}: the file {has}; it must be a load.scenario(...)")
    return found


def _precision(text: str) -> Precision:
    value, colon, share = text.partition(":")
    name = value.strip()
    if not colon or (name != "rps" and name not in QUANTILES):
        raise LoadError(f"--until {text}: write VALUE:PERCENT, such as p99:5%; known are rps, {', '.join(QUANTILES)}")
    within = _percent(share, "--until")
    if within < MOST_PRECISE:
        raise LoadError(f"--until {text}: no run is as precise as that; the smallest is {MOST_PRECISE:.1%}")
    return Precision(None if name == "rps" else QUANTILES[name], within)


def _check(text: str) -> _native._Check:
    kind, colon, what = text.partition(":")
    subject, equals, value = what.partition("=")
    if not colon or not what:
        raise LoadError(f"--check {text!r}: write KIND:WHAT, such as contains:ok")
    if kind == "contains":
        return ("contains", what.encode())
    if kind == "matches":
        return ("regex", what)
    if kind == "json":
        return ("json", subject, _json_text(value) if equals else None)
    if kind == "header":
        return ("header", subject.strip(), value.strip() if equals else None)
    if kind == "sha256" and re.fullmatch("[0-9a-fA-F]{64}", what):
        return ("sha256", bytes.fromhex(what))
    if kind == "bytes" and what.isascii() and what.isdigit() and len(what) < 16:
        return ("length", int(what))
    raise LoadError(
        f"--check {text!r}: known are contains:TEXT, matches:REGEX, json:/POINTER=VALUE, header:NAME=VALUE, "
        "sha256:64_HEX_DIGITS and bytes:N"
    )


def _json_text(value: str) -> str:
    """A value as JSON: what is none is meant as text."""
    try:
        json.loads(value)
    except ValueError:
        return json.dumps(value)
    return value


def _request(args: argparse.Namespace, target: LoadTarget) -> RequestSpec:
    headers = {}
    for field in args.header:
        name, colon, value = field.partition(":")
        if not colon:
            raise LoadError(f"--header {field!r}: write 'NAME: VALUE'")
        headers[name.strip()] = value.strip()
    body = _body(args.body)
    if args.auth is not None:
        if ":" not in args.auth:
            raise LoadError("--auth: write USER:PASSWORD")
        if "authorization" in {name.lower() for name in headers}:
            raise LoadError("give --auth or an Authorization header, not both")
    request = build_request(
        args.method or ("GET" if body is None else "POST"),
        target.path,
        headers=headers,
        data=body,
        expect=args.expect,
        timeout_s=_seconds(args.timeout, "--timeout"),
    )
    if args.check_every != 1 and not args.check:
        raise LoadError("--check-every says how often to --check: give a --check too")
    return replace(
        request,
        auth=args.auth,
        close=args.no_keep_alive,
        checks=tuple(check for text in args.check for check in checked(_check(text), f"--check {text!r}")),
        look_every=_count(args.check_every, "--check-every"),
    )


def _body(given: str | None) -> bytes | str | None:
    if given is None or not given.startswith("@"):
        return given
    return _read(given[1:], f"--body {given}")


def _count(value: int, option: str) -> int:
    if not 1 <= value <= 10_000_000:
        raise LoadError(f"{option} {value}: must be 1 to 10,000,000")
    return value


def _seconds(text: str, option: str) -> float:
    """A time option: with its unit, or a plain number of seconds."""
    return parse_duration(float(text) if re.fullmatch(r"\d+(\.\d+)?", text) else text, option)


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
    watch = _Watch(LiveLine.on(sys.stderr, wanted=not quiet), plan.scenario.name)
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
        self.name = name
        self._interrupted = False

    def interrupt(self, _number: int, _frame: object) -> None:
        if self._interrupted:
            raise KeyboardInterrupt
        self._interrupted = True

    def __call__(self, progress: _native.Progress) -> bool:
        phase = f"{progress.errors:,} failed" if progress.errors else "load"
        p50, p99 = (ns / 1000 for ns in progress.latest_ns) if progress.latest_ns else (None, None)
        self.line.show(self.name, phase, *share_and_rps(progress), p50, p99)
        return not self._interrupted


def _write(text: str, place: str) -> None:
    if place == "-":
        sys.stdout.write(text)
        return
    try:
        replace_file(Path(place), text)
    except OSError as error:
        raise ReportError(f"cannot write {place}: {error.strerror or error}; give --json another path") from error
