"""No process is left behind, however a server or its parent ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_fastr.mount import ServerProcess

TESTS = Path(__file__).parents[1]
KINDS = ["the server", "one in its group", "one in its own session", "a daemon"]

Spawned = Callable[..., contextlib.AbstractContextManager[ServerProcess]]

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux tells the whole family")


def lives(pid: int) -> bool:
    """Whether a process runs. One that waits for its parent to notice its end does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def alive(pids: list[int]) -> list[str]:
    return [KINDS[number % 4] for number, pid in enumerate(pids) if lives(pid)]


def family_of(server: ServerProcess, ask: Callable[..., Any], path: str = "/") -> list[int]:
    """Has the application start its processes. Returns their ids, the server's first."""
    assert server.ready is not None
    body = ask(server.ready.port, f"GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n".encode()).body
    pids = [int(pid) for pid in body.split()]
    assert alive(pids) == KINDS
    return pids


def test_a_stop_ends_all_that_the_application_has_started(spawned: Spawned, ask: Callable[..., Any]) -> None:
    with spawned("trouble:family") as server:
        pids = family_of(server, ask)
        server.stop()
        assert alive(pids) == []
        assert server.exit_code() == 0


def test_a_stop_after_the_server_was_killed_ends_the_rest(spawned: Spawned, ask: Callable[..., Any]) -> None:
    with spawned("trouble:family") as server:
        pids = family_of(server, ask)
        os.kill(server.pid, signal.SIGKILL)
        server.stop()
        assert alive(pids) == []
        assert server.exit_code() == -signal.SIGKILL


def test_a_server_told_to_stop_by_a_signal_ends_what_it_started(
    spawned: Spawned, ask: Callable[..., Any], wait_until: Callable[..., None]
) -> None:
    with spawned("trouble:family") as server:
        pids = family_of(server, ask)
        os.kill(server.pid, signal.SIGTERM)
        wait_until(lambda: not alive(pids), "the end of the family")


def test_a_stop_ends_a_server_that_holds_its_interpreter_and_ignores_sigterm(
    spawned: Spawned, ask: Callable[..., Any], wait_until: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_fastr.mount.process.STOP_SECONDS", 0.5)
    with spawned("trouble:family", drain_timeout=0.0) as server:
        pids = family_of(server, ask, "/then-hang")
        wait_until(lambda: "holding the interpreter" in server.log_tail(), "the hang")
        server.stop()
        assert alive(pids) == []
        assert server.exit_code() == -signal.SIGKILL


@pytest.fixture
def run_parent(tmp_path: Path) -> Callable[..., subprocess.Popen[bytes]]:
    """Starts a process that has a spawned and a forked server."""

    def run(*arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "apps.parent", *arguments]
        environment = {**os.environ, "TMPDIR": str(tmp_path)}
        return subprocess.Popen(command, stdout=subprocess.PIPE, cwd=TESTS, env=environment)

    return run


@pytest.mark.parametrize("state", ["idle", "hang"])
def test_nothing_outlives_a_parent_that_was_killed(
    state: str,
    run_parent: Callable[..., subprocess.Popen[bytes]],
    wait_until: Callable[..., None],
    tmp_path: Path,
) -> None:
    with run_parent(state) as parent:
        try:
            assert parent.stdout is not None
            pids = json.loads(parent.stdout.readline())
            assert alive(pids) == KINDS * 2
        finally:
            parent.kill()
    wait_until(lambda: not alive(pids), "the end of both families")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_a_parent_that_was_told_to_stop(
    number: signal.Signals, run_parent: Callable[..., subprocess.Popen[bytes]], wait_until: Callable[..., None]
) -> None:
    with run_parent() as parent:
        try:
            assert parent.stdout is not None
            pids = json.loads(parent.stdout.readline())
            parent.send_signal(number)
            parent.wait(20)
        finally:
            parent.kill()
    wait_until(lambda: not alive(pids), "the end of both families")
