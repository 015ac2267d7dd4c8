"""The actions and the workflows that are shipped: few permissions, pinned actions, and no input within a script."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_fastr import github_command
from pytest_fastr.cli import parser

ROOT = Path(__file__).parents[1]
PINNED = re.compile(r"[\w./-]+@[0-9a-f]{40}")
WORKFLOWS = sorted([*ROOT.glob(".github/workflows/*.yml"), *ROOT.glob("docs/examples/*.yml")])
ACTIONS = [ROOT / "action.yml", ROOT / "report" / "action.yml"]
EVERYTHING = [*WORKFLOWS, *ACTIONS]
INPUTS = [
    "app", "tests", "args", "against", "mode", "fail-on", "comment", "baselines", "python", "working-directory",
    "github-token", "artifact-name",
]  # fmt: skip
OUTPUTS = ["verdict", "regressions", "inconclusive", "report-path", "profile"]
PERMISSIONS = {
    "performance.yml": {"contents": "read", "checks": "write", "pull-requests": "write"},
    "performance-measure.yml": {"contents": "read"},
    "performance-report.yml": {"actions": "read", "checks": "write", "pull-requests": "write"},
}


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def loaded(path: Path) -> dict[Any, Any]:
    value = yaml.safe_load(path.read_text())
    assert isinstance(value, dict)
    return value


def steps_of(document: dict[Any, Any]) -> Iterator[dict[str, Any]]:
    for job in document.get("jobs", {}).values():
        yield from job["steps"]
    yield from document.get("runs", {}).get("steps", [])


@pytest.mark.parametrize("path", EVERYTHING, ids=named)
def test_scripts_hold_no_expression(path: Path) -> None:
    steps = list(steps_of(loaded(path)))
    assert steps
    for step in steps:
        assert "${{" not in step.get("run", ""), "an input in a script is code: give it by env"


@pytest.mark.parametrize("path", EVERYTHING, ids=named)
def test_other_actions_are_pinned_by_their_commit(path: Path) -> None:
    for step in steps_of(loaded(path)):
        assert "uses" not in step or step["uses"] == "./" or PINNED.fullmatch(step["uses"]), step["uses"]


def test_one_action_is_pinned_at_one_commit_everywhere() -> None:
    pins: dict[str, set[str]] = {}
    for path in EVERYTHING:
        for step in steps_of(loaded(path)):
            name, _, commit = step.get("uses", "").partition("@")
            pins.setdefault(name, set()).add(commit)
    assert [name for name, commits in pins.items() if len(commits) > 1] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=named)
def test_workflows_may_do_nothing_but_what_a_job_says(path: Path) -> None:
    document = loaded(path)
    assert document["permissions"] in ({}, {"contents": "read"})
    for job in document["jobs"].values():
        assert job["timeout-minutes"] <= 45
        if path.name in PERMISSIONS:
            assert job["permissions"] == PERMISSIONS[path.name]
        for step in steps_of(document):
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


def test_the_workflow_with_a_writing_token_checks_nothing_out_and_runs_no_script() -> None:
    document = loaded(ROOT / "docs/examples/performance-report.yml")
    assert set(document[True]) == {"workflow_run"}  # YAML 1.1 reads the key `on` as a truth value.
    steps = list(steps_of(document))
    assert [step["uses"].partition("@")[0] for step in steps] == [
        "actions/download-artifact",
        "your-org/pytest-fastr/report",
    ]
    measuring = loaded(ROOT / "docs/examples/performance-measure.yml")
    assert document[True]["workflow_run"]["workflows"] == [measuring["name"]]


def test_no_shipped_workflow_runs_a_pull_request_with_the_target_s_rights() -> None:
    for path in WORKFLOWS:
        assert "pull_request_target" not in path.read_text()


def test_the_action_has_the_inputs_and_outputs_that_are_documented() -> None:
    action = loaded(ROOT / "action.yml")
    assert list(action["inputs"]) == INPUTS
    assert list(action["outputs"]) == OUTPUTS
    manual = (ROOT / "docs/github.md").read_text()
    for name in [*INPUTS, *OUTPUTS]:
        assert f"`{name}`" in manual


@pytest.mark.parametrize("path", [ROOT / name for name in ("docs/examples/performance.yml",)], ids=named)
def test_the_manual_s_workflow_is_the_one_that_is_linted(path: Path) -> None:
    assert path.read_text() in (ROOT / "docs/github.md").read_text()


@pytest.mark.parametrize("path", [path for path in WORKFLOWS if path.parent.name == "examples"], ids=named)
def test_inputs_of_the_examples_exist(path: Path) -> None:
    for step in steps_of(loaded(path)):
        name = step.get("uses", "").partition("@")[0]
        if name.startswith("your-org/pytest-fastr"):
            action = loaded(ROOT / name.removeprefix("your-org/pytest-fastr").strip("/") / "action.yml")
            assert set(step["with"]) <= set(action["inputs"])


@pytest.mark.parametrize("path", ACTIONS, ids=named)
def test_the_command_lines_of_the_actions_are_understood(path: Path) -> None:
    found = 0
    for step in steps_of(loaded(path)):
        if "pytest-fastr github" not in step.get("run", ""):
            continue
        command = re.sub(r'"\$FASTR_(\w+)"', lambda match: VALUES.get(match[1], "x"), step["run"]).split()
        args = parser().parse_args(command[1:])
        assert args.run in (github_command.run_report, github_command.run_measure)
        given = set(re.findall(r"\$(FASTR_\w+)", step["run"]))
        assert given <= set(step["env"])
        found += 1
    assert found


VALUES = {"FAIL_ON": "never", "COMMENT": "always"}


def test_the_step_that_runs_the_code_has_no_token() -> None:
    steps = {step.get("id"): step for step in steps_of(loaded(ROOT / "action.yml"))}
    assert "token" not in str(steps["measure"]).lower()
    assert steps["report"]["env"]["GITHUB_TOKEN"] == "${{ inputs.github-token }}"
