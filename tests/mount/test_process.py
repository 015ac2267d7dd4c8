"""Servers in processes of their own: spawned from a name, forked from an object."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from apps import trouble
from fastapi import FastAPI

from pytest_fastr.errors import AppImportError, ConfigError, ForkError, MountError, PortInUseError, StartupError
from pytest_fastr.mount import AppRef, Launch, ServeOptions, ServerProcess, fork, spawn, spawn_together
from pytest_fastr.mount.process import describe_exit, stop_all

GET = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n"
APPS = Path(__file__).parents[1] / "apps"

Spawned = Callable[..., contextlib.AbstractContextManager[ServerProcess]]


def launch(startup_timeout: float = 30.0, **options: Any) -> Launch:
    """How the apps of the apps folder are launched."""
    return Launch(options=ServeOptions(**options), path=(str(APPS),), startup_timeout=startup_timeout)


def start(name: str, how: Launch) -> ServerProcess:
    return spawn(AppRef.parse(name), how)


@pytest.fixture
def forked() -> Iterator[Callable[..., ServerProcess]]:
    """Forks servers, which end with the test."""
    running: list[ServerProcess] = []

    def serve(app: Any, **options: Any) -> ServerProcess:
        running.append(fork(app, launch(**options)))
        return running[-1]

    yield serve
    for server in running:
        server.stop()


def port_of(server: ServerProcess) -> int:
    assert server.ready is not None
    return server.ready.port


@pytest.mark.parametrize(("name", "answer"), [("trouble:make()", b"made"), ("trouble:classic", b"object")])
def test_a_spawned_server_answers_at_once_on_a_free_port(
    spawned: Spawned, ask: Callable[..., Any], name: str, answer: bytes
) -> None:
    with spawned(name) as server:
        assert ask(port_of(server), GET).body == answer
        assert server.ready is not None
        assert server.ready.pid == server.pid
        assert server.ready.tracing is None
        assert server.ready.app_file == str(APPS / "trouble.py")
        assert server.url == f"http://127.0.0.1:{port_of(server)}"
        assert server.exit_code() is None
    assert server.exit_code() == 0


def test_stopping_twice_and_stopping_all_is_safe(spawned: Spawned) -> None:
    with spawned("trouble:classic") as one, spawned("trouble:classic") as two:
        one.stop()
        stop_all()
        one.stop()
        assert (one.exit_code(), two.exit_code()) == (0, 0)
        assert (one.log_tail(), one.log_bytes()) == ("", 0)


def test_servers_that_start_together_are_all_up(ask: Callable[..., Any]) -> None:
    one, other = spawn_together(*[(AppRef.parse("trouble:classic"), launch())] * 2)
    try:
        assert one.pid != other.pid
        assert [ask(port_of(server), GET).body for server in (one, other)] == [b"object", b"object"]
    finally:
        one.stop()
        other.stop()


@pytest.mark.parametrize("names", [("trouble:classic", "trouble:nothing"), ("trouble:nothing", "trouble:classic")])
def test_when_one_of_them_fails_none_is_left(names: tuple[str, str]) -> None:
    before = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()
    with pytest.raises(AppImportError, match="nothing"):
        spawn_together(*[(AppRef.parse(name), launch()) for name in names])
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
    if before:
        assert set(os.listdir("/proc/self/fd")) == before


def test_the_environment_is_added_to_and_the_options_arrive(
    ask: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INHERITED", "yes")
    (tmp_path / "asks_env.py").write_text(
        "import os\n"
        "async def app(scope, receive, send):\n"
        "    body = f\"{os.environ['INHERITED']} {os.environ['ADDED']} {scope['root_path']}\".encode()\n"
        "    await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
        "    await send({'type': 'http.response.body', 'body': body})\n"
    )
    options = ServeOptions(root_path="/r", lifespan="off", limits={"max_connections": 7, "header_timeout": 5.0})
    how = Launch(options=options, env={"ADDED": "too"}, path=(str(tmp_path),))
    server = start("asks_env:app", how)
    try:
        assert ask(port_of(server), GET).body == b"yes too /r"
    finally:
        server.stop()


def test_what_the_server_writes_is_captured(spawned: Spawned, ask: Callable[..., Any]) -> None:
    with spawned("trouble:talks") as server:
        assert ask(port_of(server), GET).status == 500
        tail = server.log_tail()
    for words in ("a word on stdout", "a word on stderr", "ZeroDivisionError: a bug", "ASGI application (GET /)"):
        assert words in tail


def test_a_server_that_dies_leaves_its_exit_and_its_log(
    spawned: Spawned, ask: Callable[..., Any], wait_until: Callable[..., None]
) -> None:
    with spawned("trouble:talks") as server:
        with pytest.raises((ConnectionError, OSError)):
            ask(port_of(server), b"GET /die HTTP/1.1\r\nhost: h\r\n\r\n")
        wait_until(lambda: server.exit_code() is not None, "the death")
        assert describe_exit(server.exit_code()) == "killed by SIGKILL"
        assert "a word on stdout" in server.log_tail()


FAILING = [
    ("trouble:fails", StartupError, "the application's start-up failed:\nno database"),
    ("trouble:exits", StartupError, r"died during start-up \(exit code 7\)\n--- server log ---\nabout to exit"),
    ("trouble:crashes", StartupError, r"died during start-up \(killed by SIGSEGV\)"),
    ("trouble:leaves_a_child", StartupError, r"died during start-up \(exit code 7\)"),
    ("trouble:hang", AppImportError, "did you mean 'hangs'"),
    ("unimportable:app", AppImportError, r"LookupError: no settings(.|\n)*Traceback(.|\n)*raise LookupError"),
    ("trouble:make_nothing()", AppImportError, "the factory raised LookupError: no settings"),
]


@pytest.mark.parametrize(("name", "kind", "message"), FAILING, ids=[case[0] for case in FAILING])
def test_a_failed_start_is_raised_as_what_it_is(name: str, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        start(name, launch())


def test_a_start_up_that_hangs_is_given_up_after_its_timeout() -> None:
    with pytest.raises(StartupError, match=r"within 1\.5 s; raise `startup_timeout`(.|\n)*about to hang"):
        start("trouble:hangs", launch(startup_timeout=1.5))


def test_a_taken_port_is_raised_as_such(spawned: Spawned) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUseError, match=f"port {port} on 127.0.0.1 is taken by another process"):
            start("trouble:classic", launch(port=port))


def test_a_limit_that_does_not_exist_is_named() -> None:
    with pytest.raises(ConfigError, match='unknown limit "max_conections"'):
        start("trouble:classic", launch(limits={"max_conections": 1}))


def test_an_interpreter_that_does_not_exist_is_named() -> None:
    with pytest.raises(StartupError, match="cannot start /no/such/python"):
        spawn(AppRef.parse("trouble:classic"), Launch(python="/no/such/python"))


def test_a_forked_server_has_the_closures_of_the_test(
    forked: Callable[..., ServerProcess], ask: Callable[..., Any]
) -> None:
    app, price = FastAPI(), [1]

    @app.get("/")
    def read() -> dict[str, Any]:
        price.append(0)
        return {"price": price[0], "pid": os.getpid()}

    price[0] = 5
    server = forked(app)
    assert ask(port_of(server), GET).body == b'{"price":5,"pid":%d}' % server.pid
    assert price == [5], "the child's memory is its own"
    assert server.ready is not None
    assert server.ready.app_file == __file__
    server.stop()
    assert server.exit_code() == 0


def test_forked_servers_live_beside_each_other_and_beside_spawned_ones(
    forked: Callable[..., ServerProcess], spawned: Spawned, ask: Callable[..., Any]
) -> None:
    def app(text: bytes) -> Any:
        async def answer(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": text})

        return answer

    with spawned("trouble:make()") as first:
        servers = [first, forked(app(b"a")), forked(app(b"b"))]
        assert [ask(port_of(server), GET).body for server in servers] == [b"made", b"a", b"b"]
        servers[1].stop()
        assert [ask(port_of(server), GET).body for server in (servers[0], servers[2])] == [b"made", b"b"]


def test_a_forked_server_that_fails_to_start_is_raised_as_what_it_is() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(StartupError, match="start-up failed:\nno database"):
        fork(app, launch())
    with pytest.raises(StartupError, match="does not support the lifespan protocol"):
        fork(trouble.make(), launch(lifespan="on"))


def test_the_output_of_a_forked_server_is_captured_and_not_the_tests(
    forked: Callable[..., ServerProcess], ask: Callable[..., Any], capfd: pytest.CaptureFixture[str]
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        print("printed by the child", flush=True)
        os.write(2, b"written by the child\n")
        logging.getLogger("app").warning("logged by the child")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    server = forked(app, lifespan="off")
    assert ask(port_of(server), GET).status == 200
    assert all(f"{word} by the child" in server.log_tail() for word in ("printed", "written", "logged"))
    assert "by the child" not in "".join(capfd.readouterr())


def test_a_fork_with_threads_is_refused_and_shows_the_way_out() -> None:
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="the-metrics-reporter")
    thread.start()
    try:
        with pytest.raises(ForkError, match=r"the-metrics-reporter\. .* name the application as 'module:attr'"):
            fork(FastAPI(), launch())
    finally:
        end.set()
        thread.join()


def test_a_fork_right_after_a_thread_has_ended_is_not_refused(forked: Callable[..., ServerProcess]) -> None:
    for _ in range(5):
        threads = [threading.Thread(target=int) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        forked(FastAPI()).stop()


def test_a_fork_from_a_running_event_loop_works(forked: Callable[..., ServerProcess], ask: Callable[..., Any]) -> None:
    async def main() -> int:
        return int(ask(port_of(forked(FastAPI())), GET).status)

    assert asyncio.run(main()) == 404


@pytest.mark.parametrize("how", ["spawn", "fork"])
def test_a_request_in_flight_is_finished(
    how: str, forked: Callable[..., ServerProcess], spawned: Spawned, tmp_path: Path, wait_until: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    go_on = tmp_path / "go on"
    with contextlib.ExitStack() as stack:
        server = forked(trouble.slow) if how == "fork" else stack.enter_context(spawned("trouble:slow"))
        client = stack.enter_context(socket.create_connection(("127.0.0.1", port_of(server)), 10))
        client.sendall(b"GET /?%s HTTP/1.1\r\nhost: h\r\n\r\n" % str(go_on).replace(" ", "%20").encode())
        wait_until(lambda: "a request has come" in server.log_tail(), "the request")
        os.kill(server.pid, signal.SIGTERM)
        wait_until(lambda: refuses(port_of(server)), "the drain")
        assert server.exit_code() is None
        (tmp_path / "go%20on").touch()
        assert client.recv(4096).endswith(b"finished")
        wait_until(lambda: server.exit_code() is not None, "the end")
        assert server.exit_code() == 0


def refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 10).close()
    except ConnectionError:
        return True
    return False


@pytest.mark.parametrize("how", ["spawn", "fork"])
def test_no_descriptor_and_no_file_is_left(how: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def cycle() -> None:
        server = fork(FastAPI(), launch()) if how == "fork" else start("trouble:classic", launch())
        server.stop()

    cycle()
    before = sorted(os.listdir("/dev/fd"))
    for _ in range(50):
        cycle()
    with contextlib.suppress(MountError):
        spawn(AppRef.parse("trouble:classic"), Launch(python="/no/such/python"))
    with contextlib.suppress(MountError):
        start("trouble:number", launch())
    assert sorted(os.listdir("/dev/fd")) == before
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_server_reaped_by_somebody_else_counts_as_ended(spawned: Spawned) -> None:
    with spawned("trouble:classic") as server:
        os.kill(server.pid, signal.SIGKILL)
        os.waitpid(server.pid, 0)
        start = time.monotonic()
        server.stop()
        assert time.monotonic() - start < 4
