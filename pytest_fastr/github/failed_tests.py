"""A plugin for the pytest run of the action: writes down which tests failed.

A result file holds verdicts, and a test may fail for another reason than its own; the report must not pass over that.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

VARIABLE = "PYTEST_FASTR_FAILED_TESTS"
"""Names the file to write."""

_failed: set[str] = set()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remembers a failed phase of a test."""
    if report.failed:
        _failed.add(report.nodeid)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Remembers a file that could not be collected."""
    if report.failed:
        _failed.add(report.nodeid)


def pytest_unconfigure() -> None:
    """Writes the file."""
    path = os.environ.get(VARIABLE)
    if path:
        Path(path).write_text(json.dumps(sorted(_failed)), encoding="utf-8")
