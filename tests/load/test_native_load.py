"""The border of the load generator: interruption, progress, refusals. The generator's own tests are in its crate."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator

import pytest

from pytest_fastr import Server, _native

PLAN = _native.ConnectionPlan(2, True, 1.0, 5.0)
REQUEST = _native.Request("GET /", b"GET / HTTP/1.1\r\nhost: test\r\n\r\n", 200)


async def app(scope, receive, send) -> None:  # type: ignore[no-untyped-def]
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def target() -> Iterator[_native.Target]:
    with Server(app, lifespan=False) as server:
        yield _native.Target(server.host, server.port, [])


def test_a_count_is_exact_and_every_answer_is_accounted_for(target: _native.Target) -> None:
    side = _native.run_load(target, [REQUEST], PLAN, count=137).side
    assert side.requests == 137
    assert side.outcomes["ok"] == 137
    assert sum(side.outcomes.values()) == 137
    assert side.quantile_ns(0.5) is not None
    assert side.quantile_ns(0.99) is None  # one answer lies beyond it


def test_merging_adds_up(target: _native.Target) -> None:
    sides = [_native.run_load(target, [REQUEST], PLAN, count=count).side for count in (100, 50)]
    merged = _native.Side.merged(sides)
    assert merged.requests == 150
    assert merged.outcomes["ok"] == 150
    assert merged.duration_ns == sum(side.duration_ns for side in sides)


def test_what_the_control_raises_ends_the_load_and_is_raised(target: _native.Target) -> None:
    seen: list[_native.Progress] = []

    def control(progress: _native.Progress) -> None:
        seen.append(progress)
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        _native.run_load(target, [REQUEST], PLAN, seconds=60, control=control)
    assert len(seen) == 1
    assert seen[0].phase == "stretch"
    assert seen[0].planned_ns == 60_000_000_000
    assert 0 < seen[0].elapsed_ns < 60_000_000_000


def test_ctrl_c_ends_a_load_that_waits_for_a_silent_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = _native.Target("127.0.0.1", silent.getsockname()[1], [])
        main = threading.main_thread().ident
        assert main is not None
        timer = threading.Timer(0.1, signal.pthread_kill, (main, signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            _native.run_load(target, [REQUEST], PLAN, seconds=60)
        timer.join()


def test_a_refused_connection_is_counted_by_its_name() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    answer = _native.once(_native.Target("127.0.0.1", port, []), REQUEST, 1.0, 0)
    assert answer.outcome == "connect_refused"
    assert answer.status is None


@pytest.mark.parametrize(
    "call",
    [
        lambda target: _native.run_load(target, [REQUEST], PLAN),
        lambda target: _native.run_load(target, [REQUEST], PLAN, seconds=1, count=1),
        lambda target: _native.run_load(target, [], PLAN, count=1),
        lambda target: _native.run_load(target, [REQUEST], PLAN, seconds=float("nan")),
        lambda target: _native.run_load(target, [REQUEST], PLAN, seconds=-1.0),
        lambda target: _native.run_load(target, [REQUEST], _native.ConnectionPlan(0, True, 1, 1), count=1),
        lambda target: _native.Target("localhost", 80, []),
        lambda target: _native.run_load(target, [REQUEST], PLAN, count=20).side.quantile_ns(1.0),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_a_value_error(target: _native.Target, call) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=r".+"):
        call(target)
