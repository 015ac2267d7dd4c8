"""Workflows that store baselines: the job that runs the project's code may only read, and only baselines leave it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.baselines import PROFILE, days_of, store
from support.repository import ENV, git

ROOT = Path(__file__).parents[1]
WORKFLOWS = [ROOT / "docs/examples/baselines.yml", ROOT / ".github/workflows/baselines.yml"]
GH = """#!/bin/sh
echo "$@" >> "$RUNNER_TEMP/gh"
[ "$1" = pr ] || exit 0
while [ $# -gt 0 ]; do [ "$1" = --body-file ] && cp "$2" "$RUNNER_TEMP/said"; shift; done
[ -z "$REFUSAL" ] || { echo "$REFUSAL" >&2; exit 1; }
"""
NOT_PERMITTED = (
    "pull request create failed: GraphQL: GitHub Actions is not permitted to create or approve pull requests"
)


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def job(path: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())["jobs"][name]
    return found


def script(path: Path, job_name: str, step: str) -> str:
    (found,) = (one["run"] for one in job(path, job_name)["steps"] if one.get("name") == step)
    return str(found)


@pytest.mark.parametrize("path", WORKFLOWS, ids=named)
def test_the_job_that_measures_may_only_read_and_the_one_that_writes_runs_nothing_of_the_project(path: Path) -> None:
    document = yaml.safe_load(path.read_text())
    assert set(document[True]) == {"workflow_dispatch"}  # YAML 1.1 reads the key `on` as a truth value.
    assert set(document[True]["workflow_dispatch"]["inputs"]) == {"reason", "sessions"}
    assert job(path, "measure")["permissions"] == {"contents": "read"}
    assert job(path, "propose")["permissions"] == {"contents": "write", "pull-requests": "write"}
    proposing = str(job(path, "propose"))
    assert not any(word in proposing for word in ("pytest", "pip", "make", "setup-python"))
    (keep,) = (one for one in job(path, "measure")["steps"] if "upload-artifact" in one.get("uses", ""))
    assert keep["if"] == "${{ !cancelled() }}"


def test_both_workflows_do_the_same_besides_installing() -> None:
    def without_install(path: Path) -> list[dict[str, Any]]:
        steps = [*job(path, "measure")["steps"], *job(path, "propose")["steps"]]
        return [step for step in steps if "name" in step or "artifact" in step.get("uses", "")]

    assert without_install(WORKFLOWS[0]) == without_install(WORKFLOWS[1])


class Runner:
    """Runs the scripts of the workflow in a clone, with a `gh` that remembers what it was asked for."""

    def __init__(self, folder: Path) -> None:
        self.temp = folder / "temp"
        self.clone = folder / "clone"
        for name in ("temp", "bin", "origin"):
            (folder / name).mkdir()
        git(folder / "origin", "init", "-q", "-b", "main")
        git(folder / "origin", "commit", "-q", "--allow-empty", "-m", "first")
        git(folder, "clone", "-q", "origin", "clone")
        for name, text in (
            ("gh", GH),
            ("pytest-fastr", f'#!/bin/sh\nexec {sys.executable} -m pytest_fastr.cli "$@"\n'),
        ):
            (folder / "bin" / name).write_text(text)
            (folder / "bin" / name).chmod(0o755)
        self.env = {
            **ENV, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "RUNNER_TEMP": str(self.temp),
            "GITHUB_STEP_SUMMARY": str(self.temp / "summary"), "BASELINES": "baselines", "PROFILE": PROFILE.slug,
            "REASON": "", "GITHUB_RUN_ID": "7", "GITHUB_RUN_ATTEMPT": "1", "GITHUB_REF_NAME": "main", "GH_TOKEN": "x",
            "GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "ann/shop", "GITHUB_WORKFLOW": "Baselines",
        }  # fmt: skip

    def run(self, text: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = ["bash", "-e", "-c", text]
        return subprocess.run(command, cwd=self.clone, env={**self.env, **more}, capture_output=True, text=True)

    def said(self, name: str) -> str:
        path = self.temp / name
        return path.read_text() if path.exists() else ""


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


COLLECT = script(WORKFLOWS[0], "measure", "Collect what changed")
PROPOSE = script(WORKFLOWS[0], "propose", "Push a branch, and open a pull request")


def test_what_was_stored_becomes_a_branch_with_it_alone_and_a_pull_request(runner: Runner) -> None:
    store(runner.clone / "baselines", [1, 2])
    (runner.clone / "elsewhere.txt").write_text("left by a test")
    collected = runner.run(COLLECT)
    assert collected.returncode == 0, collected.stderr
    assert days_of(runner.temp / "changes" / "baselines") == [1, 2]
    git(runner.clone, "reset", "-q", "--hard")
    patch = runner.temp / "changes" / "baselines.patch"
    patch.write_text(
        patch.read_text()
        + "diff --git a/ci.yml b/ci.yml\nnew file mode 100644\n--- /dev/null\n+++ b/ci.yml\n@@ -0,0 +1 @@\n+x\n"
    )
    proposed = runner.run(PROPOSE, REASON="why $(touch reason)")
    assert proposed.returncode == 0, proposed.stderr
    changed = git(runner.clone, "diff", "--name-only", "main", "origin/baselines/7-1").splitlines()
    assert {one.partition("/")[0] for one in changed} == {"baselines"}
    assert "why $(touch reason)" in git(runner.clone, "log", "-1", "--format=%B", "origin/baselines/7-1")
    assert "pr create --base main --head baselines/7-1" in runner.said("gh")
    body = runner.said("said")
    assert "starts no checks by itself" in body
    assert f"`{PROFILE.slug}`: added" in body
    assert not (runner.clone / "reason").exists()


@pytest.mark.parametrize(("refusal", "code"), [(NOT_PERMITTED, 0), ("HTTP 502: Bad Gateway", 1)])
def test_without_the_setting_there_is_the_branch_and_a_link(runner: Runner, refusal: str, code: int) -> None:
    store(runner.clone / "baselines", [1])
    assert runner.run(COLLECT).returncode == 0
    git(runner.clone, "reset", "-q", "--hard")
    proposed = runner.run(PROPOSE, REFUSAL=refusal)
    assert (proposed.returncode, refusal in proposed.stderr) == (code, True)
    assert "https://github.com/ann/shop/compare/main...baselines/7-1?expand=1" in runner.said("summary")
    assert "baselines/7-1" in git(runner.clone, "branch", "-r")


def test_where_nothing_changed_nothing_is_proposed(runner: Runner) -> None:
    assert runner.run(COLLECT).returncode == 0
    proposed = runner.run(PROPOSE)
    assert proposed.returncode == 0, proposed.stderr
    assert "nothing to propose" in runner.said("summary")
    assert runner.said("gh") == ""
