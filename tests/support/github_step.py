"""The command `pytest-fastr github report` as a step of a workflow runs it, on a clock of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pytest_fastr import github_command
from pytest_fastr.cli import main
from pytest_fastr.gate.model import Verdict
from pytest_fastr.github.patience import Patience
from support.github_api import FakeGitHub, fake_github
from support.results import report_of, result_file

SHA = "a" * 40
NOW = 1_700_000_000.0
RED = report_of(Verdict.REGRESSED)
GREEN = report_of(Verdict.EQUIVALENT, "test_health")


@dataclass
class Clock:
    """Time that passes by sleeping only."""

    passed: float = 0.0
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.passed += seconds


class Step:
    """A step of a workflow: its environment, its files, and what it printed."""

    def __init__(self, hub: FakeGitHub, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
        self.hub = hub
        self.folder = folder
        self.monkeypatch = monkeypatch
        self.capsys = capsys
        self.clock = Clock()
        patience = partial(
            Patience,
            clock=lambda: self.clock.passed,
            now=lambda: NOW + self.clock.passed,
            sleep=self.clock.sleep,
            chance=lambda: 0.5,
        )
        monkeypatch.setattr(github_command, "Patience", patience)
        self.summary_path = folder / "summary.md"
        self.output_path = folder / "output"
        self.set(
            GITHUB_API_URL=hub.url,
            GITHUB_SERVER_URL="https://github.com",
            GITHUB_REPOSITORY=hub.repository,
            GITHUB_SHA=SHA,
            GITHUB_RUN_ID="77",
            GITHUB_RUN_ATTEMPT="1",
            GITHUB_TOKEN="good",
            GITHUB_STEP_SUMMARY=str(self.summary_path),
            GITHUB_OUTPUT=str(self.output_path),
            GITHUB_WORKSPACE=str(folder),
        )
        self.event("push", {})

    def set(self, **variables: str) -> None:
        """Sets variables of the environment."""
        for name, value in variables.items():
            self.monkeypatch.setenv(name, value)

    def event(self, name: str, content: Any) -> Path:
        """The event that began the run."""
        path = self.folder / "event.json"
        path.write_text(json.dumps(content))
        self.set(GITHUB_EVENT_NAME=name, GITHUB_EVENT_PATH=str(path))
        return path

    def pull_request(self, number: int = 5, head: str = "acme/shop", sha: str = SHA) -> None:
        """A run for a pull request, whose own commit is tried merged."""
        self.set(GITHUB_SHA="b" * 40)
        place = {"sha": sha, "repo": {"full_name": head}}
        self.event("pull_request", {"pull_request": {"number": number, "head": place}})

    def workflow_run(self, head: str = "ann/shop:speed", sha: str = SHA, **changes: Any) -> Path:
        """The end of a run for a pull request, as the event tells it. ``head``: `owner/repository:branch`."""
        repository, _, branch = head.partition(":")
        place = {"full_name": repository, "owner": {"login": repository.partition("/")[0]}}
        run = {
            "id": 66,
            "event": "pull_request",
            "head_sha": sha,
            "head_branch": branch,
            "head_repository": place,
            "pull_requests": [],
        }
        self.set(GITHUB_SHA="c" * 40)
        event = {"workflow_run": {**run, **changes}, "repository": {"full_name": self.hub.repository}}
        return self.event("workflow_run", event)

    def report(self, result: Path, *args: str, before: str = "") -> int:
        """Runs the command in a step of its own. ``before``: what the step has summarised until then."""
        self.output_path.unlink(missing_ok=True)
        self.summary_path.write_text(before)
        code = main(["github", "report", str(result), *args])
        self.out, self.err = self.capsys.readouterr()
        return code

    @property
    def summary(self) -> str:
        return self.summary_path.read_text()

    @property
    def outputs(self) -> dict[str, str]:
        lines = iter(self.output_path.read_text().splitlines())
        read = {}
        for line in lines:
            name, _, delimiter = line.partition("<<")
            read[name] = "\n".join(iter(lambda: next(lines), delimiter))
        return read


@pytest.fixture
def hub() -> Iterator[FakeGitHub]:
    """A GitHub."""
    with fake_github() as made:
        yield made


@pytest.fixture
def step(hub: FakeGitHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Step:
    """A step of a workflow."""
    return Step(hub, tmp_path, monkeypatch, capsys)


@pytest.fixture
def red(tmp_path: Path) -> Path:
    """The result of a session with a regression."""
    return result_file(tmp_path / "result.json", GREEN, RED)


@pytest.fixture
def green(tmp_path: Path) -> Path:
    """The result of a session without one."""
    return result_file(tmp_path / "green.json", GREEN)
