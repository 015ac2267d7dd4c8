"""Baselines are reviewable files, survive kills and concurrent writers, and are never guessed at."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_fastr.errors import BaselineError
from pytest_fastr.gate.baseline import Appended, BaselineStore
from pytest_fastr.gate.profile import HardwareProfile, ProfileKey, Surroundings
from pytest_fastr.gate.stored_test import MAX_SESSIONS, StoredMetric, StoredSession

KEY = ProfileKey("Intel", "Xeon", "family 6", 2, "x86_64", "linux", "cpython", "3.11", ())
PROFILE = HardwareProfile(KEY, Surroundings("6.1", None, None, "3.11.7", "0.1.0", None))
NODE = "tests/perf/test_shop.py::test_items"
LOAD = {"users": 20, "requests": ["GET /items"], "duration_s": 5.0}


def session(log_ratio: float = 0.125, recorded: str = "2025-01-01T00:00:00+00:00") -> StoredSession:
    metrics = {
        "cpu": StoredMetric(log_ratio, log_ratio, 0.004, 213.25, "us"),
        "p99": StoredMetric(0.5, 0.51, 0.01, 4100.0, "us"),
    }
    return StoredSession(recorded, None, "0.1.0", metrics)


@pytest.fixture
def store(tmp_path: Path) -> BaselineStore:
    return BaselineStore(tmp_path / "baselines", PROFILE)


def stored_text(store: BaselineStore, **changes: Any) -> str:
    """A module's file with one test, changed at the places named."""
    store.append(NODE, LOAD, session())
    document = json.loads(store.path_of(NODE).read_text(encoding="utf-8"))
    document.update(changes)
    text = json.dumps(document)
    store.path_of(NODE).write_text(text, encoding="utf-8")
    return text


def test_nothing_stored_is_none_and_no_history(store: BaselineStore) -> None:
    assert store.load(NODE) is None
    assert store.history("cpu") == []
    assert not store.folder.exists()


def test_what_is_appended_is_loaded(store: BaselineStore) -> None:
    assert store.append(NODE, LOAD, session()) is Appended.FIRST
    stored = store.load(NODE)
    assert stored is not None
    assert stored.sessions == (session(),)
    assert stored.has_load(LOAD)
    assert not stored.has_load({**LOAD, "users": 21})
    assert stored.lane is None
    assert store.load(NODE + "[other]") is None


def test_the_lane_is_kept_until_another_one_or_another_load_is_stored(store: BaselineStore) -> None:
    def lane() -> str | None:
        stored = store.load(NODE)
        assert stored is not None
        return stored.lane

    store.append(NODE, LOAD, session(), lane="typed")
    store.append(NODE, LOAD, session())
    assert lane() == "typed"
    store.append(NODE, LOAD, session(), lane="full")
    assert lane() == "full"
    store.append(NODE, {**LOAD, "users": 21}, session())
    assert lane() is None


@pytest.mark.parametrize("lane", ["slow", "", 3, ["typed"]])
def test_a_lane_that_there_is_not_is_refused(store: BaselineStore, lane: object) -> None:
    store.append(NODE, LOAD, session(), lane="typed")
    path = store.path_of(NODE)
    document = json.loads(path.read_text(encoding="utf-8"))
    document["tests"][NODE]["lane"] = lane
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(BaselineError, match="must be one of fast, typed, full, asgi"):
        store.load(NODE)


def test_a_file_is_sorted_indented_and_ends_with_a_newline(store: BaselineStore) -> None:
    store.append(NODE, LOAD, session(1 / 3))
    path = store.folder / "tests__perf__test_shop.py.json"
    text = path.read_text(encoding="utf-8")
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"
    assert json.loads(text) == {
        "schema_version": 1,
        "protocol": 2,
        "tests": {
            NODE: {
                "load": LOAD,
                "sessions": [
                    {
                        "recorded": "2025-01-01T00:00:00+00:00",
                        "commit": None,
                        "engine": "0.1.0",
                        "metrics": {
                            "cpu": {
                                "log_ratio": 0.333333,
                                "totals_log_ratio": 0.333333,
                                "se": 0.004,
                                "candidate": 213.25,
                                "unit": "us",
                            },
                            "p99": {
                                "log_ratio": 0.5,
                                "totals_log_ratio": 0.51,
                                "se": 0.01,
                                "candidate": 4100.0,
                                "unit": "us",
                            },
                        },
                    }
                ],
            }
        },
    }


def test_the_profile_lies_beside_the_modules_and_follows_its_surroundings(store: BaselineStore, tmp_path: Path) -> None:
    store.append(NODE, LOAD, session())
    profile_file = store.folder / "profile.json"
    assert json.loads(profile_file.read_text()) == PROFILE.as_dict()
    newer = replace(PROFILE, recorded=replace(PROFILE.recorded, kernel="6.9"))
    BaselineStore(tmp_path / "baselines", newer).append(NODE, LOAD, session())
    assert json.loads(profile_file.read_text())["recorded"]["kernel"] == "6.9"


def test_files_have_the_permissions_that_the_umask_leaves(store: BaselineStore) -> None:
    before = os.umask(0o022)
    try:
        store.append(NODE, LOAD, session())
    finally:
        os.umask(before)
    assert store.path_of(NODE).stat().st_mode & 0o777 == 0o644


def test_the_oldest_sessions_go_first(store: BaselineStore) -> None:
    for number in range(MAX_SESSIONS + 3):
        store.append(NODE, LOAD, session(recorded=f"day {number}"))
    stored = store.load(NODE)
    assert stored is not None
    assert [one.recorded for one in stored.sessions] == [f"day {number}" for number in range(3, MAX_SESSIONS + 3)]


def test_another_load_starts_anew_and_says_so(store: BaselineStore) -> None:
    store.append(NODE, LOAD, session(recorded="old"))
    assert store.append(NODE, LOAD, session()) is Appended.ADDED
    assert store.append(NODE, {**LOAD, "users": 8}, session(recorded="new")) is Appended.RESTARTED
    stored = store.load(NODE)
    assert stored is not None
    assert [one.recorded for one in stored.sessions] == ["new"]
    assert stored.has_load({**LOAD, "users": 8})


def test_a_load_is_the_same_after_rounding_and_tuples(store: BaselineStore) -> None:
    store.append(NODE, {"rate": 1 / 3, "requests": ("GET /",), "nested": {"b": 1, "a": None}}, session())
    same = {"nested": {"a": None, "b": 1}, "requests": ["GET /"], "rate": 0.3333333}
    assert store.append(NODE, same, session()) is Appended.ADDED


def test_the_history_is_one_list_a_test_over_all_modules(store: BaselineStore) -> None:
    store.append(NODE, LOAD, session(0.1))
    store.append(NODE, LOAD, session(0.2))
    store.append("tests/test_other.py::test_x", LOAD, session(0.3))
    assert sorted(store.history("cpu")) == [[0.1, 0.2], [0.3]]
    assert store.history("memory") == []


@pytest.mark.parametrize(
    "nodeid",
    [
        "tests/test_a.py::TestB::test_c[ä-/::\\\"'\n-\x00-😀]",
        "tests/täst/my test.py::test_x",
        "../other/test_a.py::test_x",
        "/absolute/test_a.py::test_x",
        "profile::test_x",
        "PROFILE::test_x",
        "::test_x",
        "",
        "tests/" + "long" * 100 + ".py::test_x",
        "tests/test_\udcff.py::test_[\ud800]",
        "a\\b.py::test_x",
    ],
)
def test_any_node_id_is_stored_in_one_file_of_the_profile(store: BaselineStore, nodeid: str) -> None:
    store.append(nodeid, LOAD, session())
    assert store.load(nodeid) is not None
    assert store.path_of(nodeid).parent == store.folder
    assert sorted(os.listdir(store.folder)) == sorted(["profile.json", store.path_of(nodeid).name])
    assert json.loads((store.folder / "profile.json").read_text())["slug"] == PROFILE.slug


def test_modules_that_share_a_file_keep_their_tests_apart(store: BaselineStore) -> None:
    nodes = ["tests/a.py::test_x", "tests__a.py::test_x"]
    for node in nodes:
        store.append(node, LOAD, session())
    assert store.path_of(nodes[0]) == store.path_of(nodes[1])
    assert all(store.load(node) for node in nodes)


def test_profiles_do_not_see_each_other(store: BaselineStore, tmp_path: Path) -> None:
    store.append(NODE, LOAD, session())
    other = BaselineStore(tmp_path / "baselines", replace(PROFILE, key=replace(KEY, cores=4)))
    assert other.load(NODE) is None
    assert other.history("cpu") == []


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_not_written(store: BaselineStore, number: float) -> None:
    with pytest.raises(BaselineError, match="nothing was written"):
        store.append(NODE, LOAD, session(number))
    with pytest.raises(BaselineError, match="nothing was written"):
        store.append(NODE, {"rate": number}, session())
    assert store.load(NODE) is None


def test_a_negative_error_is_not_written(store: BaselineStore) -> None:
    wrong = replace(session(), metrics={"cpu": StoredMetric(0.1, 0.1, -0.1, 1.0, "us")})
    with pytest.raises(BaselineError, match="negative; nothing was written"):
        store.append(NODE, LOAD, wrong)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '"text"',
        "{}",
        "<<<<<<< HEAD\n{}\n",
        "[" * 100_000,
        '{"schema_version": 1}',
        '{"schema_version": 1, "protocol": 2}',
        '{"schema_version": 1, "protocol": 2, "tests": []}',
        '{"schema_version": 1, "protocol": 2, "tests": {}, "tests": {}}',
        '{"schema_version": true, "protocol": 2, "tests": {}}',
        '{"schema_version": 0, "protocol": 2, "tests": {}}',
        '{"schema_version": 1, "protocol": 7, "tests": {}}',
        '{"schema_version": 1, "protocol": 2, "tests": {}, "added": 1}',
        '{"schema_version": 1, "protocol": 2, "tests": {"x": 1}}',
        '{"schema_version": 1, "protocol": 2, "tests": {"x": {"load": {}, "sessions": []}}}',
        '{"schema_version": 1, "protocol": 2, "tests": {"x": {"load": {}, "sessions": [{}]}}}',
    ],
)
def test_a_file_that_cannot_be_understood_is_an_error_that_names_it(store: BaselineStore, text: str) -> None:
    stored_text(store)
    path = store.path_of(NODE)
    path.write_text(text, encoding="utf-8")
    for read in (
        lambda: store.load(NODE),
        lambda: store.history("cpu"),
        lambda: store.append(NODE, LOAD, session()),
    ):
        with pytest.raises(BaselineError) as caught:
            read()
        assert str(path) in str(caught.value)
        assert "--perf-update" in str(caught.value)
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"log_ratio": 0.125', '"log_ratio": NaN'),
        ('"log_ratio": 0.125', '"log_ratio": -Infinity'),
        ('"log_ratio": 0.125', '"log_ratio": 1e999'),
        ('"log_ratio": 0.125', '"log_ratio": 1' + "0" * 400),
        ('"log_ratio": 0.125', '"log_ratio": "0.125"'),
        ('"log_ratio": 0.125', '"log_ratio": true'),
        ('"log_ratio": 0.125', '"log_ratio": null'),
        ('"se": 0.004', '"se": -0.004'),
        ('"se": 0.004', '"other": 0.004'),
        ('"unit": "us"', '"unit": 1'),
        ('"engine": "0.1.0"', '"engine": null'),
        ('"commit": null', '"commit": 1'),
    ],
)
def test_a_number_or_text_of_the_wrong_kind_is_an_error(store: BaselineStore, old: str, new: str) -> None:
    text = stored_text(store)
    assert old in text
    store.path_of(NODE).write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(BaselineError, match="is not a baseline file that can be read"):
        store.load(NODE)


def test_a_file_of_a_newer_version_is_named_as_such(store: BaselineStore) -> None:
    stored_text(store, schema_version=2, tests="in another form")
    with pytest.raises(BaselineError, match=r"written by a newer pytest-fastr.*upgrade"):
        store.load(NODE)


def test_bytes_that_are_no_text_are_an_error(store: BaselineStore) -> None:
    stored_text(store)
    store.path_of(NODE).write_bytes(b"\xff\xfe{}")
    with pytest.raises(BaselineError, match="not UTF-8"):
        store.load(NODE)


def test_a_file_in_the_folder_s_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "baselines").write_text("")
    store = BaselineStore(tmp_path / "baselines", PROFILE)
    with pytest.raises(BaselineError, match="cannot read"):
        store.load(NODE)
    with pytest.raises(BaselineError, match=r"cannot write .*set `baselines`"):
        store.append(NODE, LOAD, session())


def test_a_link_to_nothing_is_an_error_and_no_absent_baseline(tmp_path: Path) -> None:
    (tmp_path / "baselines").symlink_to(tmp_path / "gone")
    with pytest.raises(BaselineError, match="symbolic link to nothing"):
        BaselineStore(tmp_path / "baselines", PROFILE).load(NODE)
    with pytest.raises(BaselineError, match="cannot write"):
        BaselineStore(tmp_path / "baselines", PROFILE).append(NODE, LOAD, session())


def test_a_linked_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "baselines").symlink_to(tmp_path / "real")
    store = BaselineStore(tmp_path / "baselines", PROFILE)
    store.append(NODE, LOAD, session())
    assert store.load(NODE) is not None


def test_a_read_only_folder_is_an_error_that_names_it(store: BaselineStore) -> None:
    store.append(NODE, LOAD, session())
    store.folder.chmod(0o555)
    if os.access(store.folder, os.W_OK):
        pytest.skip("this user (root, as a rule) writes into read-only folders")
    try:
        with pytest.raises(BaselineError, match=r"cannot write .*make it writable"):
            store.append(NODE, LOAD, session())
    finally:
        store.folder.chmod(0o755)


def test_a_disk_that_is_full_leaves_the_old_file(store: BaselineStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.append(NODE, LOAD, session())
    before = store.path_of(NODE).read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BaselineError, match="No space left on device"):
        store.append(NODE, LOAD, session())
    assert store.path_of(NODE).read_bytes() == before
    assert len(os.listdir(store.folder)) == 2


# Writers of their own process, without this module: its name depends on how pytest imports it.
WRITER = """
import os, signal, sys
from pathlib import Path
from pytest_fastr.gate import atomic_file
from pytest_fastr.gate.baseline import BaselineStore
from pytest_fastr.gate.stored_test import StoredMetric, StoredSession
from pytest_fastr.gate.profile import HardwareProfile, ProfileKey, Surroundings

root, name, count, dies = sys.argv[1:]
key = ProfileKey("Intel", "Xeon", "family 6", 2, "x86_64", "linux", "cpython", "3.11", ())
recorded = Surroundings("6.1", None, None, "3.11.7", "0.1.0", None)
store = BaselineStore(Path(root), HardwareProfile(key, recorded))
if dies == "dies":
    atomic_file.os.replace = lambda source, target: os.kill(os.getpid(), signal.SIGKILL)
for number in range(int(count)):
    session = StoredSession("now", None, "0.1.0", {"cpu": StoredMetric(0.5, 0.5, 0.1, 1.0, "us")})
    store.append(f"tests/perf/test_shop.py::{name}_{number}", {"users": 20}, session)
"""


def start_writer(store: BaselineStore, name: str, count: int, dies: str = "lives") -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WRITER, str(store.folder.parent), name, str(count), dies])


def test_a_writer_killed_in_the_middle_leaves_the_old_file_and_no_lock(store: BaselineStore) -> None:
    store.append(NODE, LOAD, session(0.1))
    assert start_writer(store, "test_late", 1, "dies").wait() == -signal.SIGKILL
    assert len(os.listdir(store.folder)) == 3, "the killed writer leaves its temporary file"
    assert store.history("cpu") == [[0.1]]
    store.append(NODE, LOAD, session(0.2))
    assert store.history("cpu") == [[0.1, 0.2]]
    assert len(os.listdir(store.folder)) == 2


def test_concurrent_writers_lose_nothing_of_each_other(store: BaselineStore) -> None:
    writers = [start_writer(store, name, 15) for name in ("one", "two", "three")]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert len(store.history("cpu")) == 45
