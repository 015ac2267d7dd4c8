"""pytest --perf: baselines are stored, compared, and turn the build red."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.project import Project

TEST = "def test_items(perf):\n    perf.get('/items')\n"
TWO = TEST + "\n\ndef test_made(perf):\n    perf.get('/made', expect=201)\n"


def baseline_file(path: Path) -> Path:
    files = [file for file in path.glob("baselines/*/*.json") if file.name != "profile.json"]
    assert len(files) == 1
    return files[0]


def test_a_test_without_a_baseline_passes_locally_and_says_so(project: Project) -> None:
    project.test(TEST)
    result, tests = project.results()
    result.assert_outcomes(passed=1)
    assert tests[0]["verdict"] == "new"
    result.stdout.fnmatch_lines(["*test_items*new*"])


def test_a_test_without_a_baseline_fails_in_ci_with_the_command_that_adds_it(project: Project) -> None:
    project.test(TEST)
    project.monkeypatch.setenv("CI", "true")
    result = project.run("--perf")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(['*pytest --perf --perf-update "test_perf.py::test_items"*'])
    project.run("--perf", "--perf-new=pass").assert_outcomes(passed=1)


def test_what_was_stored_is_compared_and_more_work_is_red(project: Project) -> None:
    project.test(TEST)
    stored = project.run("--perf", "--perf-update")
    stored.assert_outcomes(passed=1)
    stored.stdout.fnmatch_lines(["*1 stored as the baseline of *"])
    project.monkeypatch.setenv("SHOP_WORK", "40")
    result, tests = project.results()
    result.assert_outcomes(failed=1)
    assert tests[0]["verdict"] == "regressed"
    assert tests[0]["metrics"]["cpu"]["verdict"] == "regressed"
    assert tests[0]["metrics"]["cpu"]["low"] > 0
    assert tests[0]["confirmed"] is True
    result.stdout.fnmatch_lines(["test_perf.py:2: test_perf.py::test_items: regressed", "*CPU*rose by*"])


def test_less_work_is_an_improvement_and_passes(project: Project) -> None:
    project.test(TEST)
    project.monkeypatch.setenv("SHOP_WORK", "40")
    project.run("--perf", "--perf-update").assert_outcomes(passed=1)
    project.monkeypatch.setenv("SHOP_WORK", "1")
    result, tests = project.results()
    result.assert_outcomes(passed=1)
    assert tests[0]["metrics"]["cpu"]["verdict"] == "improved"


def test_updating_one_node_leaves_the_others_alone(project: Project) -> None:
    project.test(TWO)
    project.run("--perf", "--perf-update").assert_outcomes(passed=2)
    before = json.loads(baseline_file(project.path).read_text())["tests"]
    project.run("--perf", "--perf-update", "test_perf.py::test_made").assert_outcomes(passed=1)
    after = json.loads(baseline_file(project.path).read_text())["tests"]
    assert after["test_perf.py::test_items"] == before["test_perf.py::test_items"]
    assert len(after["test_perf.py::test_made"]["sessions"]) == 2


def test_a_worse_baseline_is_stored_only_with_a_reason_and_begins_an_era(project: Project) -> None:
    project.test(TEST)
    project.run("--perf", "--perf-update").assert_outcomes(passed=1)
    before = baseline_file(project.path).read_bytes()
    project.monkeypatch.setenv("SHOP_WORK", "40")
    refused = project.run("--perf", "--perf-update")
    refused.assert_outcomes(failed=1)
    assert '--perf-reason "..."' in " ".join(refused.stdout.str().split())
    assert baseline_file(project.path).read_bytes() == before

    accepted = project.run("--perf", "--perf-update", "--perf-reason", "sorted results")
    accepted.assert_outcomes(passed=1)
    assert "not seen again" not in accepted.stdout.str()
    stored = json.loads(baseline_file(project.path).read_text())["tests"]["test_perf.py::test_items"]
    assert len(stored["sessions"]) == 1
    (era,) = stored["eras"]
    assert era["reason"] == "sorted results"
    # From here on the new level is the baseline.
    _, tests = project.results()
    assert tests[0]["metrics"]["cpu"]["verdict"] != "regressed"


def test_a_better_baseline_begins_an_era_by_itself(project: Project) -> None:
    project.test(TEST)
    project.monkeypatch.setenv("SHOP_WORK", "40")
    project.run("--perf", "--perf-update").assert_outcomes(passed=1)
    project.monkeypatch.setenv("SHOP_WORK", "1")
    project.run("--perf", "--perf-update").assert_outcomes(passed=1)
    stored = json.loads(baseline_file(project.path).read_text())["tests"]["test_perf.py::test_items"]
    assert len(stored["sessions"]) == 1
    assert stored["eras"][0]["reason"].startswith("better: cpu -")


def test_a_changed_load_is_not_compared(project: Project) -> None:
    project.test(TEST)
    project.run("--perf", "--perf-update").assert_outcomes(passed=1)
    project.test(TEST.replace("def", "import pytest\n\n@pytest.mark.perf(users=7)\ndef"))
    result = project.run("--perf")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*users was 4 and is 7*"])
    project.run("--perf", "--perf-update").assert_outcomes(passed=1)
    project.run("--perf", "--perf-inconclusive=pass")


def test_a_baseline_that_cannot_be_read_fails_before_anything_is_loaded(project: Project) -> None:
    project.test(TEST)
    project.run("--perf", "--perf-update").assert_outcomes(passed=1)
    file = baseline_file(project.path)
    for text in ("", "{", '{"schema_version": 99, "protocol": 2, "tests": {}}', "[]"):
        file.write_text(text)
        result, tests = project.results()
        result.assert_outcomes(failed=1)
        assert tests[0]["verdict"] == "invalid"
        assert tests[0]["requests"] == 0
        assert file.name in tests[0]["validity"][0]["message"]
        assert file.read_text() == text


def test_the_result_file_says_what_was_measured(project: Project) -> None:
    project.test(TEST)
    project.run("--perf", "--perf-update").assert_outcomes(passed=1)
    _, tests = project.results()
    (test,) = tests
    assert test["nodeid"] == "test_perf.py::test_items"
    assert test["requests"] > 0
    assert test["errors"] == {}
    for metric in ("cpu", "throughput"):
        values = test["metrics"][metric]
        assert values["low"] <= values["change"] <= values["high"]
        assert values["limit"] == 0.05
        assert values["baseline"] > 0
        assert values["candidate"] > 0
    document = json.loads((project.path / "result.json").read_text())
    assert document["schema_version"] == 1
    assert document["profile"]["slug"]


def test_a_result_file_that_cannot_be_written_is_an_error(project: Project) -> None:
    # It could be written when the run began.
    project.test("import os\n\n" + TEST + "    os.mkdir('result.json')\n")
    result = project.run("--perf", "--perf-json=result.json")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stdout.fnmatch_lines(["*cannot write the result file*result.json*"])


def test_several_requests_of_one_test_are_judged_apart(project: Project) -> None:
    project.test(
        "def test_both(perf):\n    a = perf.get('/a')\n    b = perf.get('/b', name='second')\n"
        "    assert a.rps > 0 and b.cpu_us_per_request > 0 and a.p(50) > 0 and b.peak_rss_bytes > 0\n"
    )
    result, tests = project.results()
    result.assert_outcomes(passed=1)
    assert [test["nodeid"] for test in tests] == [
        "test_perf.py::test_both",
        "test_perf.py::test_both [second]",
    ]


def test_the_table_fits_a_narrow_terminal(project: Project) -> None:
    project.test(TEST)
    project.monkeypatch.setenv("COLUMNS", "60")
    result = project.run("--perf")
    table = result.outlines[next(i for i, line in enumerate(result.outlines) if " performance " in line) :]
    assert len(table) > 3
    assert all(len(line) <= 60 for line in table)


def test_what_a_failing_test_has_measured_is_not_stored(project: Project) -> None:
    project.test(
        """
        def test_wrong(perf):
            perf.get("/items")
            assert False, "not what was wanted"

        def test_right(perf):
            perf.get("/items")
        """
    )
    result = project.run("--perf", "--perf-update")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["1 stored as the baseline of *"])
    assert list(json.loads(baseline_file(project.path).read_text())["tests"]) == ["test_perf.py::test_right"]


def test_an_absolute_limit_fails_an_update_too(project: Project) -> None:
    project.test('import pytest\n\n@pytest.mark.perf(limit={"p50": "1us"})\n' + TEST)
    result = project.run("--perf", "--perf-update")
    result.assert_outcomes(failed=1)
    assert "p50<1us is broken" in result.stdout.str()
