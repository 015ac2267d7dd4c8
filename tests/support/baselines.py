"""Stored baselines for tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pytest_fastr.gate.baseline import BaselineStore
from pytest_fastr.gate.profile import HardwareProfile, ProfileKey, Surroundings
from pytest_fastr.gate.snapshot import ProfileSnapshot, read_snapshots
from pytest_fastr.gate.snapshot_files import own_files
from pytest_fastr.gate.stored_test import Era, StoredMetric, StoredSession, StoredTest

KEY = ProfileKey("Intel", "Xeon", "family 6", 2, "x86_64", "linux", "cpython", "3.11", ())
PROFILE = HardwareProfile(KEY, Surroundings("6.1", None, None, "3.11.7", "0.1.0", None))
OTHER = replace(PROFILE, key=replace(KEY, cores=4))
NODE = "tests/perf/test_shop.py::test_items"
LOAD = {"users": 20, "mount": "asgi", "request": "GET /items"}
ERA = Era("2025-01-10T00:00:00+00:00", "abc", "sorted results")


def session(day: int = 1, log_ratio: float = 0.1, commit: str | None = None) -> StoredSession:
    """A session of January 2025."""
    metrics = {
        "cpu": StoredMetric(log_ratio, log_ratio, 0.004, 200.0 + day, "us/request"),
        "throughput": StoredMetric(-log_ratio, -log_ratio, 0.004, 5000.0, "rps"),
    }
    return StoredSession(f"2025-01-{day:02}T00:00:00+00:00", commit, "0.1.0", metrics)


def stored(*days: int, eras: tuple[Era, ...] = (), users: int = 20) -> StoredTest:
    """A test with sessions of these days."""
    return StoredTest({**LOAD, "users": users}, tuple(map(session, days)), eras)


def store(root: Path, days: list[int], node: str = NODE, profile: HardwareProfile = PROFILE, users: int = 20) -> Path:
    """Stores sessions of these days below ``root``, and returns it."""
    for day in days:
        BaselineStore(root, profile).append(node, {**LOAD, "users": users}, session(day))
    return root


def snapshots(root: Path) -> tuple[ProfileSnapshot, ...]:
    """The baselines of a folder."""
    return read_snapshots(own_files(root))


def days_of(root: Path, node: str = NODE, profile: HardwareProfile = PROFILE) -> list[int]:
    """The days of the sessions that a test has there."""
    test = BaselineStore(root, profile).load(node)
    return [] if test is None else [int(one.recorded[8:10]) for one in test.sessions]
