"""Results as CSV: every row can be read back, and no spreadsheet calculates any of it."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest

from pytest_fastr.gate.model import AbsoluteResult, TestReport, ValidityNote, Verdict
from pytest_fastr.report.csv_text import COLUMNS, to_csv
from pytest_fastr.report.load_reader import LoadLimit, LoadRun
from support.results import report_of


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_a_row_for_each_test_and_metric() -> None:
    first = report_of(Verdict.REGRESSED, peak_rss_bytes=4096)
    metrics = {**first.metrics, "p99": replace(first.metrics["cpu"], name="p99", unit="us", candidate=None)}
    broken = AbsoluteResult("p99<50ms", "p99", 71_000.0, Verdict.REGRESSED)
    text = to_csv([replace(first, metrics=metrics, absolute=(broken,)), report_of(Verdict.NEW, "test_b", metrics={})])
    assert text.endswith("\r\n")
    assert text.split("\r\n")[0] == ",".join(COLUMNS)
    cpu, p99, absolute, other = rows(text)
    assert (cpu["metric"], cpu["change"], cpu["candidate"], cpu["verdict"]) == ("cpu", "0.25", "200.0", "regressed")
    assert (p99["metric"], p99["candidate"]) == ("p99", "")
    assert (absolute["metric"], absolute["unit"], absolute["metric_verdict"]) == ("p99<50ms", "us", "regressed")
    assert (other["nodeid"], other["metric"]) == ("tests/perf/test_shop.py::test_b", "")


def test_load_runs_have_a_row_for_each_limit() -> None:
    run = LoadRun("t::load", 10, 5.0, 1.0, None, (LoadLimit("p99<1ms", None), LoadLimit("rps>1", True, 5.0)), ())
    unknown, kept = rows(to_csv([run]))
    assert (unknown["mode"], unknown["metric_verdict"], unknown["p99_us"]) == ("load", "inconclusive", "")
    assert (kept["metric"], kept["candidate"], kept["metric_verdict"]) == ("rps>1", "5.0", "equivalent")


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t=", "\r=", " =", "\uff1d", "\n@"])
def test_text_that_a_spreadsheet_would_calculate_is_text(begin: str) -> None:
    hostile = f'{begin}cmd|"/c calc"!A1,\n2'
    note = ValidityNote("warn", "code", hostile)
    test = TestReport(hostile, "a.py", 1, Verdict.NEW, validity=(note,), against=hostile)
    (row,) = rows(to_csv([test]))
    for cell in row.values():
        assert not cell.lstrip().startswith(("=", "+", "-", "@", "\uff1d"))
        assert not set(cell) & set("\r\n\t\0")


def test_a_negative_number_stays_a_number() -> None:
    test = report_of(Verdict.IMPROVED)
    metric = replace(test.metrics["cpu"], change=-0.25, low=float("nan"))
    (row,) = rows(to_csv([replace(test, metrics={"cpu": metric})]))
    assert (row["change"], row["low"]) == ("-0.25", "")
