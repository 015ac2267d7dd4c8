"""Baselines are forgotten for a reason that was named, and a test is gone only where pytest has looked for it."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from pytest_fastr.errors import ConfigError
from pytest_fastr.gate.collect import Collected, collect
from pytest_fastr.gate.profile_folder import PROFILE_FILE
from pytest_fastr.gate.prune import gone_tests, old_profiles, remove, void_profiles
from support.baselines import NODE, OTHER, PROFILE, days_of, snapshots, store

FEBRUARY = datetime(2025, 2, 1, tzinfo=timezone.utc)


@pytest.fixture(autouse=True)
def _only_the_plugin_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    # The others take most of the time that pytest needs to start.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = store(store(tmp_path / "baselines", [1, 2]), [25], profile=OTHER)
    return store(made, [1], f"{NODE}[other]")


def test_a_profile_is_old_when_its_newest_session_is(root: Path) -> None:
    (old,) = old_profiles(snapshots(root), timedelta(days=20), FEBRUARY)
    assert (old.profile.slug, old.nodeid) == (PROFILE.slug, None)
    assert old_profiles(snapshots(root), timedelta(days=40), FEBRUARY) == []
    assert remove(root, [old]) == []
    assert [one.slug for one in snapshots(root)] == [OTHER.slug]
    assert not (root / PROFILE.slug).exists()


def test_what_was_updated_meanwhile_stays(root: Path) -> None:
    (old,) = old_profiles(snapshots(root), timedelta(days=20), FEBRUARY)
    store(root, [31])
    assert remove(root, [old]) == [old]
    assert days_of(root) == [1, 2, 31]


def test_void_profiles_go_and_files_of_others_stay(root: Path) -> None:
    path = root / PROFILE.slug / PROFILE_FILE
    document = json.loads(path.read_text())
    document["key"]["protocol"] = 1
    path.write_text(json.dumps(document))
    (root / PROFILE.slug / "notes.txt").write_text("mine")
    (void,) = void_profiles(snapshots(root))
    assert "protocol 1" in void.why
    assert remove(root, [void]) == []
    assert [one.name for one in (root / PROFILE.slug).iterdir()] == ["notes.txt"]


def test_gone_tests_go_alone_and_the_last_one_takes_its_profile_along(root: Path) -> None:
    there = Collected(frozenset({NODE}), frozenset())
    gone = gone_tests(snapshots(root), there)
    assert [one.nodeid for one in gone] == [f"{NODE}[other]"]
    assert remove(root, gone) == []
    assert days_of(root) == [1, 2]
    everything = gone_tests(snapshots(root), Collected(frozenset({"x.py::test_x"}), frozenset()))
    assert len(everything) == 2
    assert remove(root, everything) == []
    assert list(root.iterdir()) == []


@pytest.mark.parametrize(
    ("nodeid", "gone"),
    [
        ("t/a.py::test_x", False),
        ("t/a.py::test_x [GET /b]", False),
        ("t/a.py::test_y [1] [GET /b]", False),
        ("t/a.py::test_y", True),
        ("t/a.py::test_xy", True),
        ("t/skipped.py::test_z", False),
        ("t/folder/b.py::test_z", False),
        ("t/folders/b.py::test_z", True),
        ("", True),
    ],
)
def test_second_measurements_and_skipped_modules_are_not_gone(nodeid: str, gone: bool) -> None:
    collected = Collected(frozenset({"t/a.py::test_x", "t/a.py::test_y [1]"}), frozenset({"t/skipped.py", "t/folder"}))
    assert collected.is_gone(nodeid) is gone


def test_pytest_is_asked_before_any_selection_and_in_files_that_it_does_not_search(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        "[tool.pytest.ini_options]\naddopts = '-k nothing'\ntestpaths = ['unit']\n"
    )
    (tmp_path / "unit").mkdir()
    (tmp_path / "unit" / "test_a.py").write_text("def test_a(): pass\n")
    (tmp_path / "bench.py").write_text("def test_b(): pass\n")
    (tmp_path / "skipped.py").write_text("import pytest\npytest.importorskip('nosuch')\n")
    stored = [
        "bench.py::test_b",
        "bench.py::test_c",
        "skipped.py::test_d",
        "removed.py::test_e",
        "unit/test_a.py::test_a",
    ]
    collected = collect(tmp_path, stored)
    assert [nodeid for nodeid in stored if collected.is_gone(nodeid)] == ["bench.py::test_c", "removed.py::test_e"]


@pytest.mark.parametrize(
    ("text", "words"), [("import nosuch_module\n", r"cannot collect .*exit code 2"), ("", "finds no test")]
)
def test_nothing_is_gone_where_pytest_fails_or_finds_nothing(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "test_a.py").write_text(text)
    with pytest.raises(ConfigError, match=f"{words}.*nothing was removed"):
        collect(tmp_path, ["test_a.py::test_x"])
