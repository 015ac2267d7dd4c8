"""The engine's own performance tests: `pytest --perf tests/perf`. Their baselines are in baselines/."""

from __future__ import annotations

import pytest

from pytest_fastr import Perf


@pytest.mark.perf(app="bench_apps:raw")
def test_raw_asgi(perf: Perf) -> None:
    perf.get("/")


def test_fastapi_async_handler(perf: Perf) -> None:
    perf.get("/async")


def test_fastapi_sync_handler(perf: Perf) -> None:
    perf.get("/sync")
