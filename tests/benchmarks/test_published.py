"""The published tables: from records to values, from values to the page; and one short round of a real row."""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from measuring.asks import Ask, Workload
from measuring.environments import Environments, Missing
from measuring.generators import Span, read_oha
from measuring.processes import Cores
from measuring.ratios import Ratio
from measuring.records import append, read
from measuring.rounds import Plan, Setting, generators, git, measure
from measuring.rows import Place, Server, Start
from published import __main__ as command
from published import database, frameworks
from published.page import section, write_page
from published.places import APPS, REPOSITORY
from published.plots import LEFT, Line, bars, spans, stacked
from published.postgres import cluster, programs
from published.sources import Stale, check_records
from published.summary import summarised, write_summary
from published.table import Summary, judged
from pytest_fastr.errors import ReportError
from pytest_fastr.gate.profile import detect

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks need Linux (affinity, /proc)")

RUN = {
    "kind": "run", "run": "r", "kernel": "6.1", "python": "3.11.7", "build": "b", "commit": "c" * 40, "wrk": "wrk 4.1",
    "oha": "", "warm_up": 1.0, "machine": "m",
    "profile": {"key": {"cpu_model": "A CPU", "cores": 2}, "recorded": {"memory_bytes": 2**34, "virtualisation": "no"}},
}  # fmt: skip
BOLD_LETTER = 7.8
"""How wide one is on average, in units of a plot (a browser's sans-serif, measured)."""
HOSTILE = "pip: `x` | <script>alert(1)</script>\n\x1b[31m# red"


def measurement(server: str, number: int, rps: float, workload: str = "hello", **others: Any) -> dict[str, Any]:
    """A record of a round."""
    return {
        "kind": "measurement", "run": "r", "server": server, "workload": workload, "round": number, "generator": "own",
        "placement": "1", "seconds": 5.0, "time": f"2026-01-01T00:00:0{number}+00:00", "rps": rps,
        "requests": int(rps * 5), "errors": 0, "cpu_us": 1e6 / rps, "mean_us": 20e6 / rps, "p50_us": 19e6 / rps,
        "p95_us": 30e6 / rps, "p99_us": 40e6 / rps, "peak_rss_bytes": 50 * 2**20, "utilisation": 0.2, **others,
    }  # fmt: skip


def summary(*records: dict[str, Any], table: Any = frameworks.TABLE) -> Summary:
    return summarised(table, [RUN, *records], 5.0, "1")


def row_of(found: Summary, server: str) -> Summary:
    return next(row for row in found["workloads"][0]["rows"] if row["server"] == server)


def test_a_ratio_is_taken_within_rounds_and_only_of_those_that_both_have() -> None:
    rates = [(0, 1000.0, 100.0), (1, 3000.0, 300.0), (2, 2000.0, 100.0)]
    records = [measurement("ours-face", number, mine) for number, mine, _ in rates]
    records += [measurement("gunicorn-1", number, other) for number, _, other in rates]
    records += [measurement("ours-face", 3, 9e9)]
    row = row_of(summary(*records), "ours-face")
    assert row["of_base"]["median"] == pytest.approx(10.0)
    assert row["of_base"]["high"] == pytest.approx(18.0)
    assert row["rps"]["median"] == pytest.approx(2500.0)
    assert row["rounds"] == 4


def test_rounds_of_another_length_or_place_are_not_mixed_in() -> None:
    found = summary(
        measurement("robyn", 0, 100.0), measurement("robyn", 1, 900.0, seconds=1.0),
        measurement("robyn", 2, 900.0, placement="2"),
    )  # fmt: skip
    assert row_of(found, "robyn")["rps"] == {"median": 100.0, "low": 100.0, "high": 100.0}


def test_a_round_with_a_wrong_answer_has_no_number_and_its_reason_and_errors_are_shown() -> None:
    found = summary(
        measurement("robyn", 0, 100.0, errors=7), measurement("robyn", 1, 900.0, wrong="GET /: another answer"),
    )  # fmt: skip
    assert row_of(found, "robyn")["rps"]["median"] == 100.0
    text, _ = section(frameworks.TABLE, found)
    assert re.search(r"\| robyn \| 100 \|.* \| 7; `GET /: another answer` \|", text)


def test_the_goal_is_judged_by_the_best_of_our_rows() -> None:
    found = summary(
        measurement("ours-face", 0, 900.0), measurement("ours-native", 0, 1200.0), measurement("gunicorn-1", 0, 100.0),
    )  # fmt: skip
    goal = found["goals"][0]
    assert (goal["ours"], goal["judged"]) == ("ours-native", "met")
    assert goal["ratio"]["median"] == pytest.approx(12.0)
    assert {other["judged"] for other in found["goals"][1:]} == {"not measured"}


@pytest.mark.parametrize(
    ("ratio", "word"),
    [
        (Ratio(11.0, 10.0, 12.0, 6), "met"),
        (Ratio(11.0, 9.9, 12.0, 6), "met by the median only"),
        (Ratio(9.9, 9.0, 12.0, 6), "missed"),
        (None, "not measured"),
    ],
)
def test_what_only_the_median_reaches_is_said_to_be_that(ratio: Ratio | None, word: str) -> None:
    assert judged(ratio, 10.0) == word


def test_a_peer_that_cannot_be_had_is_a_row_with_the_reason_and_none_of_its_markup() -> None:
    absent = {"kind": "absent", "server": "robyn", "routes": "plain", "reason": HOSTILE}
    text, plots = section(frameworks.TABLE, summary(measurement("gunicorn-1", 0, 100.0), absent))
    line = next(line for line in text.splitlines() if line.startswith("| robyn |"))
    assert "\x1b" not in text
    assert line.count("|") - line.count("\\|") == text.splitlines()[text.splitlines().index(line) - 1].count("|")
    assert "alert(1)" in line
    assert re.search(r"``.*<script>.*``", line)
    assert any("not measured" in image for image in plots.values())


def test_every_plot_of_the_page_is_written_and_is_an_image(tmp_path: Path) -> None:
    found = summary(measurement("gunicorn-1", 0, 100.0), measurement("ours-face", 0, 20000.0))
    write_summary(found, tmp_path)
    closed = {"service_p50_us": 5000.0, "service_p99_us": 9000.0, "others_us": 150.0}
    records = [
        measurement(server, number, rps, load, **closed, **({"scheduled": 50_000} if load == "rate" else {}))
        for server, rps in (("ours-face", 4000.0), ("sync", 500.0), ("axum", 6000.0))
        for load in ("close", "keep", "rate")
        for number in (0, 1)
    ]
    names = ("select_1", "page", "pool", "dicts", "json", "page_uvloop", "page_small")
    steps = {"kind": "where", **{f"{name}_us": 10.0 * place for place, name in enumerate(names, 1)}}
    write_summary(summary(*records, steps, table=database.TABLE), tmp_path)
    page = tmp_path / "docs" / "benchmarks.md"
    write_page(tmp_path, page)
    text = page.read_text()
    images = re.findall(r"\]\((images/[^)]+)\)", text)
    assert len(images) == len(set(images)) == 9
    for image in images:
        assert ElementTree.parse(page.parent / image).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    assert "| FastrAPI half of Axum (kept) | 0.67 | met |" in text
    assert "| **pytest-fastr, FastrAPI + asyncpg** | 40% | 4,000 |" in text
    assert "| the rest: HTTP, the engine, the handler | 130 us |" in text
    assert "| all of it, under load | 250 us |" in text


def test_without_results_the_page_says_how_to_get_them(tmp_path: Path) -> None:
    write_page(tmp_path, tmp_path / "page.md")
    text = (tmp_path / "page.md").read_text()
    assert "make bench-frameworks" in text
    assert text.count("Not measured yet") == 2


@pytest.mark.parametrize(
    "content", ["", "[]", '{"schema": 99}', '{"schema": 1, "table": "frameworks"}', '{"schema": 1', "\xff"]
)
def test_damaged_results_are_named_and_leave_the_page_as_it_was(tmp_path: Path, content: str) -> None:
    page = tmp_path / "page.md"
    page.write_text("before")
    (tmp_path / "frameworks.json").write_text(content, encoding="latin-1")
    with pytest.raises(ReportError, match=r"frameworks\.json is damaged .* remove it, and measure again"):
        write_page(tmp_path, page)
    assert page.read_text() == "before"


def test_plots_have_room_for_their_values_and_say_what_was_not_measured() -> None:
    lines = [Line("a & b", (120.0, 30.0), True, (100.0, 140.0), "120"), Line("c", (), False)]
    for image in (bars("t", lines, "u"), stacked("t", lines, ("x", "y"), "u"), spans("t", lines, ("x", "y"), "u")):
        root = ElementTree.fromstring(image)
        places = [float(part.get("x", 0)) + float(part.get("width", 0)) for part in root]
        assert max(places) <= float(root.get("width", 0))
        assert "a & b" in "".join(root.itertext())
        assert "not measured" in "".join(root.itertext())
    assert ElementTree.fromstring(bars("t", [Line("c", (), False)], "u")) is not None


def test_every_row_s_name_has_room_in_a_plot() -> None:
    longest = max(len(server.title) for table in (frameworks.TABLE, database.TABLE) for server in table.servers)
    assert longest * BOLD_LETTER <= LEFT


def test_oha_is_read_and_requests_that_its_end_cuts_off_are_no_errors() -> None:
    told = {
        "summary": {"total": 2.0, "average": 0.001},
        "latencyPercentiles": {"p50": 0.0009, "p95": 0.002, "p99": None},
        "statusCodeDistribution": {"200": 900, "500": 3},
        "errorDistribution": {"aborted due to deadline": 10, "connection refused": 2},
    }
    load = read_oha(f"warning\n{json.dumps(told)}", 1.0)
    assert (load.requests, load.errors, load.utilisation) == (900, 5, 0.5)
    assert (load.mean_us, load.p50_us, load.p99_us) == (1000.0, 900.0, None)


def test_only_our_generator_offers_a_rate_and_others_check_the_first_rounds() -> None:
    closed = Workload("w", "", Ask("/", None))
    plan = Plan([], [], ["own", "wrk"], 6, Span(1.0, 0.0), 1, Cores(None, None, ""), checked_rounds=2)
    assert [generators(plan, closed, number) for number in (1, 2)] == [["own", "wrk"], ["own"]]
    assert generators(plan, replace(closed, rate=10.0), 0) == ["own"]


def test_records_of_other_code_are_not_gone_on_with(tmp_path: Path) -> None:
    records = tmp_path / "records.jsonl"
    append(records, {**RUN, "sources": "other"})
    check_records(records)
    append(records, measurement("robyn", 0, 1.0))
    with pytest.raises(Stale, match=r"remove the file to measure anew, or name another one with --records"):
        check_records(records)


def test_what_is_no_record_is_passed_over_and_what_lacks_its_values_is_named(tmp_path: Path) -> None:
    records = tmp_path / "records.jsonl"
    records.write_text('3\nnull\n["kind"]\n{"a": 1}\n{"kind": "measure')
    assert read(records) == []
    append(records, {"kind": "where"})
    assert read(records) == [{"kind": "where"}]
    with pytest.raises(command.Refused, match=r"records\.jsonl is damaged .*: remove it, and measure again"):
        command.read_values(frameworks.TABLE, [{"kind": "measurement"}], 5.0, "1", records)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["frameworks", "--only", "robin"], "--only robin: there are ours-face, "),
        (["database", "--workloads", "kept"], "--workloads kept: there are close, keep, rate"),
        (["frameworks", "--server-cores", "4096"], " may be used here, and 4096 are needed"),
    ],
)
def test_a_name_that_is_none_is_answered_with_those_that_are(
    argv: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main([*argv, "--records", str(tmp_path / "none.jsonl")]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--seconds=0", "--seconds=nan", "--rounds=0", "--rounds=x", "--warm-up=-1"])
def test_amounts_that_are_none_are_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(["frameworks", option])
    assert "must be a" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--only=", "--only=,", "--workloads="])
def test_no_name_at_all_is_refused_and_not_taken_for_every_one(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(["frameworks", option])
    assert "must be names" in capsys.readouterr().err


def test_what_git_says_where_it_refuses_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "none"))
    assert git("rev-parse", "HEAD") == ""


@pytest.mark.parametrize(("name", "words"), [("warm_up", "another --warm-up"), ("database", "another database")])
def test_records_of_another_warm_up_or_database_are_not_gone_on_with(
    name: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("published.sources.sources_hash", lambda: "s")
    run = {
        "kind": "run", "run": "r", "machine": detect(version("pytest-fastr")).slug, "kernel": platform.release(),
        "sources": "s", "warm_up": 1.0, "database": "PostgreSQL 15",
    }  # fmt: skip
    for record in (run, measurement("sync", 0, 100.0)):
        append(tmp_path / "records.jsonl", record)
    check_records(tmp_path / "records.jsonl", **{name: run[name]})
    with pytest.raises(Stale, match=words):
        check_records(tmp_path / "records.jsonl", **{name: "other"})


def test_a_round_measures_ours_and_leaves_a_row_for_what_cannot_be_had(tmp_path: Path) -> None:
    def missing(environments: Environments, place: Place) -> Start:
        raise Missing("it is nowhere to be had")

    ours = next(server for server in frameworks.SERVERS if server.name == "ours-native")
    other = Server("robyn", "robyn", ours.kinds, missing)
    records = tmp_path / "records.jsonl"
    plan = Plan([ours, other], list(frameworks.TABLE.workloads), ["own"], 1, Span(0.2, 0.0), 1, Cores(None, None, "1"))
    setting = Setting(records, tmp_path / "cache", APPS, start_s=60.0)
    assert measure(plan, setting, {})
    before = records.read_text()
    assert measure(plan, setting, {})
    again = [record["kind"] for record in read(records)[len(before.splitlines()) :]]
    assert "measurement" not in again

    found = summarised(frameworks.TABLE, read(records), 0.2, "1")
    mine = row_of(found, "ours-native")
    assert (mine["errors"], mine["wrong"]) == (0, [])
    assert mine["answered"] > 0
    assert mine["cpu_us"]["median"] > 0
    assert row_of(found, "robyn")["absent"] == "it is nowhere to be had"
    assert str(REPOSITORY) not in before


def test_the_newest_postgresql_of_debian_is_taken(tmp_path: Path) -> None:
    for number in ("9.6", "15", "17"):
        (tmp_path / number / "bin").mkdir(parents=True)
        (tmp_path / number / "bin" / "initdb").touch()
    assert programs({}, tmp_path) == tmp_path / "17" / "bin"
    with pytest.raises(Missing, match="apt-get install postgresql, or set DATABASE_URL"):
        programs({"PATH": str(tmp_path)}, tmp_path / "none")


def has_postgresql() -> bool:
    try:
        return programs({"PATH": ""}).exists()
    except Missing:
        return False


@pytest.mark.skipif(not has_postgresql(), reason="PostgreSQL is not installed (apt-get install postgresql)")
def test_a_database_is_gone_however_it_is_left() -> None:
    places = []

    def interrupted() -> None:
        with cluster(None) as served:
            arguments = Path(f"/proc/{served.pid}/cmdline").read_bytes().split(b"\0")
            places.extend([Path(f"/proc/{served.pid}"), Path(arguments[arguments.index(b"-k") + 1].decode())])
            assert all(place.exists() for place in places)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [place for place in places if place.exists()] == []


@pytest.mark.parametrize("script", ["run.py", "table.py"])
def test_the_engine_s_benchmark_finds_what_it_shares(script: str, tmp_path: Path) -> None:
    options = ["--list"] if script == "run.py" else []
    path = REPOSITORY / "benchmarks" / "engine" / script
    done = subprocess.run(
        [sys.executable, str(path), str(tmp_path / "none.jsonl"), *options], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
