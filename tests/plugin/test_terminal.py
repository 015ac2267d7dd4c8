"""What pytest's own ways to select, stop, report and distribute tests do to perf tests."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

from support.project import Project

BROKEN_FIRST = """
    def test_a(perf):
        perf.get("/broken")

    def test_b(perf):
        perf.get("/items")
"""


def properties(project: Project) -> dict[str, str]:
    tree = ElementTree.parse(project.path / "junit.xml")
    return {one.attrib["name"]: one.attrib["value"] for one in tree.iter("property")}


def test_junit_properties_tell_what_was_measured(project: Project) -> None:
    project.test(
        """
        def test_items(perf):
            perf.get("/items")
            perf.get("/missing", expect=404)
        """
    )
    result = project.run("--perf", "--junitxml=junit.xml")
    assert result.ret == 0
    told = properties(project)
    assert told["perf.verdict"] == told["perf[GET /missing].verdict"] == "new"
    assert float(told["perf.rps"]) > 0
    assert float(told["perf.cpu.limit"]) == 0.05
    assert told["perf.profile"] == told["perf[GET /missing].profile"]
    assert "perf.cpu.change" not in told


def test_junit_properties_tell_why_nothing_was_measured(project: Project) -> None:
    project.test(BROKEN_FIRST)
    result = project.run("--perf", "--junitxml=junit.xml", "-k", "test_a")
    assert result.ret == 1
    told = properties(project)
    assert told["perf.verdict"] == "invalid"
    assert "500" in told["perf.void.failed"]


def test_the_first_failure_ends_the_run_and_what_was_measured_is_written(project: Project) -> None:
    project.test(BROKEN_FIRST)
    run = project.pytester.runpytest_subprocess
    result = run("--perf", "-x", "--perf-json=result.json")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    tests = json.loads((project.path / "result.json").read_text())["tests"]
    assert [(one["nodeid"], one["verdict"]) for one in tests] == [("test_perf.py::test_a", "invalid")]
    again = run("--perf", "--lf", "--collect-only", "-q")
    again.stdout.fnmatch_lines(["test_perf.py::test_a"])
    again.stdout.no_fnmatch_line("*test_b*")


def test_workers_of_xdist_are_refused_where_something_is_measured(project: Project) -> None:
    project.test(BROKEN_FIRST)
    result = project.run("--perf", "-n", "2")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--perf measures one thing at a time*-n0*"])


def test_workers_of_xdist_ask_once_where_nothing_is_measured(project: Project) -> None:
    project.test(
        """
        def test_items(perf):
            assert perf.get("/items").status == 200

        def test_number(perf):
            assert perf.get("/items").rps > 0
        """
    )
    result = project.run("-n", "2")
    result.assert_outcomes(passed=1, skipped=1)


def test_a_terminal_is_shown_where_the_measurement_stands(project: Project) -> None:
    project.test('def test_items(perf):\n    perf.get("/items")\n')
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "pytest", "--perf", "-p", "no:cacheprovider"]
    running = subprocess.Popen(command, cwd=project.path, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    written = b""
    try:
        while chunk := os.read(ours, 65536):
            written += chunk
    except OSError:
        pass  # Linux: the last one who could write has closed it
    finally:
        os.close(ours)
    assert running.wait() == 0
    lines = re.split(r"[\r\n]", written.decode())
    for words in (r"1/3 warm-up baseline", r"2/3 both in turn .*\d+ %.* rps", r"3/3 .* \d+ s left"):
        assert any(re.search(f"test_it.*{words}", line) for line in lines), lines
