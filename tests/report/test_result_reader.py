"""A result file is read as a stranger's: what is not exactly one is refused in words, and none of its own."""

from __future__ import annotations

import json
import os
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_fastr.errors import ResultError
from pytest_fastr.gate.model import Verdict
from pytest_fastr.github.annotations import annotations_of
from pytest_fastr.github.decision import decide
from pytest_fastr.github.page import page
from pytest_fastr.report.result_file import to_json
from pytest_fastr.report.result_reader import MOST_BYTES, parse_result, read_result
from support.results import FULL, session_of

RECORD = Path(__file__).parents[2] / "benchmarks/verdict/records/paired_shop/quiet/000.json"
LOAD = {
    "nodeid": "t.py::test_load",
    "requests": 10,
    "rps": 5.0,
    "response_time_us": {"p50": 1.0, "p99": None},
    "limits": [{"limit": "p99<1ms", "kept": False, "value": 2, "bound": 1}],
    "validity": [],
}


def document(*loads: dict[str, Any]) -> Any:
    return json.loads(to_json(session_of(FULL, replace(FULL, nodeid="b", verdict=Verdict.IMPROVED)), loads))


def parsed(value: object) -> Any:
    return parse_result(json.dumps(value).encode(), "r.json")


def refusal(value: object) -> str:
    with pytest.raises(ResultError) as caught:
        parsed(value)
    return str(caught.value)


def test_how_pytest_ended_is_read_back() -> None:
    session = session_of(FULL, exit_code=2, failed=("t.py::test_a", "t.py"))
    read = parse_result(to_json(session).encode(), "r.json").session
    assert (read.exit_code, read.failed) == (2, ("t.py::test_a", "t.py"))


@pytest.mark.parametrize("value", [True, -1, 1.5, "2"])
def test_an_exit_code_that_is_none_is_refused(value: object) -> None:
    document = json.loads(to_json(session_of(FULL)))
    document["pytest"]["exit_code"] = value
    with pytest.raises(ResultError, match="exit_code"):
        parse_result(json.dumps(document).encode(), "r.json")


def test_what_a_session_writes_is_read_back() -> None:
    session = session_of(FULL)
    read = parse_result(to_json(session).encode(), "r.json").session
    assert read == session


def test_a_recorded_session_is_read() -> None:
    recorded = json.loads(RECORD.read_text())["result"]
    session = parsed(recorded).session
    assert session.profile.slug == recorded["profile"]["slug"]
    assert len(session.tests) == 5


def test_load_runs_are_judged_by_their_limits() -> None:
    (run,) = parsed(document(LOAD)).loads
    assert run.verdict is Verdict.REGRESSED
    void = {"level": "void", "code": "x", "message": "y"}
    for limits, notes, verdict in (
        ([], [], Verdict.EQUIVALENT),
        ([{"limit": "a", "kept": None}], [], Verdict.INCONCLUSIVE),
        ([], [void], Verdict.INVALID),
    ):
        (run,) = parsed(document({**LOAD, "limits": limits, "validity": notes})).loads
        assert run.verdict is verdict


def test_what_is_only_said_of_a_load_run_is_no_doubt_about_it() -> None:
    said = {"level": "info", "code": "closed-loop", "message": "the tail is not what users at a rate would see"}
    (run,) = parsed(document({**LOAD, "limits": [], "validity": [said]})).loads
    assert run.validity == ()
    assert run.verdict is Verdict.EQUIVALENT


def test_members_that_are_not_known_are_passed_over() -> None:
    assert parsed({**document(), "of_a_later_version": [1]}).session.tests


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"{", "is no JSON text"),
        (b"\xff\xfe", "is no JSON text"),
        (b"[" * 200_000, "is no JSON text"),
        (b'{"schema_version": NaN}', "is no JSON text"),
        (b"[]", "the document is no object"),
        (b"{}", "has no schema_version: it is another program's"),
        (b'{"schema_version": 2}', "schema version 2, and this pytest-fastr reads 1"),
        (b'{"schema_version": true}', "none that is known"),
        (b'{"schema_version": "@everyone"}', "none that is known"),
    ],
)
def test_what_is_no_result_says_so(content: bytes, words: str) -> None:
    with pytest.raises(ResultError, match=words) as caught:
        parse_result(content, "r.json")
    assert "everyone" not in str(caught.value)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("tests",), {}, "tests is no list"),
        (("tests", 0, "nodeid"), 3, r"tests\[0\].nodeid is no text"),
        (("tests", 0, "nodeid"), "x" * 10_001, "more than 10,000 characters"),
        (("tests", 0, "line"), -1, "is no count"),
        (("tests", 0, "line"), True, "is no count"),
        (("tests", 0, "line"), 10**30, "is no count"),
        (("tests", 0, "path"), "a\nb", "is not written as it should be"),
        (("tests", 0, "verdict"), "<b>", "is none of regressed"),
        (("tests", 0, "rps"), "1", "is no number"),
        (("tests", 0, "rps"), 10**400, "is no finite number"),
        (("tests", 0, "confirmed"), 1, "neither true nor false"),
        (("tests", 0, "metrics", "cpu", "name"), "p50", "under another name"),
        (("tests", 0, "metrics", "cpu", "change"), [], "change is no number"),
        (("tests", 0, "validity", 0, "code"), "a|b", "is not written as it should be"),
        (("tests", 0, "where"), "text", "where is no list"),
        (("profile", "key", "build_flags"), ["`x`"], "is not written as it should be"),
        (("verdict",), "equivalent", "contradicts the verdicts"),
        (("verdict",), None, "contradicts the verdicts"),
    ],
)
def test_a_member_of_another_kind_is_named(place: tuple[Any, ...], value: object, words: str) -> None:
    whole = document()
    inner = whole
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    with pytest.raises(ResultError, match=words) as caught:
        parsed(whole)
    assert "r.json is no result of pytest-fastr" in str(caught.value)


@pytest.mark.parametrize("name", ["tests", "profile", "verdict", "loads", "changes", "against"])
def test_a_member_that_is_missing_is_named(name: str) -> None:
    whole = document()
    del whole[name]
    assert f"{name} is missing" in refusal(whole)


def test_whatever_a_file_holds_it_is_read_or_refused() -> None:
    chance = random.Random(8)
    values: list[Any] = [None, True, -1, 1e400, 10**30, "", "@all\ud800\n|`", [], {}, [None], {"x": {}}, ["`" * 50]]
    read = 0
    for _ in range(600):
        whole = document(LOAD)
        for _ in range(chance.choice([1, 1, 2])):
            inner: Any = whole
            steps: list[tuple[Any, Any]] = []
            while isinstance(inner, (dict, list)) and inner and (not steps or chance.random() < 0.8):
                step = chance.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
                steps.append((inner, step))
                inner = inner[step]
            holder, step = steps[-1]
            holder[step] = chance.choice(values)
        try:
            result = parse_result(json.dumps(whole).replace("Infinity", "1e999").encode(), "r.json")
        except ResultError:
            continue
        read += 1
        assert len(page(result, decide(result, "regressed"), 65_535).encode()) <= 65_535
        for one in annotations_of(result.session.tests, lambda path: path):
            assert "\n" not in one.as_command()
    assert read > 50


def test_a_file_that_is_not_there_or_no_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/hostname")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").touch()
    os.truncate(tmp_path / "large", MOST_BYTES + 1)
    said = {
        "missing": "there is no result file",
        "link": "it is a link",
        "pipe": "no ordinary file",
        "": "no ordinary file",
        "large": "larger than 32 MiB",
    }
    for name, words in said.items():
        with pytest.raises(ResultError, match=words):
            read_result(tmp_path / name)
