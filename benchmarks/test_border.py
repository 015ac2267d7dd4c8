"""What Python pays at the native border and around a measurement: `make bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_fastr import Server, _native
from pytest_fastr.gate.baseline import BaselineStore
from pytest_fastr.gate.profile import detect
from pytest_fastr.gate.stored_test import StoredMetric, StoredSession
from pytest_fastr.load import build_request
from pytest_fastr.mount.runtime import Address


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The least an application can do."""
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def test_a_request_becomes_bytes(benchmark: Any) -> None:
    address = Address("127.0.0.1", 8000)
    benchmark(lambda: build_request("POST", "/orders", json={"item": 7}, headers={"x-a": "b"}).native(address))


def test_a_server_starts_and_drains_in_a_thread(benchmark: Any) -> None:
    def cycle() -> None:
        with Server(app):
            pass

    benchmark(cycle)


def test_one_request_on_a_fresh_connection(benchmark: Any) -> None:
    request = build_request("GET", "/")
    with Server(app, lifespan=False) as server:
        target = _native.Target(server.host, server.port, [])
        wire = request.native(Address(server.host, server.port))
        answer = benchmark(lambda: _native.once(target, wire, 5.0, 100))
    assert answer.outcome == "ok"


def test_a_session_is_stored(benchmark: Any, tmp_path: Path) -> None:
    store = BaselineStore(tmp_path, detect("0"))
    metric = StoredMetric(log_ratio=0.1, totals_log_ratio=0.1, se=0.01, candidate=1.0, unit="us")
    session = StoredSession("2026-01-01T00:00:00+00:00", None, "0", {"cpu": metric})
    benchmark(lambda: store.append("tests/test_a.py::test_b", {"users": 1}, session))
