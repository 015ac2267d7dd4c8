"""The history's database: what is kept comes back, and whatever lies there is neither lost nor trusted."""

from __future__ import annotations

import math
import os
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_fastr.errors import HistoryError
from pytest_fastr.gate.model import Verdict
from pytest_fastr.history import store as store_module
from pytest_fastr.history.keep import history_file, keep
from pytest_fastr.history.record import MetricRecord, RunRecord, load_record, record_of
from pytest_fastr.history.store import HistoryStore
from pytest_fastr.load.limits import hold, parse_limit_text
from pytest_fastr.load.result import Note
from support.history import run_of, session_of
from support.reports import load_report, times
from support.results import report_of
from support.results import session_of as report_session


@pytest.fixture
def store(tmp_path: Path) -> HistoryStore:
    return HistoryStore(tmp_path / "sub/history.db")


def test_what_is_kept_comes_back(store: HistoryStore) -> None:
    assert store.read() == []
    sessions = [session_of(1, run_of()), session_of(2, run_of(0.3), run_of(None, "b", metrics=()), commit=None)]
    for session in sessions:
        store.append(session)
    assert store.read() == sessions
    assert os.listdir(store.path.parent) == ["history.db"]


def test_sessions_are_chosen_by_test_profile_and_number(store: HistoryStore) -> None:
    for day in range(4):
        store.append(session_of(day, run_of(), run_of(nodeid="b%"), profile=f"profile-{day % 2}"))
    assert [len(one.runs) for one in store.read("b%")] == [1] * 4
    assert store.read("test_items%") == []
    assert [one.profile for one in store.read(profile="profile-1")] == ["profile-1"] * 2
    assert store.read(last=2) == store.read()[-2:]


def test_the_oldest_go_and_their_runs_with_them(store: HistoryStore) -> None:
    for day in range(5):
        store.append(session_of(day, run_of()), most=3)
    assert [one.started[:10] for one in store.read()] == ["2026-01-03", "2026-01-04", "2026-01-05"]
    with sqlite3.connect(store.path) as database:
        for table in ("run", "metric"):
            assert database.execute(f"SELECT count(*) FROM {table}").fetchone() == (3,)
    database.close()


def test_names_and_numbers_that_sqlite_cannot_hold_are_kept_as_far_as_they_go(store: HistoryStore) -> None:
    metric = MetricRecord("cpu", "us", math.inf, change=math.nan)
    store.append(session_of(1, run_of(nodeid="t\udcff\0'; DROP TABLE run", metrics=(metric,))))
    (run,) = store.read()[0].runs
    assert run.nodeid == "t\\udcff\0'; DROP TABLE run"
    assert run.metrics == (replace(metric, candidate=None, change=None),)


def test_several_processes_write_at_once(store: HistoryStore) -> None:
    code = (
        "import sys; sys.path.insert(0, 'tests'); from pathlib import Path\n"
        "from support.history import *; from pytest_fastr.history.store import HistoryStore\n"
        f"for day in range(5): HistoryStore(Path({str(store.path)!r})).append(session_of(day, run_of()))"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2]) for _ in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert len(store.read()) == 15


def spoiled(store: HistoryStore, statement: str) -> None:
    store.append(session_of(1, run_of()))
    database = sqlite3.connect(store.path)
    database.executescript(statement)
    database.close()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"not a database, but long enough to be looked at as one " * 20, "it is damaged"),
        (b"x", "it is damaged"),
    ],
)
def test_a_damaged_file_is_told_and_left(store: HistoryStore, content: bytes, words: str) -> None:
    store.path.parent.mkdir()
    store.path.write_bytes(content)
    with pytest.raises(HistoryError, match=words):
        store.read()
    assert words in str(keep(session_of(1, run_of()), store.path))
    assert store.path.read_bytes() == content


def test_a_file_that_is_cut_off_is_told(store: HistoryStore) -> None:
    store.append(session_of(1, *(run_of(nodeid=f"test_{number}") for number in range(500))))
    content = store.path.read_bytes()
    store.path.write_bytes(content[: len(content) // 2])
    with pytest.raises(HistoryError, match="it is damaged"):
        store.read()


def test_another_database_or_version_is_told_and_left(store: HistoryStore) -> None:
    spoiled(store, "PRAGMA user_version = 7")
    with pytest.raises(HistoryError, match=r"another pytest-fastr \(schema version 7, this one has 1\)"):
        store.append(session_of(1, run_of()))
    spoiled_other = HistoryStore(store.path.with_name("other.db"))
    database = sqlite3.connect(spoiled_other.path)
    database.executescript("CREATE TABLE mine (x); INSERT INTO mine VALUES (1)")
    database.close()
    for use in (spoiled_other.read, lambda: spoiled_other.append(session_of(1, run_of()))):
        with pytest.raises(HistoryError, match="is no history of pytest-fastr"):
            use()


def test_values_of_other_types_are_not_trusted(store: HistoryStore) -> None:
    spoiled(
        store,
        "UPDATE session SET started = x'00ff', duration_s = 'long', git_commit = x'05'; "
        "UPDATE run SET load = '[', errors = 'many', nodeid = 'a'; "
        "UPDATE metric SET candidate = 'x', log_ratio = 9e999, name = x'41'",
    )
    (session,) = store.read()
    assert (session.started, session.duration_s, session.commit) == ("", 0.0, None)
    assert session.runs[0] == RunRecord(
        "a", "stored", "equivalent", "GET /items", "the baseline", {}, 100, 0,
        (MetricRecord("", "us/request", None, log_ratio_se=0.01, verdict="equivalent"),),
    )  # fmt: skip


def test_a_table_that_is_gone_is_told(store: HistoryStore) -> None:
    spoiled(store, "DROP TABLE metric")
    with pytest.raises(HistoryError, match="no such table"):
        store.read()


def test_a_locked_database_is_told(store: HistoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.append(session_of(1, run_of()))
    monkeypatch.setattr(store_module, "BUSY_S", 0.05)
    holder = sqlite3.connect(store.path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    assert "another process has held it" in str(keep(session_of(2, run_of()), store.path))
    holder.close()
    assert len(store.read()) == 1


def test_what_is_no_file_or_no_folder_is_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    for path, words in (
        (tmp_path / "pipe", "no ordinary file"),
        (tmp_path, "no ordinary file"),
        (tmp_path / "file/history.db", "Not a directory"),
        (tmp_path / "file/.pytest-fastr/history.db", "Not a directory"),
    ):
        said = keep(session_of(1, run_of()), path)
        assert words in str(said)
        assert "\n" not in str(said)


def test_a_writer_that_fails_in_the_middle_leaves_nothing(store: HistoryStore) -> None:
    store.append(session_of(1, run_of()))
    with pytest.raises(TypeError):
        store.append(session_of(2, run_of(), run_of(load={"x": object()})))
    assert len(store.read()) == 1


def test_the_usual_folder_keeps_itself_out_of_git(tmp_path: Path) -> None:
    path = history_file(True, tmp_path)
    assert path == tmp_path / ".pytest-fastr/history.db"
    assert keep(session_of(1, run_of()), path) is None
    ignore = path.with_name(".gitignore")
    assert ignore.read_text() == "*\n"
    ignore.write_text("mine\n")
    assert keep(session_of(2, run_of()), path) is None
    assert ignore.read_text() == "mine\n"
    elsewhere = history_file("kept/perf.db", tmp_path)
    assert keep(session_of(1, run_of()), elsewhere) is None
    assert os.listdir(elsewhere.parent) == ["perf.db"]


def test_a_session_is_kept_with_what_failed(store: HistoryStore) -> None:
    failed = report_of(Verdict.INVALID, "test_b", metrics={}, mode="none")
    stored = report_of(Verdict.REGRESSED, load={"users": 20, "request": "GET /a", "duration_s": 5.0})
    load = load_record("t", load_report(response=times(p50=5.0)), hold(load_report(), (parse_limit_text("rps>1000"),)))
    store.append(record_of(report_session(stored, failed), [load], "abc"))
    (session,) = store.read()
    assert (session.verdict, session.commit, session.version) == ("invalid", "abc", "0.1.0")
    assert [(run.mode, run.verdict) for run in session.runs] == [
        ("paired", "regressed"), ("none", "invalid"), ("load", "regressed"),
    ]  # fmt: skip
    assert session.runs[0].load == {"users": 20, "request": "GET /a"}
    assert session.runs[0].metrics[0].change == 0.25
    assert [one.name for one in session.runs[2].metrics] == ["throughput", "p50"]
    void = load_report(notes=(Note("void", "dead", "x"),))
    assert load_record("t", void, ()).verdict == "invalid"


def test_neither_a_server_nor_pytest_imports_sqlite_before_the_end() -> None:
    code = "import sys, pytest_fastr.plugin, pytest_fastr.serve; print('sqlite3' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]
