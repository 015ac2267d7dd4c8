"""A server under test in a process of its own: spawned from a name, or forked from an object.

Every process leads its own group, holds the reading end of a lifeline pipe and reports over a ready pipe, so that it is
known to answer before it is used, and ends with its parent however that ends.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from pytest_fastr.errors import ForkError, MountError, StartupError
from pytest_fastr.mount import handshake
from pytest_fastr.mount.asgi import AsgiApplication
from pytest_fastr.mount.child import ParentPipes, run_server
from pytest_fastr.mount.runtime import ServeOptions
from pytest_fastr.mount.target import AppRef

LOG_TAIL_BYTES = 4000
STOP_SECONDS = 5.0
_POLL_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class Launch:
    """How server processes are started.

    ``env`` is added to the parent's environment (spawned servers only). ``path`` goes before the import path.
    ``startup_timeout`` is in seconds.
    """

    options: ServeOptions = field(default_factory=ServeOptions)
    env: Mapping[str, str] = field(default_factory=dict)
    path: Sequence[str] = ()
    startup_timeout: float = 30.0
    python: str = sys.executable


class ServerProcess:
    """A running server process. Made by :func:`spawn` and :func:`fork`."""

    def __init__(self, pid: int, lifeline: int, log: Path, popen: subprocess.Popen[bytes] | None) -> None:
        self.pid = pid
        self.log = log
        self.ready: handshake.Ready | None = None
        self._lifeline: int | None = lifeline
        self._popen = popen
        self._exit_code: int | None = None
        _alive.add(self)

    @property
    def url(self) -> str:
        """The base URL, without a trailing slash."""
        if self.ready is None:
            raise MountError("the server is not ready")
        return self.ready.address.url

    def exit_code(self) -> int | None:
        """The exit code (negative: the signal), None while it runs."""
        if self._exit_code is None:
            if self._popen is not None:
                self._exit_code = self._popen.poll()
            else:
                with contextlib.suppress(ChildProcessError):
                    pid, status = os.waitpid(self.pid, os.WNOHANG)
                    if pid:
                        self._exit_code = os.waitstatus_to_exitcode(status)
        return self._exit_code

    def log_tail(self) -> str:
        """The last lines the server wrote."""
        try:
            data = self.log.read_bytes()
        except OSError:
            return ""
        return data[-LOG_TAIL_BYTES:].decode(errors="replace").strip()

    def stop(self) -> None:
        """Ends the process and everything it started. Safe to call twice."""
        if self not in _alive:
            return
        tree = descendants(self.pid)
        try:
            if self.exit_code() is None:
                _signal(self.pid, signal.SIGTERM)
                self._wait(STOP_SECONDS)
        finally:
            # The group outlives its leader where the application started processes of its own.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            for pid in tree:
                _signal(pid, signal.SIGKILL)
            self._wait(STOP_SECONDS)
            self.close_lifeline()
            _alive.discard(self)
            with contextlib.suppress(OSError):
                self.log.unlink()

    def close_lifeline(self) -> None:
        """Closes the parent's end; in the parent only after the process has ended."""
        if self._lifeline is not None:
            with contextlib.suppress(OSError):
                os.close(self._lifeline)
            self._lifeline = None

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self.exit_code() is None and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)

    def await_ready(self, pipe: int, timeout: float) -> None:
        """Reads the ready pipe. Raises what the server reports, or StartupError when it says nothing."""
        line = b""
        deadline = time.monotonic() + timeout
        with os.fdopen(pipe, "rb", buffering=0) as stream, selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise StartupError(
                        f"the server did not become ready within {timeout:g} s; raise `startup_timeout` if it needs "
                        f"longer{self._said()}"
                    )
                piece = stream.read(65536)
                if not piece:
                    self._wait(STOP_SECONDS)
                    raise StartupError(
                        f"the server process died during start-up ({describe_exit(self.exit_code())}){self._said()}"
                    )
                line += piece
        try:
            self.ready = handshake.parse(line)
        except MountError as error:
            raise type(error)(f"{error}{self._said()}") from None

    def _said(self) -> str:
        tail = self.log_tail()
        return f"\n--- server log ---\n{tail}" if tail else ""


_alive: set[ServerProcess] = set()


def stop_all() -> None:
    """Ends every server process of this one."""
    for process in list(_alive):
        process.stop()


def _close_lifelines_in_child() -> None:
    # A forked child (ours, or multiprocessing's) must not keep other servers' lifelines open past this process' end,
    # and must not stop servers that are not its own.
    for process in list(_alive):
        process.close_lifeline()
    _alive.clear()


atexit.register(stop_all)
os.register_at_fork(after_in_child=_close_lifelines_in_child)


def spawn(app: AppRef, launch: Launch) -> ServerProcess:
    """Starts ``python -m pytest_fastr.serve`` and waits until it answers. Raises MountError's children."""
    options = launch.options
    ready_read, ready_write = os.pipe()
    lifeline_read, lifeline_write = os.pipe()
    log = _log_file()
    command = [
        launch.python, "-m", "pytest_fastr.serve", str(app),
        "--host", options.host, "--port", str(options.port),
        "--root-path", options.root_path, "--lifespan", options.lifespan,
        "--drain-timeout", str(options.drain_timeout),
        "--ready-fd", str(ready_write), "--lifeline-fd", str(lifeline_read),
    ]  # fmt: skip
    for entry in launch.path:
        command += ["--path", entry]
    for name, value in options.limits.items():
        command += ["--limit", f"{name}={value}"]
    try:
        with log.open("wb") as output:
            popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **launch.env},
                pass_fds=(ready_write, lifeline_read),
                start_new_session=True,
            )
    except OSError as error:
        for fd in (ready_read, lifeline_write):
            os.close(fd)
        raise StartupError(f"cannot start {launch.python}: {error}") from error
    finally:
        os.close(ready_write)
        os.close(lifeline_read)
    return _ready(ServerProcess(popen.pid, lifeline_write, log, popen), ready_read, launch)


def fork(app: AsgiApplication, launch: Launch) -> ServerProcess:
    """Forks this process and serves an application object from the child. Raises ForkError when threads run."""
    refuse_threads()
    ready_read, ready_write = os.pipe()
    lifeline_read, lifeline_write = os.pipe()
    log = _log_file()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        os.close(ready_read)
        os.close(lifeline_write)
        _run_forked(app, launch.options, ParentPipes(ready_write, lifeline_read), log)
    os.close(ready_write)
    os.close(lifeline_read)
    return _ready(ServerProcess(pid, lifeline_write, log, None), ready_read, launch)


def _ready(process: ServerProcess, pipe: int, launch: Launch) -> ServerProcess:
    try:
        process.await_ready(pipe, launch.startup_timeout)
    except BaseException:
        process.stop()
        raise
    return process


def _run_forked(app: AsgiApplication, options: ServeOptions, pipes: ParentPipes, log: Path) -> NoReturn:
    """The forked child: leaves nothing of pytest behind it, and never returns into it."""
    code = 1
    try:
        os.setsid()
        _take_over_output(log)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.settrace(None)
        sys.setprofile(None)
        _leave_event_loop()
        _drop_capturing_log_handlers()
        code = run_server(lambda: app, options, pipes)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _take_over_output(log: Path) -> None:
    output = os.open(log, os.O_WRONLY | os.O_APPEND)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    os.close(null)
    sys.stdout = open(1, "w", buffering=1, closefd=False, encoding="utf-8", errors="replace")  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False, encoding="utf-8", errors="replace")  # noqa: SIM115


def _leave_event_loop() -> None:
    """An async fixture forks from inside a running loop, which does not run in the child."""
    from asyncio import events

    events._set_running_loop(None)


def _drop_capturing_log_handlers() -> None:
    """pytest's capturing handlers keep every record, which would grow without end under load."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        if type(handler).__module__.startswith("_pytest"):
            root.removeHandler(handler)


def refuse_threads() -> None:
    """Raises ForkError when this process has threads, which a forked child would lack."""
    others = [one.name for one in threading.enumerate() if one is not threading.current_thread()]
    try:
        native = len(os.listdir("/proc/self/task")) - len(others) - 1
    except OSError:
        native = 0
    if native > 0:
        others.append(f"{native} native thread{'s' if native > 1 else ''} of an extension module")
    if others:
        raise ForkError(
            "an application object is measured in a fork of this process, but threads that do not survive a fork are "
            f"running: {', '.join(others)}. Stop them before the perf test, or name the application as 'module:attr' "
            "(for example app = \"shop.main:app\" in [tool.pytest-fastr]), which is started in a fresh process"
        )


def _log_file() -> Path:
    handle, name = tempfile.mkstemp(prefix="pytest-fastr-", suffix=".log")
    os.close(handle)
    return Path(name)


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def descendants(pid: int) -> list[int]:
    """The processes that descend from ``pid``, nearest first, where /proc tells; else none."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name in parentheses may hold anything, so fields count from the last one.
            fields = entry.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(entry.parent.name))
    found: list[int] = []
    level = [pid]
    while level:
        level = [child for parent in level for child in children.get(parent, [])]
        found += level
    return found


def describe_exit(code: int | None) -> str:
    """``exit code 3`` or ``killed by SIGSEGV``."""
    if code is None:
        return "still running"
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
