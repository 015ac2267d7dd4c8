"""The result file is strict JSON with the keys that other programs rely on."""

from __future__ import annotations

import json
import math
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_fastr.errors import FastrError, ReportError
from pytest_fastr.gate.model import LaneResult, MetricResult, SessionReport, TestReport, ValidityNote, Verdict
from pytest_fastr.gate.profile import HardwareProfile, ProfileKey, Surroundings
from pytest_fastr.report.result_file import SCHEMA_VERSION, to_json, write

KEY = ProfileKey("Intel", "Xeon", "family 6", 2, "x86_64", "linux", "cpython", "3.11", ())
PROFILE = HardwareProfile(KEY, Surroundings("6.1", None, None, "3.11.7", "0.1.0", None))
TEST = TestReport(
    nodeid="tests/test_shop.py::test_x[ä]",
    path="tests/test_shop.py",
    line=3,
    verdict=Verdict.REGRESSED,
    requests=1000,
    errors={"timeout": 1},
    validity=(ValidityNote("warn", "steal", "6 %"),),
    metrics={"cpu": MetricResult("cpu", "us", "lower", 200.0, 250.0, 0.25, 0.2, 0.3, 0.05, Verdict.REGRESSED)},
    load={"users": 20, "requests": ("GET /",), "mode": "stored"},
    rps=math.nan,
    p99_us=math.inf,
    confirmed=True,
)
REPORT = SessionReport(PROFILE, (TEST,), "2025-01-01T00:00:00+00:00", 61.2, {"pytest-fastr": "0.1.0"}, "pytest --perf")


def strict(text: str) -> Any:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_the_schema_s_keys_are_there() -> None:
    document = strict(to_json(REPORT))
    assert document["schema_version"] == SCHEMA_VERSION == 1
    assert document["profile"] == PROFILE.as_dict()
    assert document["verdict"] == "regressed"
    (test,) = document["tests"]
    assert test["nodeid"] == TEST.nodeid
    assert test["verdict"] == "regressed"
    assert test["requests"] == 1000
    assert test["errors"] == {"timeout": 1}
    assert test["validity"] == [{"level": "warn", "code": "steal", "message": "6 %"}]
    assert test["load"] == {"users": 20, "requests": ["GET /"], "mode": "stored"}
    cpu = test["metrics"]["cpu"]
    expected = {"unit": "us", "baseline": 200.0, "candidate": 250.0, "change": 0.25, "low": 0.2, "high": 0.3}
    assert {key: cpu[key] for key in expected} == expected
    assert test["lane"] is None
    assert cpu["limit"] == 0.05
    assert cpu["verdict"] == "regressed"


def test_the_lane_of_a_route_has_a_member_of_its_own() -> None:
    lane = LaneResult("GET /x", "asgi", ("is a Host",), "typed", Verdict.REGRESSED, "GET /x left its lane")
    (test,) = strict(to_json(replace(REPORT, tests=(replace(TEST, lane=lane),))))["tests"]
    assert test["lane"] == {
        "route": "GET /x",
        "lane": "asgi",
        "reasons": ["is a Host"],
        "baseline": "typed",
        "verdict": "regressed",
        "message": "GET /x left its lane",
    }


def test_what_is_not_finite_or_not_known_is_null() -> None:
    (test,) = strict(to_json(REPORT))["tests"]
    assert test["rps"] is None
    assert test["p99_us"] is None
    assert test["p50_us"] is None


def test_the_text_is_sorted_ascii_and_ends_with_a_newline() -> None:
    text = to_json(replace(REPORT, tests=(replace(TEST, output="\udcff"),)))
    assert text.isascii()
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"


def test_a_session_that_measured_nothing_is_not_green() -> None:
    document = strict(to_json(replace(REPORT, tests=())))
    assert document["tests"] == []
    assert document["verdict"] == "invalid"


def test_a_value_that_json_cannot_hold_is_refused() -> None:
    with pytest.raises(TypeError, match="JSON cannot"):
        to_json(replace(REPORT, tests=(replace(TEST, load={"app": object()}),)))


def test_the_file_is_written_with_its_folders_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "out" / "result.json"
    write(REPORT, path)
    write(REPORT, path)
    assert path.read_text(encoding="utf-8") == to_json(REPORT)
    assert os.listdir(path.parent) == ["result.json"]


def test_a_link_keeps_pointing_at_the_file_that_is_written(tmp_path: Path) -> None:
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    write(REPORT, tmp_path / "link.json")
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "real.json").read_text(encoding="utf-8") == to_json(REPORT)


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=write, args=(REPORT, pipe))
    writer.start()
    text = pipe.read_text(encoding="utf-8")
    writer.join()
    assert text == to_json(REPORT)
    assert pipe.is_fifo()


def test_a_path_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (tmp_path, tmp_path / "file" / "result.json", tmp_path / "loop"):
        with pytest.raises(ReportError) as caught:
            write(REPORT, path)
        assert isinstance(caught.value, FastrError)
        assert str(path) in str(caught.value)
