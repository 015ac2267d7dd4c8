"""Load reports for tests of what is made of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pytest_fastr import _native
from pytest_fastr.load.result import Generator, LoadReport, Server, Times

EMPTY = Times.of(_native.Histogram.merged([]))
GENERATOR = Generator(0.1, None, None, None, "portable", EMPTY)
_PLAIN = LoadReport(
    url="http://127.0.0.1/",
    scenario="GET /",
    shape="",
    is_open=False,
    is_ramp=False,
    transport="tcp",
    duration_s=2.0,
    requests=100,
    outcomes={"ok": 100},
    statuses={},
    details={},
    bytes_received=0,
    service=EMPTY,
    response=EMPTY,
    connect=EMPTY,
    by_request=(),
    flows=(),
    scheduled=None,
    most_queued=0,
    unsent=0,
    dropped=0,
    reconnects=0,
    resent=0,
    never_sent=(),
    expected="",
    balance=(1, 1),
    ended_early=None,
    precision=None,
    generator=GENERATOR,
    server=Server(),
    bins=(),
    seconds=(),
)


def load_report(**changes: Any) -> LoadReport:
    """An ordinary report, with changes."""
    return replace(_PLAIN, **changes)


def times(**quantiles_us: float) -> Times:
    """Times with these quantiles."""
    return replace(EMPTY, count=1000, quantiles_us={**EMPTY.quantiles_us, **quantiles_us})
