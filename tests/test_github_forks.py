"""A fork's pull request is measured by one workflow and reported by another, which trusts GitHub's event alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_fastr.gate.model import Verdict
from support.github_api import FakeGitHub, Fault
from support.github_step import SHA, Step
from support.results import report_of, result_file


@pytest.fixture
def red(tmp_path: Path) -> Path:
    """The artifact."""
    return result_file(tmp_path / "result.json", report_of(Verdict.REGRESSED))


def test_the_pull_request_is_found_by_its_head(step: Step, hub: FakeGitHub, red: Path) -> None:
    hub.page_size = 1
    hub.pull(3, "eve/other:speed", SHA)
    hub.pull(4, "ann/shop:slow", SHA)
    hub.pull(9, "ann/fork-of-shop:speed", SHA)
    hub.pull(12, "ann/shop:speed", SHA)
    step.workflow_run()
    assert step.report(red, "--from-workflow-run") == 1
    (comment,) = hub.comments
    assert comment["issue"] == 12
    (check,) = hub.checks
    assert check["head_sha"] == SHA
    assert check["conclusion"] == "failure"
    # The log's annotations would belong to the reporting run, so the check run has all of them.
    assert len(check["annotations"]) == 1
    assert "::error" not in step.out
    assert "https://github.com/acme/shop/actions/runs/66" in comment["body"]


def test_the_event_is_taken_from_a_file_that_is_named(step: Step, hub: FakeGitHub, red: Path) -> None:
    hub.pull(12, "ann/shop:speed", SHA)
    event = step.workflow_run().rename(step.folder / "other.json")
    step.event("push", {})
    step.report(red, "--from-workflow-run", str(event))
    assert len(hub.comments) == 1


def test_in_a_workflow_run_the_event_is_found_by_itself(step: Step, hub: FakeGitHub, red: Path) -> None:
    hub.pull(12, "ann/shop:speed", SHA)
    step.workflow_run()
    step.report(red)
    assert [one["issue"] for one in hub.comments] == [12]


@pytest.mark.parametrize(
    ("pulls", "words"),
    [
        ([], "no open pull request has this head"),
        ([(12, "ann/shop:speed", "e" * 40)], "its head has moved on since it was measured"),
        ([(12, "ann/shop:speed", SHA), (13, "ann/shop:speed", SHA)], "several open pull requests"),
    ],
)
def test_without_the_one_pull_request_there_is_no_comment(
    step: Step, hub: FakeGitHub, red: Path, pulls: list[tuple[int, str, str]], words: str
) -> None:
    for pull in pulls:
        hub.pull(*pull)
    step.workflow_run()
    assert step.report(red) == 1
    assert hub.comments == []
    assert f"No comment: {words}" in step.summary
    assert len(hub.checks) == 1


def test_github_s_own_list_tells_two_pull_requests_of_one_branch_apart(step: Step, hub: FakeGitHub, red: Path) -> None:
    for number in (12, 13):
        hub.pull(number, "acme/shop:speed", SHA)
    step.workflow_run("acme/shop:speed", pull_requests=[{"number": 13}])
    step.report(red)
    assert [one["issue"] for one in hub.comments] == [13]


def test_a_branch_is_looked_up_by_its_whole_name(step: Step, hub: FakeGitHub, red: Path) -> None:
    branch = "a&state=closed#?/ü+%20"
    hub.pull(12, f"ann/shop:{branch}", SHA)
    step.workflow_run(f"ann/shop:{branch}")
    step.report(red)
    assert [one["issue"] for one in hub.comments] == [12]


def test_a_push_that_was_measured_has_no_comment(step: Step, hub: FakeGitHub, red: Path) -> None:
    hub.pull(12, "ann/shop:speed", SHA)
    step.workflow_run(event="push")
    step.report(red, "--comment", "always")
    assert hub.comments == []
    assert "No comment" not in step.summary


def test_a_fork_that_is_gone_is_said(step: Step, red: Path) -> None:
    step.workflow_run(head_repository=None)
    assert step.report(red) == 1
    assert "its fork may be gone" in step.summary


def test_a_pull_request_that_cannot_be_looked_up_is_said(step: Step, hub: FakeGitHub, red: Path) -> None:
    hub.plant(Fault(method="GET", path="/pulls", status=403, message="Resource not accessible by integration"))
    step.workflow_run()
    assert step.report(red) == 1
    assert "No comment: the token may not" in step.summary
    assert "pull request from a fork" not in step.summary


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"workflow_run": {"head_sha": "main", "event": "pull_request"}},
        {"workflow_run": {"head_sha": SHA, "event": "pull_request"}, "repository": {"full_name": "eve/shop"}},
    ],
)
def test_another_event_is_refused(step: Step, hub: FakeGitHub, red: Path, event: dict[str, Any]) -> None:
    path = step.folder / "event.json"
    path.write_text(json.dumps(event))
    assert step.report(red, "--from-workflow-run", str(path)) == 2
    assert "event" in step.err
    assert hub.seen == []


@pytest.mark.parametrize("content", [None, "{"])
def test_an_event_that_cannot_be_read_is_named(step: Step, red: Path, content: str | None) -> None:
    path = step.folder / "none.json"
    if content is not None:
        path.write_text(content)
    assert step.report(red, "--from-workflow-run", str(path)) == 2
    assert "cannot read the event" in step.err
