"""The engine's JSON is Python's, to the byte and to the type, or it hands the value back."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pytest
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from pytest_fastr import _native
from pytest_fastr.web.responses import dump_model


class Model(BaseModel):
    name: str
    inner: list[Model] = []


def write(value: Any) -> bytes:
    return _native.write_json(value, BaseModel, dump_model)


def fastapi_writes(value: Any) -> bytes:
    return bytes(JSONResponse(jsonable_encoder(value)).body)


TEXTS = ("", "a", "ü", "\U0001f600", '"', "\\", "/", "\b\f\n\r\t", "\0\x1f\x7f", "\u2028", "a" * 70)
NUMBERS = (
    0,
    -1,
    2**31,
    2**63 - 1,
    -(2**63),
    0.0,
    -0.0,
    1.0,
    1e16,
    1e-5,
    1e22,
    123456789.123,
    5e-324,
    1.7976931348623157e308,
)


def any_value(draw: random.Random, depth: int = 0) -> Any:
    kind = draw.randrange(8 if depth < 4 else 5)
    if kind < 2:
        return draw.choice(TEXTS)
    if kind == 2:
        return draw.choice(NUMBERS)
    if kind == 3:
        return draw.choice((True, False, None))
    if kind == 4:
        return draw.uniform(-1e6, 1e6)
    items = [any_value(draw, depth + 1) for _ in range(draw.randrange(4))]
    if kind == 5:
        return items
    if kind == 6:
        return tuple(items)
    return {draw.choice(TEXTS) + str(number): item for number, item in enumerate(items)}


def test_plain_values_are_written_as_fastapi_writes_them() -> None:
    draw = random.Random(1)
    for _ in range(2000):
        value = any_value(draw)
        assert write(value) == fastapi_writes(value)


def test_models_are_written_as_fastapi_writes_them() -> None:
    one = Model(name="a", inner=[Model(name="b")])
    for value in (one, [one, Model(name="ü")], ({"a": 1}, one)):
        assert write(value) == fastapi_writes(value)
    # While a dictionary is gone through no code of the application's may run.
    with pytest.raises(ValueError, match="left to the framework"):
        write({"one": one})


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize("value", [
    math.nan, math.inf, 2**64, {1: 2}, {"_sa_state": 1}, "\ud800", {"\udfff": 1}, Text("a"), {Text("a"): 1}, b"a",
    {"a": object()}, set(), {"a": {None: 1}},
])  # fmt: skip
def test_what_is_not_plain_is_handed_back(value: Any) -> None:
    with pytest.raises(ValueError, match="left to the framework"):
        write(value)


def test_what_never_ends_is_handed_back() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ValueError, match="left to the framework"):
        write(endless)


def test_documents_are_read_as_json_reads_them() -> None:
    draw = random.Random(2)
    for _ in range(2000):
        value = any_value(draw)
        document = json.dumps(value, ensure_ascii=draw.random() < 0.5, indent=draw.choice((None, 1))).encode()
        read = _native.read_json(document)
        assert repr(read) == repr(json.loads(document))


@pytest.mark.parametrize("document", [
    b' {"a": 1, "a": 2} ', b'"\\ud83d\\ude00\\/\\u00e9"', b"-0", b"-0.0", b"1E5", b"1e400", b"[]", b"{}",
    b'{"":[{}]}', b"[1,\n2]",
])  # fmt: skip
def test_odd_documents_are_read_as_json_reads_them(document: bytes) -> None:
    assert repr(_native.read_json(document)) == repr(json.loads(document))


@pytest.mark.parametrize("document", [
    b"", b" ", b"NaN", b"Infinity", b"-", b"01", b"1.", b".5", b"1e", b"+1", b"[1,]", b'{"a":1,}', b"{'a':1}", b'{"a"}',
    b'"a', b'"\n"', b'"\\x"', b'"\\u12g4"', b'"\\ud800"', b'"\\ud800\\u0041"', b'"\\udc00"', b"tru", b"nulll", b"1 2",
    b"\xef\xbb\xbf{}", b"\xff", '{"a":1}'.encode("utf-16"), '"a"'.encode("utf-32"), b"[" * 200 + b"]" * 200,
    str(2**64).encode(), b"[\x00]",
])  # fmt: skip
def test_other_documents_are_handed_back(document: bytes) -> None:
    with pytest.raises(ValueError, match="left to the framework"):
        _native.read_json(document)


def test_no_document_of_random_bytes_is_read_otherwise_than_by_json() -> None:
    draw = random.Random(3)
    alphabet = b'{}[]",:0123456789.eE+-\\u truefalsn \n\xc3\xa9ab'
    both = 0
    for _ in range(20_000):
        document = bytes(draw.choice(alphabet) for _ in range(draw.randrange(12)))
        try:
            read = _native.read_json(document)
        except ValueError:
            continue
        both += 1
        assert repr(read) == repr(json.loads(document)), document
    assert both > 100
