"""`pytest-fastr github report` against a GitHub that keeps to what GitHub documents, and one that does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_fastr.gate.model import Verdict
from pytest_fastr.github.comment import marker
from pytest_fastr.github.page import SUMMARY_LIMIT, TEXT_LIMIT
from support.github_api import FakeGitHub, Fault
from support.github_step import SHA, Step
from support.results import report_of, result_file, tampered

OPEN = report_of(Verdict.INCONCLUSIVE, "test_orders")
HIDDEN = marker("pytest-fastr")


def many(count: int) -> list[str]:
    return [f"test_{number:04}" for number in range(count)]


# The exit code.


@pytest.mark.parametrize(
    ("verdict", "fail_on", "code", "conclusion"),
    [
        (Verdict.REGRESSED, "regressed", 1, "failure"),
        (Verdict.INVALID, "regressed", 1, "failure"),
        (Verdict.INCONCLUSIVE, "regressed", 0, "neutral"),
        (Verdict.NEW, "regressed", 0, "neutral"),
        (Verdict.IMPROVED, "inconclusive", 0, "success"),
        (Verdict.EQUIVALENT, "inconclusive", 0, "success"),
        (Verdict.INCONCLUSIVE, "inconclusive", 1, "failure"),
        (Verdict.REGRESSED, "inconclusive", 1, "failure"),
        (Verdict.REGRESSED, "never", 0, "neutral"),
        (Verdict.INVALID, "never", 0, "neutral"),
    ],
)
def test_the_exit_code_and_the_conclusion_follow_from_the_result(
    step: Step, hub: FakeGitHub, verdict: Verdict, fail_on: str, code: int, conclusion: str
) -> None:
    result = result_file(step.folder / "r.json", report_of(verdict))
    assert step.report(result, "--fail-on", fail_on) == code
    (check,) = hub.checks
    assert check["conclusion"] == conclusion
    assert step.outputs["verdict"] == verdict


def test_a_session_that_measured_nothing_fails(step: Step) -> None:
    assert step.report(result_file(step.folder / "r.json")) == 1
    assert "Nothing was measured" in step.summary
    assert "pytest-fastr: no test was measured. Nothing was measured.\n" in step.out


@pytest.mark.parametrize("damage", ["missing", "empty", "text", "schema", "contradiction"])
def test_without_a_result_the_exit_code_is_2_and_says_why(step: Step, red: Path, damage: str) -> None:
    if damage == "missing":
        red.unlink()
    elif damage in ("empty", "text"):
        red.write_text({"empty": "", "text": "@everyone"}[damage])
    else:
        changes: dict[str, dict[str, object]] = {
            "schema": {"schema_version": 9},
            "contradiction": {"verdict": "improved"},
        }
        tampered(red, **changes[damage])
    assert step.report(red, "--fail-on", "never") == 2
    words = {
        "missing": "there is no result file",
        "empty": "is empty",
        "text": "no JSON",
        "schema": "schema version 9",
        "contradiction": "contradicts",
    }[damage]
    assert words in step.err
    assert words in step.summary
    assert "everyone" not in step.summary + step.err
    assert step.outputs["verdict"] == "invalid"
    assert step.hub.seen == []


def test_outputs_are_those_of_the_action(step: Step, red: Path) -> None:
    step.report(red)
    assert step.outputs["regressions"] == "1"
    assert step.outputs["inconclusive"] == "0"
    assert step.outputs["report-path"] == str(red)
    assert step.outputs["profile"].startswith("intel-xeon-2c-x86_64-linux-cpython3.11-")


def test_outside_of_actions_it_asks_nobody(step: Step, red: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_REPOSITORY", "GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT", "GITHUB_EVENT_PATH", "GITHUB_TOKEN"):
        monkeypatch.delenv(name)
    assert step.report(red) == 1
    assert step.hub.seen == []


# Summary and annotations.


def test_the_summary_is_within_its_limit_and_says_what_it_leaves_out(step: Step) -> None:
    tests = [report_of(Verdict.REGRESSED, name, where=("x" * 900,)) for name in many(1500)]
    result = result_file(step.folder / "r.json", *tests)
    assert step.report(result, "--no-check", "--comment", "never") == 1
    assert SUMMARY_LIMIT * 0.9 < step.summary_path.stat().st_size <= SUMMARY_LIMIT
    assert "more explanations had no room here: the result file has all of them." in step.summary
    assert step.summary.endswith("</sub>\n")


@pytest.mark.parametrize("left", [3000, 300])
def test_what_the_step_has_summarised_before_stays_and_counts(step: Step, red: Path, left: int) -> None:
    before = "before\n" + "y" * (SUMMARY_LIMIT - left) + "\n"
    step.set(GITHUB_TOKEN="fork")
    step.report(red, before=before)
    assert step.summary.startswith(before + "### ")
    assert step.summary.count("### ") == 1
    assert step.summary_path.stat().st_size <= SUMMARY_LIMIT


def test_the_ten_worst_tests_are_annotated_in_the_log(step: Step) -> None:
    tests = [report_of(Verdict.REGRESSED, name, change=number / 100) for number, name in enumerate(many(30), 3)]
    step.report(result_file(step.folder / "r.json", *tests, OPEN), "--no-check")
    lines = [line for line in step.out.splitlines() if line.startswith("::")]
    assert len(lines) == 10
    assert "test_0029" in lines[0]
    assert "test_0020" in lines[9]
    assert lines[0].startswith("::error file=tests/perf/test_shop.py,line=7,title=regressed%3A test_0029::")
    assert "18.3" not in lines[0]
    assert "%0A" in lines[0]


def test_a_path_is_found_where_pytest_ran(step: Step, red: Path) -> None:
    place = step.folder / "services/shop/tests/perf/test_shop.py"
    place.parent.mkdir(parents=True)
    place.touch()
    step.report(red, "--root", "services/shop", "--no-check")
    assert "::error file=services/shop/tests/perf/test_shop.py,line=7" in step.out


@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd"])
def test_a_path_that_leads_out_of_the_repository_is_not_annotated(step: Step, path: str) -> None:
    result = result_file(step.folder / "r.json", report_of(Verdict.REGRESSED, path=path))
    step.report(result)
    assert "passwd" not in step.out
    assert step.hub.checks[0]["annotations"] == []


def test_no_text_of_a_result_becomes_a_command_of_the_runner(step: Step) -> None:
    evil = "x\n::add-mask::x\r::stop-commands::y ##[add-mask]z"
    result = result_file(step.folder / "r.json", report_of(Verdict.REGRESSED, nodeid=evil, path="t,e:s%t.py"))
    step.report(result)
    commands = [line for line in step.out.splitlines() if line.lstrip().startswith("::")]
    (line,) = commands
    assert line.startswith("::error file=t%2Ce%3As%25t.py,line=7,title=regressed%3A ")


# The check run.


def test_a_check_run_is_begun_and_completed_on_the_measured_commit(step: Step, hub: FakeGitHub, red: Path) -> None:
    step.pull_request()
    step.report(red, "--comment", "never")
    (check,) = hub.checks
    assert check["history"] == ["in_progress", "completed"]
    assert check["head_sha"] == SHA
    assert check["name"] == "pytest-fastr"
    assert check["output"]["title"] == "2 tests: 1 regressed, 1 equivalent"
    assert check["details_url"] == "https://github.com/acme/shop/actions/runs/77"
    # Each test is annotated once: this one from the log.
    assert check["annotations"] == []


def test_the_check_run_takes_what_the_log_does_not_in_batches(step: Step, hub: FakeGitHub) -> None:
    tests = [report_of(Verdict.REGRESSED, name) for name in many(133)]
    step.report(result_file(step.folder / "r.json", *tests))
    (check,) = hub.checks
    assert len(check["annotations"]) == 123
    assert len({one["title"] for one in check["annotations"]}) == 123
    assert len(check["output"]["summary"]) <= TEXT_LIMIT
    assert check["annotations"][0]["annotation_level"] == "failure"
    batches = [one.body["output"].get("annotations", []) for one in hub.requests("PATCH")]
    assert [len(batch) for batch in batches] == [50, 50, 23, 0]


def test_a_check_run_is_not_made_twice_where_the_answer_was_lost(step: Step, hub: FakeGitHub, red: Path) -> None:
    hub.plant(Fault(method="POST", path="check-runs", drop=True, carried_out=True))
    assert step.report(red) == 1
    (check,) = hub.checks
    assert check["conclusion"] == "failure"
    assert "No check run" not in step.summary


def test_annotations_are_not_added_twice_where_the_answer_was_lost(step: Step, hub: FakeGitHub) -> None:
    tests = [report_of(Verdict.REGRESSED, name) for name in many(80)]
    hub.plant(Fault(method="PATCH", status=502, carried_out=True), Fault(method="PATCH", status=502))
    step.report(result_file(step.folder / "r.json", *tests))
    (check,) = hub.checks
    assert len(check["annotations"]) == 70
    assert check["status"] == "completed"


def test_a_check_run_is_completed_although_its_annotations_are_refused(step: Step, hub: FakeGitHub) -> None:
    tests = [report_of(Verdict.REGRESSED, name) for name in many(20)]
    hub.plant(Fault(method="PATCH", status=422, message="Invalid annotation"))
    step.report(result_file(step.folder / "r.json", *tests))
    assert hub.checks[0]["status"] == "completed"
    assert "GitHub did not take it. It says: `422 Invalid annotation`" in step.summary


def test_a_commit_that_github_does_not_know_gets_no_check(step: Step, hub: FakeGitHub, red: Path) -> None:
    step.set(GITHUB_SHA="d" * 40)
    assert step.report(red) == 1
    assert "No check run: GitHub did not take it. It says: `422 No commit found for SHA`" in step.summary


# The comment.


def test_a_comment_is_written_once_and_updated_in_place(step: Step, hub: FakeGitHub, red: Path, green: Path) -> None:
    step.pull_request()
    step.report(red)
    (comment,) = hub.comments
    assert comment["body"].startswith(f"{HIDDEN}\n### 🔴 Performance: regressed")
    step.report(green)
    (comment,) = hub.comments
    assert comment["body"].startswith(f"{HIDDEN}\n### 🟢 Performance: equivalent")


@pytest.mark.parametrize(
    ("mode", "result", "written"), [("never", "red", 0), ("on-change", "green", 0), ("always", "green", 1)]
)
def test_when_a_comment_is_written(
    step: Step, hub: FakeGitHub, red: Path, green: Path, mode: str, result: str, written: int
) -> None:
    step.pull_request()
    step.report({"red": red, "green": green}[result], "--comment", mode)
    assert len(hub.comments) == written


def test_a_push_has_no_comment_and_misses_none(step: Step, hub: FakeGitHub, red: Path) -> None:
    step.report(red, "--comment", "always")
    assert hub.comments == []
    assert "No comment" not in step.summary


def test_the_comment_is_found_behind_pages_of_others(step: Step, hub: FakeGitHub, red: Path) -> None:
    hub.page_size = 20
    for number in range(95):
        hub.comment(5, f"{number}", "ann", "User")
    ours = hub.comment(5, f"{HIDDEN}\nold", "github-actions[bot]", "Bot")
    step.pull_request()
    step.report(red)
    assert len(hub.comments) == 96
    assert "regressed" in ours["body"]


def test_reports_of_different_names_have_comments_of_their_own(step: Step, hub: FakeGitHub, red: Path) -> None:
    step.pull_request()
    for name in ("perf-3.11", "perf-3.12", "perf-3.11", "--> @all"):
        step.report(red, "--name", name)
    assert len(hub.comments) == 3
    assert "@all" not in hub.comments[2]["body"]


@pytest.mark.parametrize("token", ["good", "personal"])
def test_a_marker_that_somebody_else_wrote_is_left_alone(step: Step, hub: FakeGitHub, red: Path, token: str) -> None:
    hub.comment(5, f"{HIDDEN}\nall is well", "mallory", "User")
    step.set(GITHUB_TOKEN=token)
    step.pull_request()
    for _ in range(2):
        step.report(red)
    assert [one["body"].endswith("all is well") for one in hub.comments] == [True, False]


def test_a_comment_is_not_written_twice_where_the_answer_was_lost(step: Step, hub: FakeGitHub, red: Path) -> None:
    hub.plant(Fault(method="POST", path="comments", drop=True, carried_out=True))
    step.pull_request()
    step.report(red)
    assert len(hub.comments) == 1


def test_a_large_result_is_a_comment_within_the_limit(step: Step, hub: FakeGitHub) -> None:
    tests = [report_of(Verdict.REGRESSED, f"test_ä{name}" + "é" * 300, where=("ü" * 500,)) for name in many(400)]
    step.pull_request()
    step.report(result_file(step.folder / "r.json", *tests))
    (comment,) = hub.comments
    assert TEXT_LIMIT * 0.5 < len(comment["body"]) <= TEXT_LIMIT
    assert "more tests had no room here" in comment["body"]
