"""A server under test in a process of its own, and how one is forked from an object.

Every process leads its own group, holds the reading end of a lifeline pipe and reports over a ready pipe, so that it is
known to answer before it is used, and ends with its parent however that ends.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import logging
import os
import secrets
import selectors
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from pytest_fastr import _native
from pytest_fastr.errors import ForkError, MountError, StartupError
from pytest_fastr.mount import handshake
from pytest_fastr.mount.child import MARK, ParentPipes, end_own_family, run_server
from pytest_fastr.mount.fork_safety import refuse_threads
from pytest_fastr.mount.handles import shared_handles
from pytest_fastr.mount.runtime import Address, ServeOptions
from pytest_fastr.mount.target import Application

LOG_TAIL_BYTES = 4000
STOP_SECONDS = 5.0
"""How long a server may take to end, beyond its own drain timeout."""
_POLL_SECONDS = 0.005

# During start-up, how often a silent server is asked whether it still lives.
_STARTUP_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Launch:
    """How server processes are started.

    ``env`` is added to the parent's environment. ``startup_timeout`` is in seconds. For spawned servers only: ``path``
    goes before the import path; ``cwd`` is the folder they serve in (None: this process'); ``moved`` is a checkout and
    its copy, from which the checkout's code is imported instead; ``sample`` is the file for a profile of their time.
    ``lanes``: they tell the lanes of their routes when they are ready, which takes modules and memory that a measured
    server must not have.
    For commands: ``cwd`` as well, and ``root``, the folder that they may ask for.
    """

    options: ServeOptions = field(default_factory=ServeOptions)
    env: Mapping[str, str] = field(default_factory=dict)
    path: Sequence[str] = ()
    startup_timeout: float = 30.0
    python: str = sys.executable
    cwd: str | None = None
    moved: tuple[str, str] | None = None
    sample: str | None = None
    lanes: bool = False
    root: str | None = None


@dataclass(frozen=True, slots=True)
class Channel:
    """What parent and server have in common: two pipes, a log file, and a mark to know the server's processes by."""

    ready_read: int
    ready_write: int
    lifeline_read: int
    lifeline_write: int
    log: int
    mark: str

    @classmethod
    def open(cls) -> Channel:
        # A file without a name is gone with the last process that has it open, however that ends.
        log, name = tempfile.mkstemp(prefix="pytest-fastr-", suffix=".log")
        os.unlink(name)
        # Everything the server starts writes to it too, by descriptors of its own making (/dev/stderr).
        fcntl.fcntl(log, fcntl.F_SETFL, fcntl.fcntl(log, fcntl.F_GETFL) | os.O_APPEND)
        # The mark is always as long: the size of the environment moves the stack, and with it what is measured.
        return cls(*os.pipe(), *os.pipe(), log=log, mark=secrets.token_hex(8))

    def close_child_ends(self) -> None:
        os.close(self.ready_write)
        os.close(self.lifeline_read)

    def close_parent_ends(self) -> None:
        os.close(self.ready_read)
        os.close(self.lifeline_write)

    def discard(self) -> None:
        """For a server that was never started."""
        self.close_parent_ends()
        os.close(self.log)


class ServerProcess:
    """A running server process. Made by ``spawn`` and :func:`fork`.

    ``drain_s``: how long it may take to finish what is in flight.
    """

    def __init__(self, pid: int, channel: Channel, popen: subprocess.Popen[bytes] | None, drain_s: float) -> None:
        self.pid = pid
        self._log: int | None = channel.log
        self._ready_pipe: int | None = channel.ready_read
        self.ready: handshake.Ready | None = None
        self.shared: tuple[str, ...] = ()
        """Connections of this process that a forked one has too, in words."""
        self._lifeline: int | None = channel.lifeline_write
        self._mark = f"{MARK}={channel.mark}"
        self._popen = popen
        self._stop_s = drain_s + STOP_SECONDS
        self._exit_code: int | None = None
        _alive.add(self)

    @property
    def url(self) -> str:
        """The base URL, without a trailing slash."""
        return self.address.url

    @property
    def address(self) -> Address:
        """Where it listens."""
        if self.ready is None:
            raise MountError("the server is not ready")
        return self.ready.address

    @property
    def pids(self) -> tuple[int, ...]:
        """The roots of the processes that serve, whose CPU time and memory are its cost."""
        return () if self.ready is None else (self.ready.pid,)

    def exit_code(self) -> int | None:
        """The exit code (negative: the signal), None while it runs."""
        if self._exit_code is None:
            if hasattr(os, "waitid"):
                # Looked at, not reaped: until stop() its id, which is also its group's, is nobody else's.
                self._exit_code = _peek_exit(self.pid)
            else:  # macOS before Python 3.13
                self._exit_code = self._reap(os.WNOHANG)
        return self._exit_code

    def _reap(self, options: int) -> int | None:
        if self._popen is not None:
            return self._popen.poll() if options else self._popen.wait()
        try:
            pid, status = os.waitpid(self.pid, options)
        except ChildProcessError:  # reaped by somebody else, its exit code with it
            return 0
        return os.waitstatus_to_exitcode(status) if pid else None

    def log_bytes(self) -> int:
        """How much the server has written so far; 0 once it was stopped."""
        return 0 if self._log is None else os.fstat(self._log).st_size

    def ended_within(self, seconds: float) -> bool:
        """Whether the process has ended, or does so within ``seconds``."""
        self._wait(seconds)
        return self.exit_code() is not None

    def log_tail(self, since: int = 0) -> str:
        """The last lines the server wrote, none from before its log had ``since`` bytes; empty once it was stopped."""
        if self._log is None:
            return ""
        start = max(since, self.log_bytes() - LOG_TAIL_BYTES)
        return os.pread(self._log, LOG_TAIL_BYTES, start).decode(errors="replace").strip()

    def stop(self) -> None:
        """Ends the process and everything it started. Safe to call twice."""
        if self not in _alive:
            return
        try:
            if self.exit_code() is None:
                _signal(self.pid, signal.SIGTERM)
                self._wait(self._stop_s)
        finally:
            # Descendants are known as such only while the server is there; what is left of its group, afterwards too.
            _native.end_family(self.pid, self._mark)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            self._wait(STOP_SECONDS)
            # What a server that hung has started meanwhile.
            _native.end_family(self.pid, self._mark)
            if self.exit_code() is not None:
                self._reap(0)
            self.close_lifeline()
            if self._ready_pipe is not None:  # nobody has waited for it
                os.close(self._ready_pipe)
                self._ready_pipe = None
            _alive.discard(self)
            if self._log is not None:
                os.close(self._log)
                self._log = None

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

    def await_ready(self, timeout: float) -> None:
        """Reads the ready pipe, once. Raises what the server reports, or StartupError when it says nothing."""
        pipe, self._ready_pipe = self._ready_pipe, None
        assert pipe is not None
        line = b""
        deadline = time.monotonic() + timeout
        with os.fdopen(pipe, "rb", buffering=0) as stream, selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                left = deadline - time.monotonic()
                # A process that the server left behind may keep the pipe open, so its end alone is not waited for.
                died = self.exit_code() is not None
                silent = not selector.select(0 if died else min(max(0.0, left), _STARTUP_POLL_SECONDS))
                if silent and not died:
                    if left > 0:
                        continue
                    raise StartupError(
                        f"the server did not become ready within {timeout:g} s; raise `startup_timeout` if it needs "
                        f"longer{self._said()}"
                    )
                piece = b"" if silent else stream.read(65536)
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


def fork(app: Application, launch: Launch) -> ServerProcess:
    """Forks this process and serves an application object from the child. Raises ForkError when threads run."""
    refuse_threads()
    shared = shared_handles()
    channel = Channel.open()
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        pid = os.fork()
    except OSError as error:
        channel.close_child_ends()
        channel.discard()
        raise ForkError(f"cannot fork this process: {error}") from error
    if pid == 0:
        channel.close_parent_ends()
        _run_forked(app, launch, channel)
    channel.close_child_ends()
    server = ServerProcess(pid, channel, None, launch.options.drain_timeout)
    server.shared = shared
    try:
        server.await_ready(launch.startup_timeout)
    except BaseException:
        server.stop()
        raise
    return server


def _run_forked(app: Application, launch: Launch, channel: Channel) -> NoReturn:
    """The forked child: leaves nothing of pytest behind it, and never returns into it."""
    code = 1
    try:
        os.setsid()
        os.environ.update(launch.env)
        os.environ[MARK] = channel.mark
        _take_over_output(channel.log)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.settrace(None)
        sys.setprofile(None)
        _leave_event_loop()
        _drop_capturing_log_handlers()
        pipes = ParentPipes(channel.ready_write, channel.lifeline_read)
        code = run_server(lambda: app, launch.options, pipes, lanes=launch.lanes)
    except BaseException:
        traceback.print_exc()
    finally:
        # os._exit runs no atexit handler: those are the parent's.
        end_own_family()
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _take_over_output(log: int) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(null)
    os.close(log)
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


def _peek_exit(pid: int) -> int | None:
    try:
        result = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:  # reaped by somebody else, its exit code with it
        return 0
    if result is None:
        return None
    return result.si_status if result.si_code == os.CLD_EXITED else -result.si_status


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


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
