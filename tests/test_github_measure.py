"""The measuring step: inputs become a pytest run, and what else failed in it is not passed over."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from pytest_fastr.errors import ConfigError, ResultError
from pytest_fastr.gate.model import Verdict
from pytest_fastr.github.decision import FailOn, PytestOutcome, decide
from pytest_fastr.github.measure import Measurement, folder_of, measure, pytest_command, read_outcome
from pytest_fastr.report.result_reader import ResultFile
from support.github_step import Step
from support.results import report_of, result_file, session_of

PLAIN = "def test_good():\n    pass\n\n\ndef test_bad():\n    assert False\n"


def options(**inputs: str) -> list[str]:
    env = {f"FASTR_{name.upper()}": value for name, value in inputs.items()}
    command = pytest_command(env, Path("r.json"))
    assert command[:3] == [sys.executable, "-m", "pytest"]
    assert command[3:5] == ["--perf", "--perf-json=r.json"]
    return command[5:]


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ({}, ["--perf-mode=paired", "--perf-against=merge-base"]),
        ({"mode": "stored", "against": "main"}, ["--perf-mode=stored"]),
        ({"mode": "both", "against": "v1"}, ["--perf-mode=both", "--perf-against=v1"]),
        (
            {"mode": "stored", "app": "a:b", "baselines": "my base", "tests": "a 'b c'", "args": "-k 'x or y'"},
            ["--perf-mode=stored", "--perf-app=a:b", "--perf-baselines=my base", "-k", "x or y", "a", "b c"],
        ),
        ({"mode": "stored", "args": "", "tests": "$(touch x) `y`"}, ["--perf-mode=stored", "$(touch", "x)", "`y`"]),
    ],
)
def test_inputs_become_options_and_never_a_script(inputs: Mapping[str, str], expected: list[str]) -> None:
    assert options(**inputs) == expected


@pytest.mark.parametrize("inputs", [{"mode": "fast"}, {"args": "'x"}])
def test_an_input_that_cannot_be_followed_is_named(inputs: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="input `"):
        options(**inputs)


def test_the_folder_of_a_report_is_one_of_its_own() -> None:
    assert folder_of({"RUNNER_TEMP": "/t"}, "../a b") == Path("/t/pytest-fastr-..-a-b")


def test_a_run_leaves_its_result_and_what_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "test_plain.py").write_text(PLAIN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GITHUB_TOKEN", "secret")
    measurement = Measurement(tmp_path / "out")
    measurement.folder.mkdir()
    measurement.result.write_text("of an earlier step")
    assert measure({"FASTR_MODE": "stored", "FASTR_ARGS": "-p no:cacheprovider"}, measurement) == 0
    assert read_outcome(measurement.outcome) == PytestOutcome(1, frozenset({"test_plain.py::test_bad"}))
    assert json.loads(measurement.result.read_text())["tests"] == []


def test_a_run_that_leaves_nothing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    measurement = Measurement(tmp_path / "out")
    assert measure({"FASTR_MODE": "stored", "FASTR_ARGS": "--no-such-option"}, measurement) == 4
    assert read_outcome(measurement.outcome).exit_code == 4


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"exit_code": "0", "failed": []}'])
def test_an_outcome_that_is_not_known_is_no_good_one(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "pytest.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ResultError):
        read_outcome(path)


RED = report_of(Verdict.REGRESSED)
NEW = report_of(Verdict.NEW, "test_new", mode="stored")


@pytest.mark.parametrize(
    ("fail_on", "code", "failed", "words"),
    [
        ("never", 0, set(), ""),
        ("never", 1, {RED.nodeid, NEW.nodeid}, ""),
        ("never", 1, {RED.nodeid, "t.py::test_other"}, "1 test failed for another reason."),
        ("regressed", 1, {RED.nodeid}, "1 test is regressed."),
        ("regressed", 1, {NEW.nodeid}, "1 test without a baseline failed, as `new` of the configuration says."),
        ("never", 2, {RED.nodeid}, "pytest ended with exit code 2"),
        ("never", 1, set(), "pytest failed without a failed test"),
    ],
)
def test_what_the_verdict_does_not_explain_fails_the_build(
    fail_on: FailOn, code: int, failed: set[str], words: str
) -> None:
    told = decide(ResultFile(session_of(RED, NEW)), fail_on, PytestOutcome(code, frozenset(failed)))
    written = decide(ResultFile(session_of(RED, NEW, exit_code=code, failed=tuple(failed))), fail_on)
    assert told == written
    assert told.fails is bool(words)
    assert words in " ".join(told.problems)


def test_what_the_step_knows_counts_more_than_what_the_file_says() -> None:
    result = ResultFile(session_of(report_of(Verdict.EQUIVALENT), exit_code=0))
    assert not decide(result, "regressed").fails
    assert decide(result, "regressed", PytestOutcome(3)).fails


def test_the_report_names_what_failed_besides(step: Step) -> None:
    result = result_file(step.folder / "r.json", report_of(Verdict.EQUIVALENT))
    outcome = step.folder / "pytest.json"
    outcome.write_text(json.dumps({"exit_code": 1, "failed": ["t.py::test_other[@all]"]}))
    assert step.report(result, "--pytest-outcome", str(outcome)) == 1
    assert "* `t.py::test_other[@all]`" in step.summary
    assert step.hub.checks[0]["conclusion"] == "failure"
    outcome.unlink()
    assert step.report(result, "--pytest-outcome", str(outcome)) == 2
    assert "how pytest ended" in step.summary
