"""A pytest plugin for `collect`: writes which tests were collected, before any is deselected, to a file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

ANSWER = "PYTEST_FASTR_COLLECTED"
"""The environment's variable with the file to write."""

_TESTS: list[str] = []
_SKIPPED: list[str] = []


def pytest_itemcollected(item: Any) -> None:
    """Notes a test."""
    _TESTS.append(item.nodeid)


def pytest_collectreport(report: Any) -> None:
    """Notes what was skipped as a whole: its tests exist, or not."""
    if report.skipped:
        _SKIPPED.append(report.nodeid)


def pytest_sessionfinish() -> None:
    """Writes the answer."""
    Path(os.environ[ANSWER]).write_text(json.dumps({"tests": _TESTS, "skipped": _SKIPPED}))
