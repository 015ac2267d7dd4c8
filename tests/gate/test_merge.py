"""Sessions of two sides come together once each, within their era, and neither side is lost without a word."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_fastr.errors import BaselineError
from pytest_fastr.gate.equals import EqualsSession, EqualsStore
from pytest_fastr.gate.merge import import_profiles, merge_tests
from pytest_fastr.gate.profile_folder import PROFILE_FILE
from pytest_fastr.gate.stored_test import MAX_SESSIONS, Era, StoredTest
from support.baselines import ERA, NODE, OTHER, PROFILE, days_of, session, snapshots, store, stored

LATER = Era("2025-01-20T00:00:00+00:00", "def", "another codec")


def days(test: StoredTest) -> list[int]:
    return [int(one.recorded[8:10]) for one in test.sessions]


def test_sessions_of_both_sides_are_there_once_by_date() -> None:
    merged = merge_tests(stored(1, 3, 5), stored(2, 3, 9))
    assert days(merged.test) == [1, 2, 3, 5, 9]
    assert (merged.came, merged.left_out, merged.went, merged.conflict) == (2, 0, 0, False)
    assert merge_tests(merged.test, stored(2, 3, 9)).came == 0


def test_another_session_of_the_same_second_is_another_one() -> None:
    theirs = StoredTest(stored(1).load, (session(1, 0.2), replace(session(1), commit="c")))
    assert len(merge_tests(stored(1), theirs).test.sessions) == 3


def test_the_newest_sessions_of_both_are_kept_and_the_rest_is_counted() -> None:
    merged = merge_tests(stored(*range(5, 25)), stored(1, 2, 25, 26))
    assert days(merged.test) == list(range(7, 27))
    assert len(merged.test.sessions) == MAX_SESSIONS
    assert (merged.came, merged.left_out, merged.went) == (2, 2, 2)
    assert "older than the 20" in merged.notes[0]


def test_a_test_that_is_not_here_is_brought_whole() -> None:
    theirs = replace(stored(11, 12, eras=(ERA,)), lane="typed")
    assert merge_tests(None, theirs).test == theirs


def test_sessions_without_the_newer_era_are_of_another_level() -> None:
    ours, theirs = stored(11, 12, eras=(ERA,)), stored(1, 13)
    kept = merge_tests(ours, theirs)
    assert kept.test == ours
    assert (kept.came, kept.left_out) == (0, 2)
    brought = merge_tests(theirs, ours)
    assert brought.test == ours
    assert (brought.came, brought.went) == (2, 2)
    assert all("newer era" in merged.notes[0] and "sorted results" in merged.notes[0] for merged in (kept, brought))


def test_a_session_older_than_the_era_that_both_have_is_not_brought_back() -> None:
    merged = merge_tests(stored(11, eras=(ERA,)), stored(9, 12, eras=(ERA,)))
    assert days(merged.test) == [11, 12]
    assert merged.left_out == 1
    assert "older than the era" in merged.notes[0]


def test_eras_that_began_apart_are_both_told_and_the_newer_counts() -> None:
    merged = merge_tests(stored(11, eras=(ERA,)), stored(21, eras=(LATER,)))
    assert days(merged.test) == [21]
    assert merged.test.eras == (ERA, LATER)
    assert "measure anew" in merged.notes[1]
    following = merge_tests(stored(11, eras=(ERA,)), stored(21, eras=(ERA, LATER)))
    assert len(following.notes) == 1


def test_another_load_is_a_conflict_that_leaves_what_is_here() -> None:
    merged = merge_tests(stored(1), stored(2, users=7))
    assert merged.conflict
    assert merged.test == stored(1)
    assert "users was 20 and is 7" in merged.notes[0]


def test_an_import_brings_other_profiles_too_and_says_so_once(tmp_path: Path) -> None:
    here = store(tmp_path / "here", [1, 2])
    theirs = store(tmp_path / "theirs", [2, 3])
    store(theirs, [4], profile=OTHER)
    EqualsStore(theirs / OTHER.slug).append(EqualsSession("2025-01-02T00:00:00+00:00", 3, 0))
    done = import_profiles(here, snapshots(here), snapshots(theirs))
    assert days_of(here) == [1, 2, 3]
    assert days_of(here, profile=OTHER) == [4]
    assert json.loads((here / OTHER.slug / PROFILE_FILE).read_text()) == OTHER.as_dict()
    assert {one.slug: one.equals for one in done} == {PROFILE.slug: 0, OTHER.slug: 1}
    before = {path: path.read_bytes() for path in here.rglob("*.json")}
    again = import_profiles(here, snapshots(here), snapshots(theirs))
    assert {path: path.read_bytes() for path in here.rglob("*.json")} == before
    assert [merged.came for one in again for _, merged in one.tests] == [0, 0]
    assert [one.equals for one in again] == [0, 0]


@pytest.mark.parametrize("recorded", ["yesterday", "2025-01-01T00:00:00", "9999-01-01T00:00:00+00:00", ""])
def test_a_date_that_is_none_or_to_come_is_refused_before_anything_is_written(tmp_path: Path, recorded: str) -> None:
    here, theirs = store(tmp_path / "here", [1]), store(tmp_path / "theirs", [2])
    for path in theirs.rglob("tests*.json"):
        path.write_text(path.read_text().replace("2025-01-02T00:00:00+00:00", recorded))
    with pytest.raises(BaselineError, match=r"to come|no date"):
        import_profiles(here, snapshots(here), snapshots(theirs))
    assert days_of(here) == [1]


WRITER = """
import sys
from pathlib import Path
from support.baselines import store
root, name = Path(sys.argv[1]), sys.argv[2]
for number in range(12):
    store(root, [1], f"tests/perf/test_shop.py::{name}_{number}")
"""

IMPORTER = """
import sys
from pathlib import Path
from pytest_fastr.gate.merge import import_profiles
from support.baselines import snapshots
root, source = Path(sys.argv[1]), Path(sys.argv[2])
for _ in range(6):
    import_profiles(root, snapshots(root), snapshots(source))
"""


def test_updates_and_imports_at_once_lose_nothing_even_with_locks_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "baselines"
    source = tmp_path / "source"
    for number in range(12):
        store(source, [1, 2], f"tests/perf/test_shop.py::imported_{number}")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    commands = [(WRITER, "one"), (WRITER, "two"), (IMPORTER, str(source))]
    started = []
    for number, (program, argument) in enumerate(commands):
        # A temporary folder each, as other users have: the lock there is not shared.
        (tmp_path / str(number)).mkdir()
        monkeypatch.setenv("TMPDIR", str(tmp_path / str(number)))
        started.append(subprocess.Popen([sys.executable, "-c", program, str(root), argument]))
    assert [one.wait() for one in started] == [0, 0, 0]
    (profile,) = snapshots(root)
    counts = {nodeid.rpartition("::")[2]: len(test.sessions) for nodeid, test in profile.tests.items()}
    assert counts == {
        **{f"{name}_{number}": 1 for name in ("one", "two") for number in range(12)},
        **{f"imported_{number}": 2 for number in range(12)},
    }
    assert NODE not in profile.tests
