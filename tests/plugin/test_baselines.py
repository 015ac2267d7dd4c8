"""What `pytest-fastr baseline update` stores, the gate reads; a runner of another kind gates by pairs."""

from __future__ import annotations

import subprocess
import sys

from pytest_fastr.gate.profile import detect
from support.project import Project


def test_a_machine_of_another_kind_gates_by_pairs_and_says_that_nothing_stored_was_compared(project: Project) -> None:
    project.test("def test_items(perf):\n    perf.get('/items')\n")
    project.make_repository()
    command = [
        sys.executable,
        "-m",
        "pytest_fastr.cli",
        "baseline",
        "update",
        "--sessions",
        "1",
        "-q",
        "--perf-epochs=1",
    ]
    done = subprocess.run(command, cwd=project.path, capture_output=True, text=True, check=True)
    assert "1 of 1 session complete\n" in done.stdout
    assert f"stored in {project.path / 'baselines'}: 1 result of 1 test\n" in done.stdout
    assert "test_perf.py::test_items: added, 1 session\n" in done.stdout

    slug = detect("").slug
    other = "intel-xeon-64c-x86_64-linux-cpython3.11-0a1b2c3d"
    (project.path / "baselines" / slug).rename(project.path / "baselines" / other)
    project.monkeypatch.setenv("CI", "true")
    result, tests = project.results("--perf-against", "HEAD", "--perf-mode", "both", "--perf-epochs=1")
    result.assert_outcomes(passed=1)
    assert [test["mode"] for test in tests] == ["paired"]
    text = " ".join(result.stdout.str().split())
    assert f"no baseline is stored for this hardware ({slug}), only for {other}: nothing stored was compared" in text
