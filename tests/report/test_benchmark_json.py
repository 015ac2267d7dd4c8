"""pytest-benchmark's JSON: its own numbers of the same times, and its own command reads what is written."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.stats import Stats

from pytest_fastr.errors import ReportError
from pytest_fastr.gate.evidence import Curve, Evidence, Rounds
from pytest_fastr.gate.model import MetricResult, SessionReport, TestReport, Verdict
from pytest_fastr.gate.profile import detect
from pytest_fastr.report.benchmark_json import benchmark_file, stats_of

CHANCE = random.Random(3)
COMMIT: Mapping[str, object] = {"id": "3f2a9c1", "time": None}


def evidence(rounds: Rounds) -> Evidence:
    return Evidence("a", "b", (), (Curve(0, ()), Curve(0, ())), rounds)


MEASURED = TestReport(
    nodeid="tests/test_shop.py::TestItems::test_list[10-blue]",
    path="tests/test_shop.py",
    line=3,
    verdict=Verdict.REGRESSED,
    requests=500,
    rps=1200.0,
    cpu_us_per_request=210.0,
    metrics={"cpu": MetricResult("cpu", "us/request", "lower", change=0.3, verdict=Verdict.REGRESSED)},
    evidence=evidence(Rounds(((0.001, 3), (0.002, 1)))),
    against="main",
    mode="paired",
)


def session(*tests: TestReport) -> SessionReport:
    return SessionReport(detect("0"), tests, "2026-01-31T09:30:00+00:00", 1.0)


def document(*tests: TestReport) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(benchmark_file(session(*tests), {"node": "here"}, COMMIT).text)
    return read


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 50, 400])
def test_the_numbers_are_pytest_benchmarks(count: int) -> None:
    drawn = sorted(CHANCE.choice((0.5, 1.0, 1.5, 9.0)) * CHANCE.lognormvariate(0.0, 0.3) / 1000 for _ in range(count))
    theirs: Any = Stats()  # type: ignore[no-untyped-call]
    for seconds in drawn:
        theirs.update(seconds)
    ours = stats_of(Rounds(tuple((seconds, 1) for seconds in drawn), calls=7))
    assert ours.pop("iterations") == 7
    expected = theirs.as_dict()
    assert ours.keys() == expected.keys()
    # Theirs has three ways of reckoning quartiles, which agree for multiples of four; what follows from them too.
    hang_on_quartiles = {"q1", "q3", "iqr", "iqr_outliers", "outliers", "ld15iqr", "hd15iqr"} if count % 4 else set()
    for name in ours.keys() - hang_on_quartiles:
        same = ours[name] == expected[name] if name == "outliers" else ours[name] == pytest.approx(expected[name])
        assert same, name
    assert expected["min"] <= ours["q1"] <= ours["median"] <= ours["q3"] <= expected["max"]  # type: ignore[operator]


def test_equal_times_count_as_often_as_they_were_seen() -> None:
    once = stats_of(Rounds(((1.0, 1), (1.0, 1), (1.0, 1), (3.0, 1))))
    assert stats_of(Rounds(((1.0, 3), (3.0, 1)))) == once


def test_an_entry_has_the_names_of_the_node_and_what_came_of_every_comparison() -> None:
    again = replace(MEASURED, mode="stored", against="the stored baseline", verdict=Verdict.NEW, metrics={})
    read = document(MEASURED, again)
    assert read.keys() == {"machine_info", "commit_info", "benchmarks", "datetime", "version"}
    (entry,) = read["benchmarks"]
    assert (entry["fullname"], entry["name"], entry["param"]) == (MEASURED.nodeid, "test_list[10-blue]", "10-blue")
    assert entry["stats"]["median"] == 0.001
    assert entry["extra_info"] == {
        "cpu_us_per_request": 210.0,
        "requests": 500,
        "rps": 1200.0,
        "comparisons": [
            {"with": "main", "mode": "paired", "verdict": "regressed", "change": {"cpu": 0.3}},
            {"with": "the stored baseline", "mode": "stored", "verdict": "new", "change": {}},
        ],
    }


@pytest.mark.parametrize(
    ("nodeid", "name", "param"),
    [
        ("a.py::test_x", "test_x", None),
        ("a.py::test_x [GET /items]", "test_x [GET /items]", None),
        ("a.py::test_x[a::b[0]]", "test_x[a::b[0]]", "a::b[0]"),
        ("a.py::test_x[1] [benchmark]", "test_x[1] [benchmark]", "1"),
        ("nothing", "nothing", None),
    ],
)
def test_names_are_the_nodes(nodeid: str, name: str, param: str | None) -> None:
    (entry,) = document(replace(MEASURED, nodeid=nodeid))["benchmarks"]
    assert (entry["name"], entry["param"]) == (name, param)


def test_what_has_no_times_is_left_out_and_named() -> None:
    failed = replace(MEASURED, nodeid="a.py::test_failed", evidence=None)
    empty = replace(MEASURED, nodeid="a.py::test_empty", evidence=evidence(Rounds(())))
    file = benchmark_file(session(failed, MEASURED, empty), {}, COMMIT)
    assert file.left_out == ("a.py::test_failed", "a.py::test_empty")
    assert [one["fullname"] for one in json.loads(file.text)["benchmarks"]] == [MEASURED.nodeid]


def test_information_of_hooks_that_json_cannot_hold_is_refused_in_words() -> None:
    with pytest.raises(ReportError, match="pytest_benchmark_update_"):
        benchmark_file(session(MEASURED), {"mine": object()}, COMMIT)


def test_hostile_names_stay_text() -> None:
    nasty = "a.py::test_\x1b[31m</script>\udc80"
    assert document(replace(MEASURED, nodeid=nasty))["benchmarks"][0]["fullname"] == nasty


def test_pytest_benchmarks_own_command_compares_the_files(tmp_path: Path) -> None:
    """What github-action-benchmark takes (fullname, ops, stddev, mean, rounds) and Bencher's python_pytest (fullname,
    mean, stddev, median, iqr, as numbers; machine_info, commit_info) is in it too."""
    fast, slow = tmp_path / "fast.json", tmp_path / "slow.json"
    fast.write_text(benchmark_file(session(MEASURED), {}, COMMIT).text)
    slower = replace(MEASURED, evidence=evidence(Rounds(((0.002, 3), (0.004, 1)))))
    slow.write_text(benchmark_file(session(slower), {}, COMMIT).text)
    done = subprocess.run(
        [sys.executable, "-m", "pytest_benchmark", "compare", fast.name, slow.name, "--columns=median,ops,rounds"],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert "test_list[10-blue] (fast)" in done.stdout
    assert "test_list[10-blue] (slow)" in done.stdout
    assert "2.0000 (2.00)" in done.stdout
    read = json.loads(fast.read_text())
    stats = read["benchmarks"][0]["stats"]
    assert {type(stats[name]) for name in ("mean", "stddev", "median", "iqr", "ops")} == {float}
    assert isinstance(read["machine_info"], dict)
    assert isinstance(read["commit_info"], dict)
