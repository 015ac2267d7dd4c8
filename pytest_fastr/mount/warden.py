"""The process between the tests and a foreign command: it starts the command, says when it answers, ends it when told
to or when the tests are gone, and then ends as the command did.

While the command serves, its warden sleeps in ``wait`` and costs nothing; it is no part of what is measured.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import resource
import select
import shlex
import signal
import socket
import subprocess
import sys
import time
from types import FrameType

from pytest_fastr import _native
from pytest_fastr.errors import FastrError, StartupError
from pytest_fastr.mount import handshake
from pytest_fastr.mount.child import EXIT_FAILED, ORPHAN_GRACE_SECONDS, end_own_family, own_mark
from pytest_fastr.mount.command import Errand
from pytest_fastr.mount.process import describe_exit

_POLL_SECONDS = 0.02

_Child = subprocess.Popen[bytes]


class Warden:
    """Runs one errand."""

    def __init__(self, errand: Errand) -> None:
        self._errand = errand
        self._child: _Child | None = None
        self._is_told = False
        self._deadline = time.monotonic() + errand.startup_timeout

    def run(self) -> int:
        """Returns the exit code of the command, 0 if it was told to stop. Raises StartupError."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGALRM, self._kill)
        try:
            child, port = self._begin()
            self._tell_ready(child, port)
            code = child.wait()
            return 0 if self._is_told else code
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._kill()
            end_own_family()

    def _begin(self) -> tuple[_Child, int]:
        """Starts the command until it answers: once more where its port was taken meanwhile."""
        first, last = zip(self._errand.argvs, self._errand.ports, strict=True)
        child = self._started(first[0])
        if self._answers(child, *first) or not _is_taken(self._errand.host, first[1]):
            return self._checked(child, *first)
        print(f"pytest-fastr: somebody else has taken port {first[1]}; once more on {last[1]}", flush=True)
        child = self._started(last[0])
        self._answers(child, *last)
        return self._checked(child, *last)

    def _checked(self, child: _Child, argv: tuple[str, ...], port: int) -> tuple[_Child, int]:
        code = child.poll()
        if code is None:
            return child, port
        raise StartupError(
            f"the command ended before it answered ({describe_exit(code)}): {shlex.join(argv)}"
            + ("; it must stay in the foreground" if code == 0 and not self._is_told else "")
        )

    def _started(self, argv: tuple[str, ...]) -> _Child:
        try:
            self._child = subprocess.Popen(argv, cwd=self._errand.cwd, start_new_session=True)
        except OSError as error:
            place = f" in {self._errand.cwd}" if error.filename != self._errand.cwd else ""
            raise StartupError(f"cannot start {argv[0]!r}{place}: {error.strerror}: {error.filename}") from error
        if self._is_told:
            self._stop()
        return self._child

    def _answers(self, child: _Child, argv: tuple[str, ...], port: int) -> bool:
        """Waits until the server answers as it should. False when the command ends before. Raises StartupError when
        the time is over."""
        while child.poll() is None:
            why = self._asked(child, port)
            if why is None:
                return child.poll() is None
            if time.monotonic() >= self._deadline:
                raise StartupError(
                    f"the command did not become ready within {self._errand.startup_timeout:g} s ({why}): it must "
                    f"listen on the {{host}} and {{port}} it is given; raise `startup_timeout` if it needs longer: "
                    f"{shlex.join(argv)}"
                )
            time.sleep(_POLL_SECONDS)
        return False

    def _asked(self, child: _Child, port: int) -> str | None:
        """None when the server answers as it should, or else why not. Does not wait longer than the command lives: on a
        port that somebody else has taken there may be nobody who speaks HTTP."""
        path = self._errand.ready or "/"
        left = max(self._deadline - time.monotonic(), 0.1)
        connection = http.client.HTTPConnection(self._errand.host, port, timeout=left)
        try:
            connection.request("GET", path, headers={"connection": "close"})
            while not select.select([connection.sock], [], [], _POLL_SECONDS)[0]:
                if child.poll() is not None or time.monotonic() >= self._deadline:
                    return f"GET {path} on port {port}: no answer"
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            return f"GET {path} on port {port}: {error or type(error).__name__}"
        finally:
            connection.close()
        if self._errand.ready is not None and status >= 500:
            return f"GET {path} on port {port} was answered with {status}"
        return None

    def _tell_ready(self, child: _Child, port: int) -> None:
        ready = handshake.Ready(
            host=self._errand.host,
            port=port,
            pid=child.pid,
            app_file=None,
            tracing=None,
            debug_build=_native.DEBUG_BUILD,
        )
        # Where the tests are gone meanwhile, the lifeline says so.
        with contextlib.suppress(BrokenPipeError):
            handshake.send_ready(self._errand.ready_fd, ready)

    def _stop(self, number: int = 0, frame: FrameType | None = None) -> None:
        """Asks the command's group to stop, and sets the time after which it is killed."""
        self._is_told = True
        self._signal(signal.SIGTERM)
        signal.setitimer(signal.ITIMER_REAL, self._errand.stop_timeout)

    def _kill(self, number: int = 0, frame: FrameType | None = None) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._child is not None and self._child.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._child.pid, number)


def main(text: str) -> int:
    """Runs the errand of this JSON text, and ends as its command did."""
    errand = _read(text)
    for fd in (errand.ready_fd, errand.lifeline_fd):
        os.set_inheritable(fd, False)
    _native.watch_lifeline(errand.lifeline_fd, ORPHAN_GRACE_SECONDS, own_mark())
    try:
        code = Warden(errand).run()
    except FastrError as error:
        with contextlib.suppress(BrokenPipeError):
            handshake.send_error(errand.ready_fd, error)
        return EXIT_FAILED
    if code < 0:
        _end_by(-code)
    return code


def _read(text: str) -> Errand:
    values = json.loads(text)
    argvs = tuple(tuple(argv) for argv in values["argvs"])
    return Errand(**{**values, "argvs": argvs, "ports": tuple(values["ports"])})


def _end_by(number: int) -> None:
    """Ends this process by the signal that has ended the command, without a core file of its own."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    with contextlib.suppress(OSError):  # SIGKILL has no other handler
        signal.signal(number, signal.SIG_DFL)
    sys.stdout.flush()
    os.kill(os.getpid(), number)


def _is_taken(host: str, port: int) -> bool:
    """Whether somebody listens on a port that the command has left."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        # Connections of a server that has just ended do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False
