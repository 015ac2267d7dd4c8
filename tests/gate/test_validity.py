"""Rules about the machine: what else was at work while slices ran. The others are tested where they void a result."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import cast

import pytest

from pytest_fastr import Server, _native
from pytest_fastr.gate.validity import other_programs

PLAN = _native.ConnectionPlan(2, True, 1.0, 5.0)
REQUEST = _native.Request("GET /", b"GET / HTTP/1.1\r\nhost: test\r\n\r\n", 200)


async def app(scope, receive, send) -> None:  # type: ignore[no-untyped-def]
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def paired(busy_cores: float | None, *cpu_ns: int | None) -> _native.PairedResult:
    """A second in which the generator, side A, side B and the idle side B used so much."""
    generator, a, b, idle_b = cpu_ns
    return cast(
        _native.PairedResult,
        SimpleNamespace(
            generator=SimpleNamespace(busy_cores=busy_cores, cpu_ns=generator, wall_ns=1_000_000_000),
            sides=(SimpleNamespace(cpu_ns=a, idle_cpu_ns=None), SimpleNamespace(cpu_ns=b, idle_cpu_ns=idle_b)),
        ),
    )


def test_what_is_busy_and_not_ours_is_other_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert other_programs(paired(1.6, 100_000_000, 400_000_000, 400_000_000, 100_000_000)) == pytest.approx(0.3)
    # Clocks of different grain never make it negative.
    assert other_programs(paired(0.9, 200_000_000, 400_000_000, 400_000_000, 0)) == 0


@pytest.mark.parametrize("unknown", [paired(None, 1, 1, 1, 1), paired(1.0, None, 1, 1, 1), paired(1.0, 1, None, 1, 1)])
def test_a_machine_that_tells_nothing_is_not_judged(unknown: _native.PairedResult) -> None:
    assert other_programs(unknown) is None


@pytest.mark.skipif(sys.platform != "linux", reason="the use of all cores is read from /proc/stat")
def test_the_work_of_others_is_seen() -> None:
    code = "print(flush=True)\nwhile True: pass"
    cores = os.cpu_count() or 1
    others = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(cores)]
    try:
        for other in others:
            assert other.stdout is not None
            other.stdout.readline()  # it has started
        with Server(app, lifespan=False) as server:
            target = _native.Target(server.host, server.port, [])
            busy = _native.run_load(target, [REQUEST], PLAN, seconds=1).generator.busy_cores
    finally:
        for other in others:
            other.kill()
            other.communicate()
    assert busy is not None
    assert cores * 0.5 < busy <= cores
