"""Another generator sees what ours sees, on a server whose every answer takes as long: no machine's speed decides."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_fastr import Server, load
from pytest_fastr.load.run import LoadPlan, run_plan
from pytest_fastr.load.shape import Closed
from pytest_fastr.load.url import parse_target

WRK = shutil.which("wrk")
DELAY_S = 0.02
USERS = 4
SECONDS = 2


class Slow:
    """Counts requests and answers each after 20 ms."""

    def __init__(self) -> None:
        self.requests = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.requests += 1
        await asyncio.sleep(DELAY_S)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def url(slow: Slow) -> Iterator[str]:
    with Server(slow, lifespan=False) as server:
        yield server.url


@pytest.mark.skipif(WRK is None, reason="wrk is not installed (apt-get install wrk)")
def test_throughput_and_times_agree_with_wrk_s(url: str, slow: Slow) -> None:
    command = [str(WRK), "-t1", f"-c{USERS}", f"-d{SECONDS}s", "--latency", url + "/"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    rps = re.search(r"Requests/sec:\s*([\d.]+)", told)
    median = re.search(r"50%\s+([\d.]+)ms", told)
    assert rps is not None, told
    assert median is not None, told
    slow.requests = 0
    report = run_plan(
        LoadPlan(load.scenario(load.get("/")), Closed(USERS), duration_s=float(SECONDS)), parse_target(url)
    )
    assert report.requests == slow.requests
    ours = report.response.quantiles_us["p50"]
    assert ours is not None
    # A stall of this machine hits one of the two runs: both stay below what the delay allows, and near it.
    most = USERS / DELAY_S
    assert 0.6 * most < report.rps <= most
    assert 0.6 * most < float(rps[1]) <= most * 1.02
    assert float(median[1]) * 1000 == pytest.approx(ours, rel=0.25)
