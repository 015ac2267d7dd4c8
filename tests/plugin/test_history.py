"""pytest --perf keeps its session, and writes CSV: at the end, and without any harm to the build."""

from __future__ import annotations

import csv
import io
import json

import jsonschema
import pytest

from pytest_fastr.history.store import HistoryStore
from pytest_fastr.report.result_reader import read_result
from pytest_fastr.report.schemas import schema_text
from support.project import Project

BROKEN = "def test_broken(perf):\n    perf.get('/broken')\n"
TESTS = f"""
from pytest_fastr import load

def test_items(perf):
    perf.get('/items')

def test_load(perf_load):
    perf_load(load.get("/a"), users=2, duration="200ms")

{BROKEN}
"""


def history(project: Project) -> HistoryStore:
    return HistoryStore(project.path / ".pytest-fastr/history.db")


def test_a_session_is_kept_and_exported_with_what_failed(project: Project) -> None:
    project.test(TESTS)
    result = project.run("--perf", "--perf-json=result.json", "--perf-csv", "sub/result.csv")
    result.assert_outcomes(passed=2, failed=1)

    (session,) = history(project).read()
    assert session.verdict == "invalid"
    assert [(run.nodeid, run.mode, run.verdict) for run in session.runs] == [
        ("test_perf.py::test_items", "stored", "new"),
        ("test_perf.py::test_broken", "none", "invalid"),
        ("test_perf.py::test_load", "load", "equivalent"),
    ]
    cpu = next(one for one in session.runs[0].metrics if one.name == "cpu")
    assert cpu.log_ratio is not None
    assert (project.path / ".pytest-fastr/.gitignore").read_text() == "*\n"

    rows = list(csv.DictReader(io.StringIO((project.path / "sub/result.csv").read_text())))
    assert rows[0]["log_ratio"] == repr(cpu.log_ratio)
    assert [row["mode"] for row in rows[-2:]] == ["none", "load"]

    path = project.path / "result.json"
    jsonschema.validate(json.loads(path.read_text()), json.loads(schema_text("result")))
    (load,) = json.loads(path.read_text())["loads"]
    jsonschema.validate(load, json.loads(schema_text("load")))
    assert read_result(path).session.tests[0].metrics["cpu"].log_ratio == cpu.log_ratio


def test_a_history_that_cannot_be_kept_is_one_line_and_fails_nothing(project: Project) -> None:
    project.test(BROKEN + "\ndef test_two(): pass\n")
    path = history(project).path
    path.parent.mkdir()
    path.write_bytes(b"damaged " * 1000)
    result = project.run("--perf")
    result.assert_outcomes(passed=1, failed=1)
    (line,) = [line for line in result.outlines if line.startswith("the history")]
    assert line.startswith("the history has not got this session: cannot write the history")
    assert path.read_bytes() == b"damaged " * 1000


@pytest.mark.parametrize(("setting", "args", "kept"), [
    ("true", ["--perf-no-history"], []), ('"kept/perf.db"', [], ["kept/perf.db"]),
])  # fmt: skip
def test_where_it_is_kept_is_the_projects_choice(
    setting: str, args: list[str], kept: list[str], project: Project
) -> None:
    project.test(BROKEN)
    project.configure(f'[tool.pytest-fastr]\napp = "shop:app"\nhistory = {setting}\n')
    project.run("--perf", *args)
    assert [str(one.relative_to(project.path)) for one in project.path.rglob("*.db")] == kept
    assert not history(project).path.parent.exists()


def test_a_file_that_could_not_be_written_is_refused_before_measuring(project: Project) -> None:
    project.test(TESTS)
    for args, words in (
        (["--perf-csv=."], "--perf-csv '.' cannot be written: it is a folder"),
        (["--perf-csv=a", "--perf-report=b/../a"], "--perf-csv and --perf-report name the same file"),
    ):
        result = project.run("--perf", *args)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        assert words in result.stderr.str()
