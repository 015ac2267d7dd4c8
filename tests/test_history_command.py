"""pytest-fastr history: finds the database, and has words for what is not there."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from pytest_fastr.cli import main
from pytest_fastr.history.store import HistoryStore
from support.history import run_of, session_of


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HistoryStore:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return HistoryStore(tmp_path / ".pytest-fastr/history.db")


def filled(store: HistoryStore) -> HistoryStore:
    for day in range(3):
        store.append(session_of(day, run_of(day / 10), run_of(0.5, "tests/test_b.py::test_orders")))
    return store


def test_trends_are_shown_from_a_folder_below_too(
    store: HistoryStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    filled(store)
    (store.path.parent.parent / "sub").mkdir()
    monkeypatch.chdir("sub")
    assert main(["history"]) == 0
    assert "test_items" in (shown := capsys.readouterr().out)
    assert "test_orders" in shown
    assert main(["history", "orders", "--last", "2"]) == 0
    assert "2 sessions" in (shown := capsys.readouterr().out)
    assert "test_items" not in shown


def test_other_programs_get_json_and_csv(store: HistoryStore, capsys: pytest.CaptureFixture[str]) -> None:
    filled(store)
    assert main(["history", "items", "--json"]) == 0
    (trend,) = json.loads(capsys.readouterr().out)["trends"]
    assert (trend["is_ratio"], len(trend["points"]), trend["points"][0]["value"]) == (True, 3, 1.0)
    assert main(["history", "--csv", "--metric", "cpu"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 6
    assert (rows[2]["log_ratio"], rows[2]["metric"], rows[2]["unit"]) == ("0.1", "cpu", "us/request")


def test_the_path_of_the_configuration_is_looked_at(store: HistoryStore, capsys: pytest.CaptureFixture[str]) -> None:
    filled(HistoryStore(Path("kept/perf.db")))
    Path("pyproject.toml").write_text('[tool.pytest-fastr]\nhistory = "kept/perf.db"\n')
    assert main(["history"]) == 0
    Path("pyproject.toml").unlink()
    assert main(["history"]) == 2
    assert main(["history", "--db", "kept/perf.db"]) == 0


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["tset"], "no test whose node id contains 'tset'"),
        (["--metric", "cpuu"], "--metric cpuu: no session has it; did you mean `cpu`?"),
        (["--last", "0"], "must be 1 to 10,000"),
        (["--db", "gone.db"], "there is no such file"),
        (["--profile", "other"], "no session of the profile other"),
        (["--profile"], "it has profile-1"),
    ],
)
def test_what_is_not_there_has_its_words(
    args: list[str], words: str, store: HistoryStore, capsys: pytest.CaptureFixture[str]
) -> None:
    filled(store)
    assert main(["history", *args]) == 2
    assert words in capsys.readouterr().err


def test_without_a_history_it_says_what_makes_one(store: HistoryStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["history"]) == 2
    assert "there is no history yet" in (err := capsys.readouterr().err)
    assert "pytest --perf" in err
    assert not store.path.exists()


def test_a_damaged_one_is_told(store: HistoryStore, capsys: pytest.CaptureFixture[str]) -> None:
    store.path.parent.mkdir()
    store.path.write_bytes(b"x" * 5000)
    assert main(["history"]) == 2
    assert "it is damaged" in capsys.readouterr().err
