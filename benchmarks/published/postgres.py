"""A PostgreSQL of our own: a cluster in a temporary folder, on a free port, gone when it is left."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from measuring.environments import Missing
from measuring.pool import free_port

DEBIAN = Path("/usr/lib/postgresql")
PR_SET_PDEATHSIG = 1
START_S, STOP_S = 60.0, 20.0
UNPRIVILEGED = ("postgres", "nobody")
SETTINGS = (
    "listen_addresses=127.0.0.1", "fsync=off", "autovacuum=off", "logging_collector=off", "max_connections=200",
    "jit=off",
)  # fmt: skip
_LIBC = ctypes.CDLL(None)


@dataclass(frozen=True)
class Database:
    """A database to measure with. ``pid``: its first process, None where it is somebody else's."""

    url: str
    version: str
    pid: int | None


def programs(search: Mapping[str, str], debian: Path = DEBIAN) -> Path:
    """The folder of `initdb` and `postgres`: Debian's newest, or that of the search path. Raises Missing."""
    versions = sorted(debian.glob("*/bin/initdb"), key=lambda one: _number(one.parts[-3]))
    if versions:
        return versions[-1].parent
    found = shutil.which("initdb", path=search.get("PATH"))
    if found is None:
        raise Missing("PostgreSQL is not installed: apt-get install postgresql, or set DATABASE_URL to one that runs")
    return Path(found).resolve().parent


@dataclass(frozen=True)
class Account:
    """Who the database runs as. None: as this process does."""

    user: int | None = None
    group: int | None = None
    groups: tuple[int, ...] | None = None


@contextmanager
def cluster(on: frozenset[int] | None) -> Iterator[Database]:
    """A database that serves on these cores until it is left. Raises Missing where there can be none."""
    folder = Path(tempfile.mkdtemp(prefix="fastr-postgres-"))
    try:
        binaries = programs(os.environ)
        account = _unprivileged()
        if account.user is not None and account.group is not None:
            os.chown(folder, account.user, account.group)
        with _served(binaries, folder, account, on) as database:
            yield database
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _served(binaries: Path, folder: Path, account: Account, on: frozenset[int] | None) -> Iterator[Database]:
    data, port = folder / "data", free_port()
    options = ["--auth=trust", "--username=bench", "--encoding=UTF8", "--locale=C", "--no-sync"]
    _done([str(binaries / "initdb"), "-D", str(data), *options], account, folder)
    command = [str(binaries / "postgres"), "-D", str(data), "-p", str(port), "-k", str(folder)]
    for setting in SETTINGS:
        command += ["-c", setting]
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
            start_new_session=True, preexec_fn=_ends_with_this_process(on), user=account.user, group=account.group,
            extra_groups=account.groups,
        )  # fmt: skip
    try:
        _until_ready(process, binaries, port, log)
        version = _done([str(binaries / "postgres"), "--version"], account, folder).strip()
        yield Database(f"postgresql://bench@127.0.0.1:{port}/postgres", version, process.pid)
    finally:
        _stop(process)


def _ends_with_this_process(on: frozenset[int] | None) -> Callable[[], None]:
    def before_exec() -> None:
        # An immediate shutdown, which also takes the shared memory with it; SIGKILL would leave that behind.
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)
        if on is not None:
            os.sched_setaffinity(0, on)

    return before_exec


def _until_ready(process: subprocess.Popen[bytes], binaries: Path, port: int, log: Path) -> None:
    deadline = time.monotonic() + START_S
    ready = [str(binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    while process.poll() is None and time.monotonic() < deadline:
        if subprocess.run(ready, stdin=subprocess.DEVNULL).returncode == 0:
            return
        time.sleep(0.05)
    said = " ".join(log.read_text(errors="replace").split())[-300:]
    raise Missing(f"PostgreSQL did not start: {said}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Asks for a fast shutdown, then an immediate one."""
    for number in (signal.SIGINT, signal.SIGQUIT):
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)
            return
    process.kill()
    process.wait()


def _unprivileged() -> Account:
    """This process's user, or another one: PostgreSQL refuses to be root."""
    if os.geteuid() != 0:
        return Account()
    for name in UNPRIVILEGED:
        with contextlib.suppress(KeyError):
            found = pwd.getpwnam(name)
            return Account(found.pw_uid, found.pw_gid, ())
    raise Missing(f"PostgreSQL refuses to run as root, and there is no user {' or '.join(UNPRIVILEGED)}")


def _done(command: list[str], account: Account, folder: Path) -> str:
    """The output of a command. Raises Missing with the end of what it said."""
    done = subprocess.run(
        command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        user=account.user, group=account.group, extra_groups=account.groups,
    )  # fmt: skip
    if done.returncode != 0:
        raise Missing(f"{Path(command[0]).name}: {' '.join(done.stderr.split())[-300:]}")
    return done.stdout


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else 0 for part in version.split("."))
