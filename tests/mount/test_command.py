"""Somebody else's server: started by a command, known to answer, ended with all that it has started."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_fastr.apps import CommandApp, UrlApp, parse_app
from pytest_fastr.errors import ConfigError, StartupError
from pytest_fastr.mount import AppRef, Launch, ServerProcess, spawn, spawn_together
from pytest_fastr.mount import command as module

APPS = Path(__file__).parents[1] / "apps"
FOREIGN = f"{{python}} {APPS / 'foreign.py'} {{host}} {{port}}"
Ask = Callable[..., Any]
Wait = Callable[..., None]


def command(way: str = "", **keys: object) -> CommandApp:
    app = parse_app({"command": f"{FOREIGN} {way}", **keys}, "app")
    assert isinstance(app, CommandApp)
    return app


@contextlib.contextmanager
def started(way: str = "", how: Launch | None = None, **keys: object) -> Iterator[ServerProcess]:
    server = spawn(command(way, **keys), how or Launch())
    try:
        yield server
    finally:
        server.stop()


def answer(server: ServerProcess, ask: Ask, path: str = "/here") -> list[str]:
    assert server.ready is not None
    body = ask(server.ready.port, f"GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n".encode()).body
    return str(body.decode()).split("\n")


def lives(pid: int) -> bool:
    """Whether a process runs. One that waits for its parent to notice its end does not."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")


def family_of(server: ServerProcess) -> list[int]:
    words = next(line for line in server.log_tail().splitlines() if line.startswith("family")).split()
    pids = [int(word) for word in words[1:]]
    assert all(map(lives, pids))
    return pids


def test_a_command_is_up_in_its_folder_with_its_environment_and_its_words(ask: Ask, tmp_path: Path) -> None:
    how = Launch(env={"ADDED": "yes", "PYTHONHASHSEED": "3"}, cwd=str(tmp_path), root="/the/root")
    with started('"{root} and {braces}" "{python}"', how) as server:
        assert answer(server, ask)[:3] == [str(tmp_path), "3", "yes"]
        assert answer(server, ask)[4:] == ["/the/root and {braces}", sys.executable]
        assert server.ready is not None
        assert server.url == f"http://127.0.0.1:{server.ready.port}"
        assert "about to serve" in server.log_tail()
    assert server.exit_code() == 0


def test_what_is_measured_is_the_command_and_not_its_warden() -> None:
    with started("family") as server:
        pids = family_of(server)
        assert server.pids == (pids[0],)
        assert server.pid != pids[0]


def test_a_path_that_must_answer_is_waited_for(ask: Ask) -> None:
    with started(ready="/late") as server:
        asked = int(answer(server, ask)[3])
        assert asked == 4, "three times 503, then ready"


def test_without_a_path_any_answer_will_do(ask: Ask) -> None:
    with started() as server:
        assert server.ready is not None
        assert ask(server.ready.port, b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").status == 404


FAILING = [
    ("exits", {}, r"ended before it answered \(exit code 7\): .*foreign.py(.|\n)*server log(.|\n)*no database"),
    ("crashes", {}, r"ended before it answered \(killed by SIGKILL\)"),
    ("daemon", {}, r"\(exit code 0\).*; it must stay in the foreground"),
    ("sleeps", {}, r"within 0\.8 s \(GET / on port \d+: .*refused.*raise `startup_timeout`(.|\n)*about to serve"),
    ("", {"ready": "/never"}, r"within 0\.8 s \(GET /never on port \d+ was answered with 503\)"),
]


@pytest.mark.parametrize(("way", "keys", "message"), FAILING, ids=["exits", "crashes", "daemon", "sleeps", "503"])
def test_a_command_that_does_not_get_ready_says_why(way: str, keys: dict[str, object], message: str) -> None:
    # A process that ends is given the time that it needs; one that never answers is not.
    patience = 0.8 if way in ("sleeps", "") else 30.0
    with pytest.raises(StartupError, match=message):
        spawn(command(way, **keys), Launch(startup_timeout=patience))
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_program_that_does_not_exist_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    before = sorted(os.listdir("/dev/fd"))
    for program, words in (
        ("no-such-program", "no such program along PATH"),
        ("./no-such", "cannot start './no-such'"),
    ):
        app = parse_app({"command": f"{program} {{port}}"}, "app")
        assert isinstance(app, CommandApp)
        with pytest.raises(StartupError, match=words):
            spawn(app, Launch(cwd=str(tmp_path)))
    assert sorted(os.listdir("/dev/fd")) == before


def test_a_port_that_somebody_has_taken_meanwhile_is_replaced_once(monkeypatch: pytest.MonkeyPatch, ask: Ask) -> None:
    free = module.free_port("127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        taken = [stranger.getsockname()[1] for stranger in (one, other)]
        ports = iter([taken[0], free, *taken])
        monkeypatch.setattr(module, "free_port", lambda host: next(ports))
        with started("anew") as server:
            assert server.ready is not None
            assert server.ready.port == free
            assert answer(server, ask)[4:] == ["anew"]
            assert f"somebody else has taken port {taken[0]}" in server.log_tail()
        with pytest.raises(StartupError, match=r"ended before it answered(.|\n)*Address already in use"):
            spawn(command(), Launch())


def test_ports_of_servers_that_start_together_differ() -> None:
    servers = spawn_together(*[(command(), Launch())] * 2, (AppRef.parse("trouble:classic"), Launch(path=(str(APPS),))))
    try:
        assert len({server.url for server in servers}) == 3
    finally:
        for server in servers:
            server.stop()


def test_a_stop_ends_what_the_command_has_started() -> None:
    with started("family") as server:
        pids = family_of(server)
        server.stop()
        assert [pid for pid in pids if lives(pid)] == []


def test_a_command_that_ignores_sigterm_is_killed(wait_until: Wait) -> None:
    with started("stubborn", stop_timeout="200ms") as server:
        (pid,) = server.pids
        server.stop()
        assert not lives(pid)
        assert server.exit_code() == 0, "the warden itself has done it"


def test_a_command_that_dies_leaves_its_exit(wait_until: Wait) -> None:
    with started() as server:
        os.kill(server.pids[0], signal.SIGKILL)
        wait_until(lambda: server.exit_code() is not None, "the death")
        assert server.exit_code() == -signal.SIGKILL
        assert "about to serve" in server.log_tail()


PARENT = """
import sys, time
sys.path[:0] = [{mount!r}]
from test_command import command, family_of
from pytest_fastr.mount import Launch, spawn
server = spawn(command("family"), Launch())
print(server.pid, *family_of(server), flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the whole family")
def test_nothing_outlives_tests_that_were_killed(wait_until: Wait) -> None:
    script = PARENT.format(mount=str(Path(__file__).parent))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as parent:
        try:
            assert parent.stdout is not None
            pids = [int(word) for word in parent.stdout.readline().split()]
            assert len(pids) == 4
            assert all(map(lives, pids))
        finally:
            parent.kill()
    wait_until(lambda: not any(map(lives, pids)), "the end of the family")


CONFIG_ERRORS = [
    ({"command": "run {port}", "url": "http://h"}, "has both `command` and `url`"),
    ({}, "without `command` or `url`"),
    ({"ready": "/"}, "without `command` or `url`"),
    (3, 'it must be "module:attr"'),
    ({"command": "run"}, r"without \{port\}"),
    ({"command": "run '{port}"}, "cannot be split into words .No closing quotation.: mend its quotes"),
    ({"command": " "}, "`command` is ' '; it must be a text"),
    ({"command": "A=1 run {port}"}, "no shell that sets variables; write them into `env`"),
    ({"command": "run {port}", "reddy": "/"}, "unknown key `reddy`; did you mean `ready`"),
    ({"command": "run {port}", "ready": "health"}, 'such as "/health"'),
    ({"command": "run {port}", "cwd": "../other"}, "a folder below that of the configuration"),
    ({"command": "run {port}", "stop_timeout": "soon"}, "`stop_timeout` is 'soon'; it must be a duration"),
    ({"url": "https://localhost"}, "https is not measured here; give the http address"),
    ({"url": "localhost:8000"}, "an http URL, such as"),
    ({"url": "http://h:port"}, "which is no URL"),
    ({"url": "http://h/api"}, "paths stand in the tests"),
    ({"url": "http://h", "pid": 0}, "`pid` is 0; it must be a whole number"),
    ({"url": "http://h", "pid": True}, "`pid` is True"),
    ({"url": "http://h", "against": "http://h/"}, "`against` is the same URL"),
    ({"url": "http://h", "against_pid": 7}, "`against_pid` belongs to `against`"),
    ({"url": "http://h", "pid": 7, "against": "http://i", "against_pid": 7}, "`pid` and `against_pid` are the same"),
]


@pytest.mark.parametrize(("value", "words"), CONFIG_ERRORS)
def test_a_mistake_is_told_with_what_to_change(value: object, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        parse_app(value, "app")
    assert str(caught.value).startswith("app")


def test_what_is_written_is_what_is_meant() -> None:
    table = {"command": "run '{port} x'", "ready": "/up", "cwd": "back", "stop_timeout": "2s"}
    assert parse_app(table, "app") == CommandApp(("run", "{port} x"), "/up", "back", 2.0)
    assert parse_app("shop:app", "app") == "shop:app"
    url = parse_app({"url": "http://h:1/", "pid": 7, "against": "http://h:2", "against_pid": 8}, "app")
    assert url == UrlApp("http://h:1", 7, "http://h:2", 8)
    assert url.other == UrlApp("http://h:2", 8)
