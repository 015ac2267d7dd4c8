"""Measures our engine beside its peers.

    python benchmarks/engine/run.py RECORDS
    python benchmarks/engine/run.py RECORDS --rounds 3 --seconds 1 --only ours-native,nginx --workloads W1,W2

One line of RECORDS (JSON lines) is one measurement; what is there already is not measured again, so that the same
command goes on where it was interrupted. In every round each server meets each workload once, in an order that a seed
shuffles: all servers on one workload, then on the next, so that what changes with time meets alike what is compared.
Servers have one process and one core, the generator another one. `table.py RECORDS` prints the comparison.

Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import platform
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

import servers
import workloads
from environments import Environments, Missing
from generators import GENERATORS, Aim, Load, Span, Wrong, beside, check, refuses
from pool import Pool, Running
from processes import Cores, cores, rss_bytes, tree
from records import Record, append, key, read
from servers import SBIN, Place, Server
from workloads import Workload

from pytest_fastr import _native
from pytest_fastr.errors import FastrError
from pytest_fastr.gate.profile import detect

REPOSITORY = Path(__file__).resolve().parents[2]
CACHE = Path.home() / ".cache" / "pytest-fastr" / "bench"
Pair = tuple[Server, Workload]


@dataclass(frozen=True)
class Plan:
    """What is to be measured, and how."""

    servers: list[Server]
    workloads: list[Workload]
    generators: list[str]
    rounds: int
    span: Span
    seed: int
    cores: Cores


def blocks(plan: Plan, number: int) -> list[list[Pair]]:
    """The order of a round. A block shares a workload, or (where routes take long to start) a server process."""
    coin = random.Random(f"{plan.seed} {number}")

    def shuffled(items: list[Any]) -> list[Any]:
        return coin.sample(items, len(items))

    plain = [
        [(server, workload) for server in shuffled(plan.servers) if workload.kind in server.kinds]
        for workload in shuffled([one for one in plan.workloads if one.routes == "plain"])
    ]
    many = [
        [(server, workload) for workload in shuffled([one for one in plan.workloads if one.routes == routes])]
        for server in plan.servers
        if "W5" in server.kinds
        for routes in sorted({one.routes for one in plan.workloads if one.routes != "plain"})
    ]
    return [block for section in shuffled([plain, shuffled(many)]) for block in section]


class Comparison:
    """A run of the plan: goes through the rounds and writes records."""

    def __init__(self, plan: Plan, pool: Pool, path: Path, hide: Callable[[str], str], run: str) -> None:
        self._plan = plan
        self._pool = pool
        self._path = path
        self._hide = hide
        self._run = run
        self._done = {key(record) for record in read(path) if record["kind"] == "measurement"}
        self._absent: set[tuple[str, str]] = set()
        self._described: set[str] = set()

    def go(self) -> None:
        """All that is not recorded yet."""
        for number in range(self._plan.rounds):
            left = [[pair for pair in block if self._missing(pair, number)] for block in blocks(self._plan, number)]
            for index, block in enumerate(left):
                for server, workload in block:
                    self._measure(server, workload, number)
                self._pool.stop(
                    {(server.name, workload.routes) for rest in left[index + 1 :] for server, workload in rest}
                )

    def _keys(self, pair: Pair, number: int) -> Iterator[tuple[str, Record]]:
        server, workload = pair
        for generator in self._plan.generators:
            yield generator, {
                "kind": "measurement", "server": server.name, "workload": workload.name, "round": number,
                "generator": generator, "placement": self._plan.cores.name, "seconds": self._plan.span.seconds,
            }  # fmt: skip

    def _missing(self, pair: Pair, number: int) -> bool:
        return any(key(record) not in self._done for _, record in self._keys(pair, number))

    def _measure(self, server: Server, workload: Workload, number: int) -> None:
        if (server.name, workload.routes) in self._absent:
            return
        for generator, record in self._keys((server, workload), number):
            if key(record) in self._done:
                continue
            try:
                running = self._pool.get(server, workload)
            except Missing as missing:
                self._absent.add((server.name, workload.routes))
                reason = self._hide(str(missing))
                self._write({"kind": "absent", "server": server.name, "routes": workload.routes, "reason": reason})
                say(f"{server.name}: {reason}")
                return
            self._describe(server, running)
            self._write({**record, **self._result(running, workload, generator)})

    def _result(self, running: Running, workload: Workload, generator: str) -> Record:
        """One measurement, with a check before and one after it."""
        result: Record = {"started_s": round(running.started_s, 2)}
        aim = Aim(running.port, running.process.pid, self._plan.cores.generator)
        try:
            check(aim.port, workload.ask)
            if workload.beside is not None:
                check(aim.port, workload.beside)
            if workload.bad is not None:
                result["refuses"] = refuses(aim.port, workload.bad)
            with beside(aim, workload):
                load = GENERATORS[generator](aim, workload, self._plan.span)
            result |= _numbers(load) | {"rss_bytes": rss_bytes(tree(aim.pid))}
            check(aim.port, workload.ask)
        except (Wrong, OSError, ValueError, FastrError) as error:
            result["wrong"] = self._hide(str(error))
        if running.process.has_ended():
            result["wrong"] = "the server ended: " + self._hide(running.process.said())
        return result

    def _describe(self, server: Server, running: Running) -> None:
        """Once in a run: how a server was started, and with what installed."""
        if server.name in self._described:
            return
        self._described.add(server.name)
        interpreter = running.start.interpreter
        self._write(
            {
                "kind": "server", "server": server.name, "command": self._hide(shlex.join(running.start.command)),
                "environment": running.start.environment, "python": interpreter and interpreter.version,
                "packages": interpreter.packages if interpreter else [],
            }
        )  # fmt: skip

    def _write(self, record: Record) -> None:
        append(self._path, {**record, "run": self._run, "time": now()})
        if record["kind"] == "measurement":
            self._done.add(key(record))
            rate = record.get("rps")
            value = f"{rate:,.0f}/s" if rate is not None else ""
            errors = f"  {record['errors']} errors" if record.get("errors") else ""
            wrong = f"  WRONG: {record['wrong']}" if "wrong" in record else ""
            say(
                f"round {record['round'] + 1}/{self._plan.rounds}  {record['workload']:24} {record['server']:20} "
                f"{record['generator']:4}{value:>12}{errors}{wrong}"
            )


def _numbers(load: Load) -> Record:
    return {
        "rps": load.requests / load.seconds if load.seconds > 0 else 0.0, "requests": load.requests,
        "cpu_us": load.cpu_us, "p50_us": load.p50_us, "p99_us": load.p99_us, "errors": load.errors,
        "utilisation": load.utilisation, "steal": load.steal,
    }  # fmt: skip


def run_record(args: argparse.Namespace, plan: Plan) -> Record:
    """What machine, build and options this run's measurements are from."""
    library = Path(str(_native.__file__))
    profile = detect(version("pytest-fastr"))
    return {
        "kind": "run",
        "machine": profile.slug, "profile": profile.as_dict(), "kernel": platform.release(),
        "python": platform.python_version(), "debug_build": _native.DEBUG_BUILD,
        "build": hashlib.sha256(library.read_bytes()).hexdigest()[:16],
        "commit": _first_line("git", "rev-parse", "HEAD"),
        "changed": bool(_first_line("git", "status", "--porcelain", "--", "pytest_fastr", "native")),
        "nginx": _first_line(shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:{SBIN}") or "nginx", "-v"),
        "wrk": _first_line("wrk", "-v"), "load_average": os.getloadavg()[0],
        "rounds": plan.rounds, "seconds": plan.span.seconds, "warm_up": plan.span.warm_up, "seed": plan.seed,
        "placement": plan.cores.name, "server_cores": sorted(plan.cores.servers or ()),
        "generator_cores": sorted(plan.cores.generator or ()), "only": args.only, "workloads": args.workloads,
    }  # fmt: skip


def _first_line(*command: str) -> str:
    """The first line of what a program says of itself; empty without it."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, cwd=REPOSITORY)
    except OSError:
        return ""
    return (done.stdout + done.stderr).strip().partition("\n")[0]


def prepare(plan: Plan, environments: Environments, folder: Path) -> None:
    """Installs and builds what is missing before anything is measured. Whatever fails is reported where it is used."""
    folder.mkdir()
    for server in plan.servers:
        with contextlib.suppress(Missing):
            server.start(environments, Place(0, folder))


def hider(cache: Path, temporary: Path) -> Callable[[str], str]:
    """Makes text fit for a record that others read: without this machine's folders and without addresses."""
    places = [
        (str(temporary), "TMP"), (str(cache), "CACHE"), (sys.prefix, "VENV"), (str(REPOSITORY), "REPOSITORY"),
        (str(Path.home()), "~"),
    ]  # fmt: skip

    def hide(text: str) -> str:
        for place, name in places:
            text = text.replace(place, name)
        return re.sub(r"(https?|file)://\S+", "URL", text)

    return hide


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def say(text: str) -> None:
    """Progress, for whoever watches."""
    print(text, file=sys.stderr, flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", type=Path, help="JSON lines, appended to")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0, help="of load for a measurement")
    parser.add_argument("--warm-up", type=float, default=0.5, metavar="SECONDS", help="of load before it")
    parser.add_argument("--only", type=_names, default=[], metavar="SERVER,...")
    parser.add_argument("--workloads", type=_names, default=[], metavar="W1,...", help="names or beginnings of names")
    parser.add_argument("--generator", choices=tuple(GENERATORS), default="own")
    parser.add_argument("--check", action="store_true", help="measure everything with both generators")
    parser.add_argument("--server-cores", type=int, default=1, metavar="N", help="that a server may use (1)")
    parser.add_argument("--unpinned", action="store_true", help="the system places servers and generator")
    parser.add_argument("--seed", type=int, default=1, help="of the order")
    parser.add_argument("--cache", type=Path, default=CACHE, metavar="DIR", help="for the peers' environments")
    parser.add_argument("--python", metavar="PYTHON", help="the peers' interpreter (default: this one, if it will do)")
    parser.add_argument("--start-timeout", type=float, default=600.0, metavar="SECONDS")
    parser.add_argument("--list", action="store_true", help="print servers and workloads, measure nothing")
    args = parser.parse_args()
    if args.rounds < 1 or args.seconds <= 0 or args.warm_up < 0 or args.server_cores < 1:
        parser.error("--rounds, --seconds and --server-cores must be positive")
    if (args.check or args.generator == "wrk") and shutil.which("wrk") is None:
        parser.error("wrk is not installed (apt-get install wrk)")
    return args


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _end(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)


def main() -> int:
    args = arguments()
    try:
        plan = Plan(
            servers.chosen(args.only), workloads.chosen(args.workloads),
            ["own", "wrk"] if args.check else [args.generator], args.rounds, Span(args.seconds, args.warm_up),
            args.seed, cores(args.unpinned, args.server_cores),
        )  # fmt: skip
    except ValueError as error:
        sys.exit(f"run.py: {error}")
    if args.list:
        titles = [(one.name, one.title) for one in plan.servers] + [(one.name, one.title) for one in plan.workloads]
        print("\n".join(f"{name:26}{title}" for name, title in titles))
        return 0
    if _native.DEBUG_BUILD:
        say("This is a debug build of pytest-fastr: nothing that is measured now means anything.")
    # A shell may have started this with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, _end)
    cache = args.cache.expanduser().absolute()
    record = run_record(args, plan)
    run = hashlib.sha256(f"{now()} {os.getpid()}".encode()).hexdigest()[:12]
    append(args.records, {**record, "run": run, "time": now()})
    with tempfile.TemporaryDirectory(prefix="fastr-bench-") as name:
        folder = Path(name)
        environments = Environments(cache, args.python)
        prepare(plan, environments, folder / "prepared")
        with Pool(environments, plan.cores, folder, args.start_timeout) as pool:
            try:
                Comparison(plan, pool, args.records, hider(cache, folder), run).go()
            except KeyboardInterrupt:
                say("interrupted: the same command goes on from here")
                return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
