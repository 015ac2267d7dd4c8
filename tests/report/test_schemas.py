"""The published schemas hold for what is written, and agree with the readers on what is refused."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pytest_fastr.cli import main
from pytest_fastr.errors import ResultError
from pytest_fastr.gate.model import Verdict
from pytest_fastr.load.limits import hold, parse_limit_text
from pytest_fastr.load.result import Floor, FlowReport, Note
from pytest_fastr.report import load_json
from pytest_fastr.report.load_json import load_document
from pytest_fastr.report.result_file import to_json
from pytest_fastr.report.result_reader import parse_result, read_result_or_load
from pytest_fastr.report.schemas import SCHEMAS, schema_text
from support.reports import GENERATOR, load_report, times
from support.results import FULL, session_of

RECORD = Path(__file__).parents[2] / "benchmarks/verdict/records/paired_shop/quiet/000.json"
WITHOUT_A_FORM = ("contradicts the verdicts", "under another name")
"""Refusals that a schema cannot express: they compare members with each other."""

LOAD = load_report(
    response=times(p50=100.0, p99=900.0),
    flows=(FlowReport("shop", 3, 1, 0),),
    generator=replace(GENERATOR, floor=Floor(1.0, None, 5.0, None)),
    notes=(Note("info", "closed-loop", "its tail"), Note("warn", "core", "it waited")),
    seconds=((5, 100, 200, 300),),
    bins=((1, 0),),
    statuses={500: 1},
    details={"timeout": {"slow": 1}},
    users=20,
)
LIMITS = hold(LOAD, (parse_limit_text("p99<1ms"), parse_limit_text("p999<1ms")))


def validator(name: Any) -> Any:
    schema = json.loads(schema_text(name))
    return jsonschema.Draft202012Validator(schema)


def document() -> Any:
    load = {"nodeid": "t.py::test_load", **load_document(LOAD, LIMITS)}
    return json.loads(to_json(session_of(FULL, replace(FULL, nodeid="b", verdict=Verdict.IMPROVED)), [load]))


def mutated(chance: random.Random, whole: Any) -> Any:
    """The document with one or two members that are something else, or gone."""
    values: list[Any] = [None, True, -1, 0.5, 1e400, 10**30, "", "@all\ud800\n|`", [], {}, [None], {"x": {}}, "fast"]
    for _ in range(chance.choice([1, 1, 2])):
        inner: Any = whole
        steps: list[tuple[Any, Any]] = []
        while isinstance(inner, (dict, list)) and inner and (not steps or chance.random() < 0.85):
            step = chance.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
            steps.append((inner, step))
            inner = inner[step]
        holder, step = steps[-1]
        if chance.random() < 0.3:
            del holder[step]
        else:
            holder[step] = chance.choice(values)
    return whole


def refusal_of(text: str) -> str:
    try:
        parse_result(text.encode(), "r.json")
    except ResultError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_one_and_the_command_prints_it(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", name]) == 0
    printed = capsys.readouterr().out
    jsonschema.Draft202012Validator.check_schema(json.loads(printed))


def test_what_is_written_is_as_published() -> None:
    validator("result").validate(document())
    validator("result").validate(json.loads(RECORD.read_text())["result"])
    for load in document()["loads"]:
        validator("load").validate(load)
    validator("load").validate(json.loads(load_json.to_json(LOAD, LIMITS)))


def test_every_member_that_is_written_is_published() -> None:
    published = json.loads(schema_text("result"))
    whole = document()
    assert set(whole) == set(published["properties"])
    assert set(whole["tests"][0]) == set(published["$defs"]["test"]["properties"])
    assert set(whole["tests"][0]["metrics"]["cpu"]) == set(published["$defs"]["metric"]["properties"])
    load = json.loads(load_json.to_json(LOAD, LIMITS))
    assert {*load, "search"} == set(json.loads(schema_text("load"))["properties"])


def test_schema_and_reader_refuse_the_same_results() -> None:
    chance, check, accepted, refused = random.Random(5), validator("result"), 0, 0
    for _ in range(250):
        text = json.dumps(mutated(chance, document())).replace("Infinity", "1e999")
        is_valid, refusal = check.is_valid(json.loads(text)), refusal_of(text)
        if any(words in refusal for words in WITHOUT_A_FORM):
            continue
        assert is_valid == (not refusal), f"{refusal}: {text}"
        accepted, refused = accepted + is_valid, refused + (not is_valid)
    assert accepted > 20
    assert refused > 80


def test_what_the_schema_of_loads_takes_is_read(tmp_path: Path) -> None:
    chance, check, accepted, refused = random.Random(6), validator("load"), 0, 0
    path = tmp_path / "load.json"
    whole = load_json.to_json(LOAD, LIMITS)
    for _ in range(400):
        text = json.dumps(mutated(chance, json.loads(whole))).replace("Infinity", "1e999")
        if not check.is_valid(json.loads(text)):
            refused += 1
            continue
        accepted += 1
        path.write_text(text)
        read_result_or_load(path)
    assert accepted > 20
    assert refused > 100
