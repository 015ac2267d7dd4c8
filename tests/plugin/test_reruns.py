"""Tests that a plugin runs again until they pass."""

from __future__ import annotations

from xml.etree import ElementTree

from support.project import Project

# What pytest-rerunfailures does, in short.
RERUNS = """
import pytest
from _pytest.runner import runtestprotocol

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    for run in range(3):
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        again = run < 2 and any(report.failed for report in reports)
        if again:
            item._initrequest()
        for report in reports:
            if again and report.failed:
                report.outcome = "rerun"
            item.ihook.pytest_runtest_logreport(report=report)
        if not again:
            return True
"""

TESTS = """
import itertools
import pytest

runs = itertools.count()

def test_items(perf):
    perf.get("/items")
    perf.get("/items", name="again")
    assert next(runs) == 1, "not yet"

@pytest.mark.perf(limit={"p99": "1us"})
def test_red(perf):
    perf.get("/items")
"""


def test_the_last_run_of_a_test_counts_and_says_what_was_before(project: Project) -> None:
    project.pytester.makeconftest(RERUNS)
    project.test(TESTS)
    result, tests = project.results("--junitxml=junit.xml")
    result.assert_outcomes(passed=1, failed=1)
    ids = [one["nodeid"] for one in tests]
    assert [one.rpartition("::")[2] for one in ids] == ["test_items", "test_items [again]", "test_red"]
    notes = [[note["message"] for note in one["validity"] if note["code"] == "rerun"] for one in tests]
    assert [len(one) for one in notes] == [1, 1, 1]
    assert "before that it was regressed" in notes[2][0]
    # Once in what failed.
    assert str(result.stdout).count("p99<1us is broken") == 1
    cases = ElementTree.parse(project.pytester.path / "junit.xml").iter("testcase")
    for case in cases:
        names = [one.attrib["name"] for one in case.iter("property")]
        assert len(names) == len(set(names)), case.attrib["name"]
