"""The second table: a hundred rows of PostgreSQL as JSON."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from measuring.asks import Ask, Workload
from measuring.environments import Environments, Missing
from measuring.records import Record
from measuring.rows import Place, Server, Start
from published.places import APPS, AXUM, EXAMPLE
from published.postgres import Database, cluster
from published.table import Goal, Published, Source, Table
from users_db.seed import first_page

KINDS = ("close", "keep", "rate")
ON_OURS = ("-asgi", "-native")
USERS, RATE = 10, 10_000.0
PROGRAM_S = 60
_Start = Callable[[Environments, Place], Start]


def _environment(database: str, *packages: Path) -> dict[str, str]:
    return {"DATABASE_URL": database, "PYTHONPATH": os.pathsep.join(map(str, (APPS, EXAMPLE, *packages)))}


def ours(app: str, mount: str, database: str) -> _Start:
    """Our engine, with the very packages that the peers have."""

    def start(environments: Environments, place: Place) -> Start:
        own, peer = environments.own(), environments.get("database")
        minor = ".".join(peer.version.split(".")[:2])
        if peer.version != own.version:
            raise Missing(f"pytest-fastr is built for Python {own.version}, and the peers run on {peer.version}")
        packages = Path(peer.python).parents[1] / "lib" / f"python{minor}" / "site-packages"
        command = [own.python, "-m", "pytest_fastr.serve", app, "--port", str(place.port), "--mount", mount]
        return Start(command, _environment(database, packages), peer)

    return start


def _uvicorn(app: str, database: str) -> _Start:
    def start(environments: Environments, place: Place) -> Start:
        peer = environments.get("database")
        command = [
            peer.python, "-m", "uvicorn", app, "--host", "127.0.0.1", "--port", str(place.port), "--loop", "uvloop",
            "--http", "httptools", "--no-access-log", "--log-level", "warning",
        ]  # fmt: skip
        return Start(command, _environment(database), peer)

    return start


def _axum(database: str) -> _Start:
    def start(environments: Environments, place: Place) -> Start:
        return Start([str(environments.program(AXUM)), str(place.port)], {"DATABASE_URL": database})

    return start


def servers(database: str) -> tuple[Server, ...]:
    """The rows, on this database."""
    kinds = (
        ("sync", "FastAPI + SQLAlchemy sync", "users_sync:app"),
        ("async", "FastAPI + SQLAlchemy async", "users_async:app"),
        ("asyncpg", "FastAPI + asyncpg", "users_asyncpg:app"),
    )
    made = [
        Server("ours-face", "pytest-fastr, FastrAPI + asyncpg", KINDS, ours("users_db.main:app", "native", database))
    ]
    for name, title, app in kinds:
        made += [
            Server(name, title, KINDS, _uvicorn(app, database)),
            Server(f"{name}-asgi", f"{title}, on pytest-fastr", KINDS, ours(app, "asgi", database)),
            Server(f"{name}-native", f"{title}, on pytest-fastr, compiled", KINDS, ours(app, "native", database)),
        ]
    return (*made, Server("axum", "Axum + SQLx", KINDS, _axum(database)))


def fill(environments: Environments, database: str) -> None:
    """Has the table be there. Raises Missing where it cannot be made."""
    try:
        peer = environments.get("database")
    except Missing as missing:
        raise Missing(f"what the rows with a database need cannot be installed: {missing}") from missing
    command = [peer.python, "-m", "users_db.fill"]
    _said(command, _environment(database), "the table cannot be filled")


def where(environments: Environments, database: str, on: frozenset[int] | None) -> Record:
    """What the steps of our answer cost by themselves, on these cores: CPU microseconds. Raises Missing."""
    start = ours("users_where", "native", database)(environments, Place(0, APPS))
    command = [start.command[0], "-W", "ignore", str(APPS / "users_where.py")]
    if on is not None and shutil.which("taskset"):
        command = ["taskset", "-c", ",".join(map(str, sorted(on))), *command]
    return {"kind": "where", **json.loads(_said(command, start.environment, "the steps cannot be measured"))}


def _said(command: list[str], environment: dict[str, str], failure: str) -> str:
    """The output of a command that knows the database. Raises Missing, without the database's URL."""
    try:
        done = subprocess.run(
            command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=PROGRAM_S
        )
    except subprocess.TimeoutExpired:
        raise Missing(f"{failure}: it took more than {PROGRAM_S} s") from None
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["it ended without a word"]
        raise Missing(f"{failure}: {lines[-1].replace(environment['DATABASE_URL'], 'DATABASE_URL')[-300:]}")
    return done.stdout


@contextmanager
def database(environments: Environments, on: frozenset[int] | None) -> Iterator[Database]:
    """The database of DATABASE_URL, or one of our own on these cores, filled. Raises Missing."""
    given = os.environ.get("DATABASE_URL")
    if given:
        if not given.startswith("postgresql://"):
            raise Missing("DATABASE_URL must begin with postgresql://")
        fill(environments, given)
        # Told apart by a digest: the URL names a machine, and may hold a password.
        digest = hashlib.sha256(given.encode()).hexdigest()[:8]
        yield Database(given, f"that of DATABASE_URL ({digest})", None)
        return
    with cluster(on) as own:
        fill(environments, own.url)
        yield own


def _workloads() -> tuple[Workload, ...]:
    kept = Workload("keep", f"{USERS} users, connections kept", Ask("/", first_page()), connections=USERS)
    closed = replace(kept, name="close", title=f"{USERS} users, a connection for each request", keep_alive=False)
    rate = replace(closed, name="rate", title=f"{RATE:,.0f} requests/s asked for, a connection each", rate=RATE)
    return closed, kept, rate


TABLE = Table(
    name="database",
    title="A hundred rows of PostgreSQL as JSON",
    about='`GET /` answers `SELECT * FROM "users" ORDER BY user_id LIMIT 100` as JSON, of 2,000 users; '
    "pools of 5 connections, one process.",
    servers=servers(""),
    workloads=_workloads(),
    base="sync",
    ours=tuple(server.name for server in servers("") if server.name == "ours-face" or server.name.endswith(ON_OURS)),
    goals=tuple(
        Goal(f"FastrAPI {text} ({word})", workload, ("ours-face",), (other,), least)
        for workload, word in (("close", "a connection each"), ("keep", "kept"))
        for text, other, least in (
            ("4 times FastAPI + SQLAlchemy sync", "sync", 4.0),
            ("1.5 times FastAPI + SQLAlchemy async", "async", 1.5),
            ("1.5 times FastAPI + asyncpg", "asyncpg", 1.5),
            ("half of Axum", "axum", 0.5),
        )
    ),
    sources=(
        Source(
            "Benchmarking FastAPI vs. Axum", "https://luke.hsiao.dev/blog/fastapi-axum/",
            "oha, 10 users, 50,000 requests, a connection for each, Ryzen 7 3700X, all cores",
            (
                Published("FastAPI", 305, p50_ms=30.0, p99_ms=74.0, memory_mib=83),
                Published("Axum", 9740, p50_ms=1.0, p99_ms=1.4, memory_mib=10),
            ),
        ),
        Source(
            "its repository", "https://github.com/lukehsiao/axum-fastapi",
            "the same, on newer hardware; async is asyncpg without SQLAlchemy",
            (Published("FastAPI", 612), Published("FastAPI (async)", 2267), Published("Axum", 15363)),
        ),
        Source(
            "the same repository", "https://github.com/lukehsiao/axum-fastapi",
            "oha -q 10000 --latency-correction: 10,000 requests/s asked for, Ryzen 7 3700X",
            (
                Published("FastAPI", 317, p50_ms=75000, p99_ms=151000),
                Published("Axum", 9920, p50_ms=16.2, p99_ms=40.4),
            ),
        ),
    ),
)  # fmt: skip
