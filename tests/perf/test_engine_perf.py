"""The engine's own performance tests: `pytest --perf tests/perf`. Their baselines are in baselines/.

The engine runs as a command, so that against another ref each side is served by the engine of its own checkout.
"""

from __future__ import annotations

import pytest

from pytest_fastr import Perf


def served(app: str) -> dict[str, str]:
    """An application of benchmarks/, served by the checkout's engine."""
    return {"command": f"{{python}} -m pytest_fastr.cli serve {app} --host {{host}} --port {{port}}"}


@pytest.mark.perf(app=served("benchmarks.bench_apps:raw"))
def test_raw_asgi(perf: Perf) -> None:
    perf.get("/")


@pytest.mark.perf(app=served("benchmarks.bench_apps:app"))
def test_fastapi_async_handler(perf: Perf) -> None:
    perf.get("/async")


@pytest.mark.perf(app=served("benchmarks.bench_apps:app"))
def test_fastapi_sync_handler(perf: Perf) -> None:
    perf.get("/sync")
