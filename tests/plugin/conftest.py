"""The fixture of the plugin's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.project import Project


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A small project. No run in it may leave a process behind."""
    made = Project(pytester, monkeypatch)
    yield made
    assert made.processes_left() == []
