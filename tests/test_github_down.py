"""What the token may not do, and a GitHub that is down or limiting: the build does not notice, and the report says."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_fastr.github import client
from support.github_api import FakeGitHub, Fault, fake_github
from support.github_step import NOW, Step


def test_a_token_that_may_only_read_gives_a_full_summary_and_says_what_is_missing(
    step: Step, hub: FakeGitHub, red: Path
) -> None:
    step.set(GITHUB_TOKEN="fork")
    step.pull_request(head="ann/shop")
    assert step.report(red) == 1
    assert "test_items" in step.summary
    assert "No check run: the token may not write one (it needs `checks: write`)" in step.summary
    assert "No comment: the token may not write one (it needs `pull-requests: write`)" in step.summary
    assert "`403 Resource not accessible by integration`" in step.summary
    assert "pull request from a fork" in step.summary
    assert step.clock.slept == []


@pytest.mark.parametrize("token", ["", "wrong"])
def test_without_a_good_token_the_summary_is_the_report(step: Step, green: Path, token: str) -> None:
    step.set(GITHUB_TOKEN=token)
    step.pull_request()
    assert step.report(green) == 0
    assert ("No token was given" if token == "" else "401 Bad credentials") in step.summary


@pytest.mark.parametrize(
    "faults",
    [
        [Fault(status=503, message="down")] * 3,
        [Fault(drop=True)] * 3,
        [Fault(status=500, body=b"<html>"), Fault(drop=True), Fault(status=502)],
        [
            Fault(method="GET", cut=True),
            Fault(method="POST", path="check-runs", cut=True),
            Fault(method="PATCH", cut=True),
        ],
    ],
)
def test_a_github_that_comes_back_is_waited_for(step: Step, hub: FakeGitHub, red: Path, faults: list[Fault]) -> None:
    hub.plant(*faults)
    step.pull_request()
    assert step.report(red) == 1
    assert len(hub.checks) == len(hub.comments) == 1
    assert 0 < sum(step.clock.slept) < 10
    assert "[!NOTE]" not in step.summary


@pytest.mark.parametrize("result", ["red", "green"])
@pytest.mark.parametrize(
    "fault", [Fault(status=503, message="down"), Fault(drop=True), Fault(status=200, body=b"<html>")]
)
def test_a_github_that_is_down_changes_nothing_about_the_build(
    step: Step, hub: FakeGitHub, red: Path, green: Path, fault: Fault, result: str
) -> None:
    hub.plant(*[fault] * 500)
    step.pull_request()
    assert step.report({"red": red, "green": green}[result], "--comment", "always") == {"red": 1, "green": 0}[result]
    assert "No check run, or not all of it: GitHub was not to be reached in time" in step.summary
    assert "No comment, or not all of it" in step.summary
    assert sum(step.clock.slept) <= 180


def test_an_address_where_nobody_answers_changes_nothing_either(step: Step, green: Path) -> None:
    step.set(GITHUB_API_URL="http://127.0.0.1:1")
    assert step.report(green, "--max-wait", "5s") == 0
    assert "GitHub was not to be reached in time" in step.summary
    assert sum(step.clock.slept) <= 5


@pytest.mark.parametrize(
    ("fault", "least"),
    [
        (Fault(status=403, headers={"Retry-After": "17"}, message="secondary rate limit"), 17),
        (Fault(status=429, headers={"Retry-After": "20"}), 20),
        (Fault(status=403, headers={"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(NOW) + 40)}), 40),
        (Fault(status=403, message="You have exceeded a secondary rate limit"), 60),
        (Fault(status=503, headers={"Retry-After": "12"}), 12),
    ],
)
def test_a_limit_is_waited_for_as_github_says(
    step: Step, hub: FakeGitHub, red: Path, fault: Fault, least: float
) -> None:
    hub.plant(fault)
    step.report(red)
    assert least <= step.clock.slept[0] <= least + 3
    assert len(hub.checks) == 1


def test_a_limit_that_lasts_longer_than_the_report_waits_is_given_up_at_once(
    step: Step, hub: FakeGitHub, red: Path
) -> None:
    reset = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(NOW) + 3000)}
    hub.plant(*[Fault(status=403, headers=reset, message="API rate limit exceeded")] * 10)
    assert step.report(red) == 1
    assert step.clock.slept == []
    assert "`403 API rate limit exceeded`" in step.summary


def test_a_redirect_is_followed_within_the_api_only(step: Step, hub: FakeGitHub, red: Path) -> None:
    there = f"{hub.url}/repos/acme/shop/check-runs"
    hub.plant(Fault(method="POST", status=307, headers={"Location": there}))
    step.report(red)
    assert len(hub.checks) == 1
    with fake_github() as other:
        hub.plant(Fault(method="POST", status=307, headers={"Location": f"{other.url}/repos/acme/shop/check-runs"}))
        step.report(red)
        assert other.seen == []
    assert "leads to another host" in step.summary


def test_an_answer_that_trickles_is_not_waited_for_without_end(
    step: Step, hub: FakeGitHub, green: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_MOST_ANSWER", 10)
    hub.plant(*[Fault(status=200, body=b"x" * 100)] * 100)
    assert step.report(green) == 0
    assert "the answer did not end" in step.summary


def test_a_token_that_is_none_is_named(step: Step, green: Path) -> None:
    step.set(GITHUB_TOKEN=" good\n")
    assert step.report(green) == 0
    assert len(step.hub.checks) == 1
    step.set(GITHUB_TOKEN="go\nod")
    assert step.report(green) == 2
    assert "GITHUB_TOKEN is no token" in step.err


@pytest.mark.parametrize("name", ["GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT"])
def test_a_file_of_the_runner_that_cannot_be_written_changes_nothing_and_is_said(
    step: Step, hub: FakeGitHub, green: Path, red: Path, name: str
) -> None:
    step.set(**{name: str(step.folder)})
    for result, code in ((green, 0), (red, 1)):
        assert step.report(result) == code
        assert f"cannot write {name}" in step.out
    assert len(hub.checks) == 2
    assert step.report(step.folder / "nothing.json") == 2
    assert "there is no result file" in step.err


def test_the_event_of_another_run_has_to_be_named(step: Step, green: Path) -> None:
    step.set(GITHUB_EVENT_PATH="")
    assert step.report(green, "--from-workflow-run") == 2
    assert "GITHUB_EVENT_PATH is not set; name the event's file" in step.err
