"""`Server`: the engine in a thread of the test's own process."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import threading
import weakref
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import Depends, FastAPI

from pytest_fastr import Server
from pytest_fastr.errors import AppImportError, MountError, PortInUseError, StartupError
from pytest_fastr.mount import ServeOptions
from pytest_fastr.mount.runtime import Address, Runtime

GET = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n"
APPS = Path(__file__).parents[1] / "apps"


def says(text: str) -> Callable[[Any, Any, Any], Any]:
    """An application that answers this text."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": text.encode()})

    return app


def test_many_servers_run_side_by_side(ask: Callable[..., Any]) -> None:
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(Server(says(str(number)), lifespan=False)) for number in range(12)]
        assert len({server.port for server in servers}) == 12
        assert [ask(server.port, GET).body for server in servers] == [b"%d" % number for number in range(12)]


def test_closures_and_overrides_of_the_test_hold(ask: Callable[..., Any]) -> None:
    app, calls = FastAPI(), []

    def price() -> int:
        return 1

    @app.get("/")
    def read(price: int = Depends(price)) -> int:
        calls.append(price)
        return price

    with Server(app) as server:
        assert ask(server.port, GET).body == b"1"
        app.dependency_overrides[price] = lambda: 2
        assert ask(server.port, GET).body == b"2"
    assert calls == [1, 2]


@pytest.mark.parametrize("lifespan", [True, False])
def test_the_lifespan_runs_around_the_block_or_not_at_all(lifespan: bool, ask: Callable[..., Any]) -> None:
    events: list[str] = []

    @contextlib.asynccontextmanager
    async def record(app: FastAPI) -> AsyncIterator[dict[str, str]]:
        events.append("up")
        yield {"key": "value"}
        events.append("down")

    with Server(FastAPI(lifespan=record), lifespan=lifespan) as server:
        ask(server.port, GET)
        assert events == (["up"] if lifespan else [])
    assert events == (["up", "down"] if lifespan else [])


def test_a_failed_start_up_is_raised_in_the_caller_with_its_cause(caplog: pytest.LogCaptureFixture) -> None:
    @contextlib.asynccontextmanager
    async def fail(app: FastAPI) -> AsyncIterator[None]:
        if app.title:
            raise ConnectionError("no database")
        yield

    with (
        pytest.raises(StartupError, match=r"start-up failed:\n(.|\n)*no database") as raised,
        Server(FastAPI(lifespan=fail)),
    ):
        pass
    assert isinstance(raised.value.__cause__, ConnectionError)
    gc.collect()
    assert "never retrieved" not in caplog.text


def test_a_failed_shutdown_is_raised_in_the_caller(caplog: pytest.LogCaptureFixture) -> None:
    @contextlib.asynccontextmanager
    async def fail(app: FastAPI) -> AsyncIterator[None]:
        yield
        raise ConnectionError("cannot flush")

    with pytest.raises(StartupError, match=r"shutdown failed:\n(.|\n)*cannot flush"), Server(FastAPI(lifespan=fail)):
        pass
    gc.collect()
    assert "never retrieved" not in caplog.text


def test_an_error_of_the_test_is_not_hidden_by_a_failed_shutdown() -> None:
    @contextlib.asynccontextmanager
    async def fail(app: FastAPI) -> AsyncIterator[None]:
        yield
        raise ConnectionError

    with pytest.raises(KeyError), Server(FastAPI(lifespan=fail)):
        raise KeyError


def test_a_start_up_that_hangs_is_given_up() -> None:
    cancelled = threading.Event()

    @contextlib.asynccontextmanager
    async def hang(app: FastAPI) -> AsyncIterator[None]:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        yield

    before = threading.active_count()
    with (
        pytest.raises(MountError, match=r"did not start within 0\.2 s"),
        Server(FastAPI(lifespan=hang), startup_timeout=0.2),
    ):
        pass
    assert cancelled.is_set()
    assert threading.active_count() == before


@pytest.mark.parametrize("kind", ["raises", "returns"])
def test_an_application_that_knows_no_lifespan_is_served(kind: str, ask: Callable[..., Any]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            if kind == "raises":
                raise NotImplementedError
            return
        assert "state" not in scope
        await says("ok")(scope, receive, send)

    with Server(app) as server:
        assert ask(server.port, GET).body == b"ok"


def test_a_taken_port_is_named() -> None:
    with Server(says("first"), lifespan=False) as first:
        with pytest.raises(PortInUseError, match=f"port {first.port} on 127.0.0.1 is taken"):
            Server(says("second"), lifespan=False, port=first.port).__enter__()
        port = first.port
    with Server(says("second"), lifespan=False, port=port) as again:
        assert again.port == port


def test_an_unknown_host_is_an_error() -> None:
    with pytest.raises(StartupError, match="cannot resolve host"), Server(says("x"), host="no.such.host.invalid"):
        pass


def test_leaving_the_block_finishes_the_request_in_flight() -> None:
    arrived, leaving = threading.Event(), threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        arrived.set()
        while not leaving.is_set():
            await asyncio.sleep(0.001)
        await says("finished")(scope, receive, send)

    with contextlib.ExitStack() as stack:
        server = stack.enter_context(Server(app, lifespan=False))
        client = socket.create_connection(("127.0.0.1", server.port), 10)
        client.sendall(GET)
        assert arrived.wait(10)
        # The drain has begun when nobody can connect any more.
        refused = threading.Thread(target=release_when_refused, args=(server.port, leaving))
        refused.start()
    refused.join()
    with client:
        assert client.recv(4096).endswith(b"finished")


def release_when_refused(port: int, release: threading.Event) -> None:
    try:
        while True:
            socket.create_connection(("127.0.0.1", port), 10).close()
    except ConnectionError:
        release.set()


def test_idle_connections_do_not_hold_up_the_end() -> None:
    with Server(says("x"), lifespan=False) as server:
        client = socket.create_connection(("127.0.0.1", server.port), 10)
        client.sendall(GET)
        assert client.recv(4096)
    with client:
        assert client.recv(4096) == b""


def test_a_request_may_use_another_server(ask: Callable[..., Any]) -> None:
    with Server(says("inner"), lifespan=False) as inner:

        async def app(scope: Any, receive: Any, send: Any) -> None:
            with Server(says("innermost"), lifespan=False) as innermost:
                read = asyncio.get_running_loop().run_in_executor
                bodies = [(await read(None, ask, one.port, GET)).body.decode() for one in (inner, innermost)]
            await says(" ".join(bodies))(scope, receive, send)

        with Server(app, lifespan=False) as outer:
            assert ask(outer.port, GET).body == b"inner innermost"


def test_a_server_can_be_entered_again_after_its_end_but_not_before(ask: Callable[..., Any]) -> None:
    server = Server(says("x"), lifespan=False)
    with pytest.raises(MountError, match="not running"):
        _ = server.url
    for _ in range(3):
        with server:
            assert ask(server.port, GET).body == b"x"
            with pytest.raises(MountError, match="running already"):
                server.__enter__()
    with pytest.raises(MountError, match="not running"):
        _ = server.port


def test_a_name_is_loaded(ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(APPS)
    with Server("scope_echo:app", root_path="/api") as server:
        assert b"'path': '/api/'" in ask(server.port, GET).body
    with pytest.raises(AppImportError, match="did you mean 'app'"):
        Server("scope_echo:ap").__enter__()


def test_the_url_of_an_ipv6_server_has_brackets() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    with Server(says("x"), lifespan=False, host="::1") as server:
        assert server.url == f"http://[::1]:{server.port}"


def test_an_application_that_blocks_its_loop_is_named_and_not_waited_for(
    wait_until: Callable[..., None], ask: Callable[..., Any]
) -> None:
    blocked, go_on = threading.Event(), threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        blocked.set()
        go_on.wait(60)

    server = Server(app, lifespan=False)
    server._options = ServeOptions(lifespan="off", drain_timeout=-4.9)
    server.__enter__()
    thread = server._thread
    assert thread is not None
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(GET)
        assert blocked.wait(10)
        with pytest.raises(MountError, match="blocks its event loop"):
            server.__exit__(None, None, None)
        go_on.set()
    thread.join(10)
    assert not thread.is_alive()


def test_tasks_that_refuse_to_be_cancelled_do_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, ask: Callable[..., Any]
) -> None:
    monkeypatch.setattr("pytest_fastr.mount.asgi.CANCEL_SECONDS", 0.05)
    stubborn: list[asyncio.Task[None]] = []

    async def refuse() -> None:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        stubborn.append(asyncio.create_task(refuse()))
        await asyncio.sleep(0)
        await says("x")(scope, receive, send)

    with Server(app, lifespan=False) as server:
        assert ask(server.port, GET).body == b"x"
    assert "1 tasks did not end when they were cancelled" in caplog.text
    # It would complain that it was destroyed while pending.
    stubborn[0]._log_destroy_pending = False  # type: ignore[attr-defined]


def test_nothing_is_left_of_a_server_after_its_end(ask: Callable[..., Any]) -> None:
    def cycle() -> weakref.ref[Any]:
        app = FastAPI()
        app.get("/")(lambda: 1)
        with Server(app) as server:
            assert ask(server.port, GET).status == 200
        return weakref.ref(app)

    cycle()
    descriptors, threads = len(os.listdir("/dev/fd")), threading.active_count()
    apps = [cycle() for _ in range(50)]
    gc.collect()
    assert len(os.listdir("/dev/fd")) == descriptors
    assert threading.active_count() == threads
    assert [one for one in apps if one() is not None] == []


def test_a_second_stop_cuts_off_a_shutdown_that_hangs(caplog: pytest.LogCaptureFixture) -> None:
    shutting_down = threading.Event()

    @contextlib.asynccontextmanager
    async def hang(app: FastAPI) -> AsyncIterator[None]:
        yield
        shutting_down.set()
        await asyncio.sleep(600)

    runtime = Runtime(FastAPI(lifespan=hang), ServeOptions())
    ready: list[Address] = []

    def stop_twice(address: Address) -> None:
        ready.append(address)
        runtime.stop()

    thread = threading.Thread(target=runtime.run, args=(stop_twice,), kwargs={"signals": False})
    thread.start()
    assert shutting_down.wait(10)
    runtime.stop()
    thread.join(10)
    assert not thread.is_alive()
    assert "cut off on request" in caplog.text
