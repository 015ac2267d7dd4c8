"""Rounds: every server meets every workload once in each, in an order that a seed shuffles.

One line of the records is one measurement; what is there already is not measured again, so that the same command goes
on where it was interrupted. All servers are measured on one workload before the next, so that what changes with time
meets alike what is compared.
"""

from __future__ import annotations

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
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

from measuring.asks import Workload
from measuring.environments import Environments, Missing
from measuring.generators import GENERATORS, Aim, Load, Span, Wrong, beside, check, refuses
from measuring.pool import Pool, Running
from measuring.processes import Cores, rss_bytes, tree
from measuring.records import Record, append, key, read
from measuring.rows import Place, Server
from pytest_fastr import _native
from pytest_fastr.errors import FastrError
from pytest_fastr.gate.profile import detect

REPOSITORY = Path(__file__).resolve().parents[2]
CACHE = Path.home() / ".cache" / "pytest-fastr" / "bench"
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
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
    checked_rounds: int | None = None
    """In how many of the rounds generators beside the first one are used; None: in all."""


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


def generators(plan: Plan, workload: Workload, number: int) -> list[str]:
    """Those that measure a workload in a round. Only the first one offers a rate."""
    checked = plan.checked_rounds is None or number < plan.checked_rounds
    return plan.generators if checked and workload.rate is None else plan.generators[:1]


class Comparison:
    """A run of the plan: goes through the rounds and writes records."""

    def __init__(self, plan: Plan, pool: Pool, setting: Setting, hide: Callable[[str], str], run: str) -> None:
        self._plan = plan
        self._pool = pool
        self._path = setting.records
        self._others = setting.others
        self._hide = hide
        self._run = run
        self._done = {key(record) for record in read(setting.records) if record["kind"] == "measurement"}
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
        for generator in generators(self._plan, workload, number):
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
        aim = Aim(running.port, running.process.pid, self._plan.cores.generator, self._others)
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
                "environment": {name: self._hide(value) for name, value in running.start.environment.items()},
                "python": interpreter and interpreter.version,
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
        **{name: value for name, value in asdict(load).items() if name not in ("requests", "seconds")},
    }  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """Where a run takes things from and puts them: the records, the peers' environments, the applications' folder."""

    records: Path
    cache: Path
    apps: Path
    python: str | None = None
    """The peers' interpreter; None: this one, if it will do."""
    start_s: float = 600.0
    others: tuple[int, ...] = ()
    """Processes beside the servers whose CPU time is told too, with their descendants."""
    secret: str = ""
    """What no record is to hold, such as the URL of a database."""


def measure(plan: Plan, setting: Setting, options: Record) -> bool:
    """Measures what the records lack; False when it was interrupted. ``options`` are recorded with the run."""
    if _native.DEBUG_BUILD:
        say("This is a debug build of pytest-fastr: nothing that is measured now means anything.")
    cache = setting.cache.expanduser().absolute()
    run = hashlib.sha256(f"{now()} {os.getpid()}".encode()).hexdigest()[:12]
    append(setting.records, {**run_record(plan), **options, "run": run, "time": now()})
    with tempfile.TemporaryDirectory(prefix="fastr-bench-") as name:
        folder = Path(name)
        environments = Environments(cache, setting.python)
        prepare(plan, environments, folder / "prepared")
        with Pool(environments, plan.cores, folder, setting.apps, setting.start_s) as pool:
            try:
                Comparison(plan, pool, setting, hider(cache, folder, setting.secret), run).go()
            except KeyboardInterrupt:
                say("interrupted: the same command goes on from here")
                return False
    return True


def run_record(plan: Plan) -> Record:
    """What machine, build and options this run's measurements are from."""
    library = Path(str(_native.__file__))
    profile = detect(version("pytest-fastr"))
    return {
        "kind": "run",
        "machine": profile.slug, "profile": profile.as_dict(), "kernel": platform.release(),
        "python": platform.python_version(), "debug_build": _native.DEBUG_BUILD,
        "build": hashlib.sha256(library.read_bytes()).hexdigest()[:16],
        "commit": git("rev-parse", "HEAD"),
        "changed": bool(git("status", "--porcelain", "--", "pytest_fastr", "native")),
        "nginx": first_line(shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:{SBIN}") or "nginx", "-v"),
        "wrk": first_line("wrk", "-v"), "oha": first_line("oha", "--version"), "load_average": os.getloadavg()[0],
        "rounds": plan.rounds, "seconds": plan.span.seconds, "warm_up": plan.span.warm_up, "seed": plan.seed,
        "placement": plan.cores.name, "server_cores": sorted(plan.cores.servers or ()),
        "generator_cores": sorted(plan.cores.generator or ()),
    }  # fmt: skip


def first_line(*command: str) -> str:
    """The first line of what a program says of itself; empty without it."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, cwd=REPOSITORY)
    except OSError:
        return ""
    return (done.stdout + done.stderr).strip().partition("\n")[0]


def git(*arguments: str) -> str:
    """The first line of what git answers; empty without it, and where it refuses (a copy, another user's checkout)."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=30, cwd=REPOSITORY)
    except OSError:
        return ""
    return "" if done.returncode != 0 else done.stdout.strip().partition("\n")[0]


def prepare(plan: Plan, environments: Environments, folder: Path) -> None:
    """Installs and builds what is missing before anything is measured. Whatever fails is reported where it is used."""
    folder.mkdir()
    for server in plan.servers:
        with contextlib.suppress(Missing):
            server.start(environments, Place(0, folder))


def hider(cache: Path, temporary: Path, secret: str = "") -> Callable[[str], str]:
    """Makes text fit for a record that others read: without this machine's folders and without addresses."""
    places = [
        *([(secret, "DATABASE")] if secret else []),
        (str(temporary), "TMP"), (str(cache), "CACHE"), (sys.prefix, "VENV"), (str(REPOSITORY), "REPOSITORY"),
        (str(Path.home()), "~"),
    ]  # fmt: skip

    def hide(text: str) -> str:
        for place, name in places:
            text = text.replace(place, name)
        return re.sub(r"(https?|file|postgresql)://\S+", "URL", text)

    return hide


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def say(text: str) -> None:
    """Progress, for whoever watches."""
    print(text, file=sys.stderr, flush=True)


def end_on_signals() -> None:
    """Has SIGTERM and SIGHUP end this process in good order, and SIGINT too where a shell has it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, _end)


def _end(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)
