"""pytest-fastr compare and export: what they say of files, good and bad."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from pytest_fastr.cli import main
from pytest_fastr.errors import ResultError
from pytest_fastr.gate.model import TestReport, Verdict
from pytest_fastr.gate.two_runs import compare_runs
from pytest_fastr.report import load_json
from pytest_fastr.report.compare_text import compare_json, compare_text
from pytest_fastr.report.csv_text import to_csv
from pytest_fastr.report.k6 import to_k6
from pytest_fastr.report.load_reader import LoadRun
from pytest_fastr.report.result_reader import ResultFile, parse_result
from pytest_fastr.report.summary_text import summary_text
from support.reports import load_report
from support.results import PROFILE, report_of, result_file, tampered

LOAD_RUN = {
    "nodeid": "t.py::test_load",
    "requests": 10,
    "rps": 5.0,
    "response_time_us": {"p50": 1.0, "p99": None},
    "limits": [{"limit": "p99<1ms", "kept": False, "value": 2, "bound": 1}],
    "validity": [],
}


def stored(log_ratio: float, name: str = "test_items") -> TestReport:
    test = report_of(Verdict.NEW, name, mode="stored", load={"users": 20, "request": "GET /a"})
    metric = replace(test.metrics["cpu"], log_ratio=log_ratio, log_ratio_se=0.004)
    return replace(test, metrics={"cpu": metric})


def test_the_exit_code_says_whether_something_is_worse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = str(result_file(tmp_path / "a.json", stored(0.0), stored(0.0, "test_old")))
    b = str(result_file(tmp_path / "b.json", stored(0.5), stored(0.0, "test_\x1b[31mnew")))
    assert main(["compare", a, b]) == 1
    out = capsys.readouterr().out
    assert "cpu         +64.9 %" in out
    assert "worse: tests/perf/test_shop.py::test_items (cpu)" in out
    assert "only in A: tests/perf/test_shop.py::test_old (stored)" in out
    assert "\x1b" not in out
    assert main(["compare", b, a]) == 0
    assert main(["compare", a, b, "--limit", "80%"]) == 0
    capsys.readouterr()
    assert main(["compare", a, b, "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["worse"] == ["tests/perf/test_shop.py::test_items"]
    assert document["tests"][0]["differences"][0]["verdict"] == "regressed"


def test_what_cannot_be_compared_is_shown_and_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = str(result_file(tmp_path / "a.json", stored(0.0)))
    key = replace(PROFILE.key, cores=64)
    other = str(result_file(tmp_path / "b.json", stored(0.5), profile=replace(PROFILE, key=key)))
    assert main(["compare", a, other]) == 2
    out, err = capsys.readouterr()
    assert "indicative only: the hardware profiles differ (cores)" in out
    assert "nothing could be judged" in err
    elsewhere = str(result_file(tmp_path / "c.json", stored(0.5, "test_c")))
    assert main(["compare", a, elsewhere]) == 2
    assert "have no test in common" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["compare", "a.json", "gone.json"], "there is no result file gone.json"),
        (["compare", "a.json", "empty.json"], "is empty"),
        (["compare", "a.json", "a.json", "--limit", "5"], "--limit is '5'; it must be a change above zero"),
        (["compare", "a.json", "a.json", "--limit", "200%"], "below 100 %"),
        (["export", "gone.json", "--csv"], "there is no result file"),
        (["export", "none.json", "--csv"], "nothing to export"),
        (["export", "a.json", "--csv", "--output", "./a.json"], "is the result file itself"),
        (["export", "a.json", "--csv", "--test", "tset"], "is what --test and --mode ask for; it has"),
        (["export", "a.json", "--k6"], "a k6 summary is of one run, and a.json has 2: choose by --test or --mode"),
        (["export", "a.json", "--csv", "--mode", "load"], "it has tests/perf/test_shop.py::test_items (stored)"),
        (["export", "version.json", "--summary"], "has schema version 2, and this pytest-fastr reads 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_has_its_words(
    args: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    result_file(Path("a.json"), stored(0.0), stored(0.0, "test_b"))
    result_file(Path("none.json"))
    tampered(result_file(Path("version.json"), stored(0.0)), schema_version=2)
    Path("empty.json").touch()
    assert main(args) == 2
    assert words in capsys.readouterr().err


def test_a_result_is_exported_and_its_load_runs_with_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tampered(result_file(tmp_path / "a.json", stored(0.0)), loads=[LOAD_RUN])
    assert main(["export", str(path), "--csv"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert main(["export", str(path), "--k6", "--mode", "load"]) == 0
    assert json.loads(capsys.readouterr().out)["pytest-fastr"]["verdict"] == "regressed"
    assert main(["export", str(path), "--summary", "--output", str(tmp_path / "sub/out.txt")]) == 0
    text = (tmp_path / "sub/out.txt").read_text()
    assert "test_items" in text
    assert "test_load" in text
    assert main(["export", str(path), "--csv", "--output", str(tmp_path)]) != 0


def test_the_result_of_a_load_command_is_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "load.json"
    path.write_text(load_json.to_json(load_report(users=20)))
    assert main(["export", str(path), "--k6"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["vus_max"]["values"] == {"value": 20}
    path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 9'))
    assert main(["export", str(path), "--k6"]) == 2
    assert "schema version 9" in capsys.readouterr().err


def test_a_comparison_fits_eighty_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    huge = replace(stored(0.0).metrics["cpu"], candidate=1e290, log_ratio=40.0)
    a = tampered(result_file(tmp_path / "a.json", stored(-40.0), stored(0.0, "x" * 200)), loads=[LOAD_RUN])
    b = result_file(tmp_path / "b.json", replace(stored(0.0), metrics={"cpu": huge}), stored(0.0, "x" * 200))
    main(["compare", str(a), str(tampered(b, loads=[LOAD_RUN]))])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 8
    assert max(map(cell_len, lines)) <= 80


def spoiled(chance: random.Random, document: Any) -> ResultFile | None:
    """The document with some members that are something else; None where it is refused."""
    values: list[Any] = [None, 0, -5, 1e299, -1e299, 1e-299, 5e-324, True, "\x1b[1m=\ud800", [], {}]
    for _ in range(chance.choice([0, 1, 2, 3])):
        run = chance.choice([*document["tests"], *document["loads"]])
        metrics = run["metrics"].values() if isinstance(run.get("metrics"), dict) else ()
        inner = chance.choice([one for one in (run, run.get("load"), *metrics) if isinstance(one, dict) and one])
        inner[chance.choice(list(inner))] = chance.choice(values)
    try:
        return parse_result(json.dumps(document).encode(), "r.json")
    except ResultError:
        return None


def test_whatever_a_file_holds_it_is_compared_and_exported_or_refused(tmp_path: Path) -> None:
    chance, read = random.Random(4), 0
    load = {**LOAD_RUN, "duration_s": 1.0, "errors": 1, "users": 5, "bytes_received": 7, "flows": []}
    path = result_file(tmp_path / "a.json", stored(0.0), report_of(Verdict.REGRESSED, "b"))
    text = tampered(path, loads=[load]).read_text()
    for _ in range(600):
        a, b = (spoiled(chance, json.loads(text)) for _ in range(2))
        if a is None or b is None:
            continue
        read += 1
        runs, loads = compare_runs(a.session, b.session), list(zip(a.loads, b.loads, strict=True))
        assert max(map(cell_len, compare_text(runs, loads, 80).splitlines())) <= 80
        json.loads(compare_json(runs, loads))
        exported: list[TestReport | LoadRun] = [*b.session.tests, *b.loads]
        assert to_csv(exported).count("\r\n") == len(to_csv(exported).splitlines())
        for one in exported:
            json.loads(to_k6(one))
            assert max(map(cell_len, summary_text(one, 80).splitlines())) <= 80
    assert read > 100
