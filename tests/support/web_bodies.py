"""Request bodies: their declarations, valid JSON for them, and bytes that are anything else."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from random import Random
from typing import Any

from support.web_kinds import MANY, SCALARS, STRANGE_VALUES, UNIONS, Kind, Raw, arguments, value
from support.web_params import Declared

HAS_MULTIPART = find_spec("python_multipart") is not None

Maker = Callable[[Random], Any]


@dataclass(frozen=True, slots=True)
class Body:
    """A body as a client knows it: ``make`` returns a valid value, for JSON or (``form``) as fields."""

    make: Maker
    form: bool = False


def _model(name: str, /, **fields: tuple[Any, ...]) -> tuple[str, Maker]:
    """A model of the library. A field whose name ends in ``_`` may be missing."""

    def make(rng: Random) -> Any:
        present = {key: values for key, values in fields.items() if not key.endswith("_") or rng.random() < 0.6}
        return {key.rstrip("_"): _usually(rng, values) for key, values in present.items()}

    return name, make


def _usually(rng: Random, values: tuple[Any, ...]) -> Any:
    return values[0] if rng.random() < 0.5 else rng.choice(values)


def _tree(rng: Random, depth: int = 3) -> Any:
    children = [_tree(rng, depth - 1) for _ in range(rng.randrange(3))] if depth else []
    return {"value": rng.randrange(100), "children": children}


_MODELS: tuple[tuple[str, Maker], ...] = (
    _model("Item", name=("tea", "é"), price_=(1, 2.5), tags_=([], ["a"]), noteAlias_=("n", None), note_=("own",)),
    _model("Strict", count=(1, 2), name_=("x",), ratio_=(0.5, None)),
    _model("Checked", low_=(1, "one", 20), high_=(2, 15)),
    _model("Point", x=(1,), y_=(2.5,), label_=(None, "l")),
    _model("Typed", a_=(1,), b_=("b",)),
    _model("Shown", id=(1,), cost_=("2.50",), when_=("2024-02-29T00:00:00Z",), item_=(None, {"name": "i"})),
    ("Tree", _tree),
    ("Numbers", lambda rng: rng.choice(([1, 2], []))),
    ("Annotated[Cat | Dog, Field(discriminator='kind')]", lambda rng: {"kind": rng.choice(("cat", "dog"))}),
    ("Cat | Dog | Item", lambda rng: rng.choice(({"kind": "cat"}, {"kind": "dog", "good": False}, {"name": "i"}))),
)


def body(rng: Random, number: int) -> tuple[str, list[Declared], Body]:
    """Parameters that make a body, with the definitions that they need."""
    if HAS_MULTIPART and rng.random() < 0.2:
        return _form(rng)
    return rng.choice((_one_model, _one_model, _own_model, _own_model, _several, _scalar, _collection))(rng, number)


def _one_model(rng: Random, number: int) -> tuple[str, list[Declared], Body]:
    name, make = rng.choice(_MODELS)
    if rng.random() < 0.2:
        declared = Declared("item", f"item: Annotated[{name}, Body(embed=True)]")
        return "", [declared], Body(lambda rng: {"item": make(rng)})
    if rng.random() < 0.15:
        return "", [Declared("item", f"item: {name} | None = None")], Body(make)
    if name.startswith("Annotated"):
        return "", [Declared("item", f"item: Annotated[{name}, Body()]")], Body(make)
    return "", [Declared("item", f"item: {name}")], Body(make)


def _own_model(rng: Random, number: int) -> tuple[str, list[Declared], Body]:
    """A model of random fields."""
    config = rng.choice(("", "", 'extra="forbid"', 'extra="allow"', "strict=True", "str_strip_whitespace=True"))
    lines = [f"class Model{number}(BaseModel):"]
    if config:
        lines.append(f"    model_config = ConfigDict({config})")
    fields: dict[str, tuple[Maker, bool]] = {}
    for index in range(rng.randrange(1, 6)):
        name, wire = f"f{index}", f"f{index}"
        annotation, kind_make, default, options = _field(rng)
        if rng.random() < 0.2:
            wire = f"{name}Alias"
            options = [*options, rng.choice((f'alias="{wire}"', f'validation_alias="{wire}"'))]
        required = rng.random() < 0.5
        if not required:
            options = [rng.choice((f"default={default}", f"default_factory=lambda: {default}")), *options]
        lines.append(f"    {name}: {annotation} = Field({', '.join(options)})")
        fields[wire] = (kind_make, required)

    def make(rng: Random) -> Any:
        return {name: make(rng) for name, (make, required) in fields.items() if required or rng.random() < 0.6}

    many = rng.random() < 0.2
    annotation = f"list[Model{number}]" if many else f"Model{number}"
    declared = Declared("item", f"item: {annotation}")
    return "\n".join(lines) + "\n", [declared], Body(lambda rng: [make(rng), make(rng)] if many else make(rng))


def _field(rng: Random) -> tuple[str, Maker, str, list[str]]:
    if rng.random() < 0.25:
        model, make = rng.choice(_MODELS[:6])
        if rng.random() < 0.5:
            return f"list[{model}]", lambda rng: [make(rng) for _ in range(rng.randrange(3))], "[]", []
        return f"{model} | None", make, "None", []
    kind = rng.choice((*SCALARS, *SCALARS, *UNIONS, *MANY))
    options = arguments(rng, kind)
    if kind.annotation in ("int", "float", "bool", "str") and rng.random() < 0.15:
        options.append("strict=True")
    return kind.annotation, _of(kind), kind.default, options


def _of(kind: Kind) -> Maker:
    return lambda rng: value(rng, kind)


def _several(rng: Random, number: int) -> tuple[str, list[Declared], Body]:
    (first, make_first), (second, make_second) = rng.sample(_MODELS[:6], 2)
    declared = [Declared("one", f"one: {first}"), Declared("two", f"two: {second} | None = None")]
    makers: dict[str, Maker] = {"one": make_first, "two": make_second}
    if rng.random() < 0.5:
        kind = rng.choice(SCALARS)
        declared.append(Declared("three", f"three: Annotated[{kind.annotation}, Body()] = {kind.default}"))
        makers["three"] = _of(kind)
    return "", declared, Body(lambda rng: {name: make(rng) for name, make in makers.items()})


def _scalar(rng: Random, number: int) -> tuple[str, list[Declared], Body]:
    kind = rng.choice((*SCALARS, *UNIONS))
    options = arguments(rng, kind)
    default = f" = {kind.default}" if rng.random() < 0.3 else ""
    source = f"item: Annotated[{kind.annotation}, Body({', '.join(options)})]{default}"
    return "", [Declared("item", source)], Body(_of(kind))


def _collection(rng: Random, number: int) -> tuple[str, list[Declared], Body]:
    annotation, make = rng.choice((
        ("list[int]", lambda rng: [1, 2]), ("list[Item]", lambda rng: [{"name": "a"}, {"name": "b"}]),
        ("dict[str, int]", lambda rng: {"a": 1}), ("dict[int, float]", lambda rng: {"1": 0.5}),
        ("dict", lambda rng: {}),
        ("list", lambda rng: [1, "a", None]), ("set[int]", lambda rng: [1, 1, 2]),
    ))  # fmt: skip
    return "", [Declared("item", f"item: {annotation}")], Body(make)


def _form(rng: Random) -> tuple[str, list[Declared], Body]:
    declared = [Declared("name", "name: Annotated[str, Form()]"), Declared("age", "age: Annotated[int, Form()] = 3")]
    values: dict[str, tuple[Any, ...]] = {"name": ("a", "é b"), "age": ("1", "x")}
    if rng.random() < 0.5:
        declared.append(Declared("tags", "tags: Annotated[list[str], Form()] = []"))
        values["tags"] = ("t",)
    if rng.random() < 0.5:
        declared.append(Declared("upload", "upload: Annotated[bytes | None, File()] = None"))
        values["upload"] = ("content",)
    return "", declared, Body(lambda rng: {name: rng.choice(choice) for name, choice in values.items()}, form=True)


def mutate(rng: Random, valid: Any) -> Any:
    """A valid value with something wrong, or merely unusual, somewhere in it."""
    if rng.random() < 0.15 or not isinstance(valid, dict | list) or not valid:
        return rng.choice(STRANGE_VALUES)
    changed = copy.copy(valid)
    key = rng.choice(list(changed) if isinstance(changed, dict) else range(len(changed)))
    action = rng.random()
    if action < 0.6:
        changed[key] = mutate(rng, changed[key])
    elif action < 0.75:
        del changed[key]
    elif isinstance(changed, dict):
        changed[rng.choice(("extra", "", "f0", key.upper(), "__class__", "é"))] = rng.choice(STRANGE_VALUES)
    else:
        changed.append(rng.choice(STRANGE_VALUES))
    return changed


def encode(rng: Random, value: Any) -> str:
    """JSON in one of the many ways to write it."""
    blank = rng.choice(("", "", " ", "\n\t"))
    if isinstance(value, Raw):
        return value
    if isinstance(value, dict):
        items = [f"{encode(rng, key)}{blank}:{encode(rng, one)}" for key, one in value.items()]
        if items and rng.random() < 0.04:
            items.append(rng.choice(items))
        return "{" + blank + f",{blank}".join(items) + "}" + blank
    if isinstance(value, list):
        return "[" + f"{blank},".join(encode(rng, one) for one in value) + blank + "]"
    return json.dumps(value, ensure_ascii=rng.random() < 0.5)


# Bodies that are no JSON of any kind that is asked for.
ODD_BODIES: tuple[bytes, ...] = (
    b"", b" ", b"{", b"}", b"nul", b"null", b"true", b"{}", b"[]", b"[1", b'{"a":}', b'{"a" 1}', b"{'a': 1}", b'"',
    b'{"name": "a", "name": "b"}', b"{}{}", b"{} x", b"\xef\xbb\xbf{}", b"\xff\xfe{\x00}\x00",
    '{"a":1}'.encode("utf-16"),
    '{"a":1}'.encode("utf-32"), b'{"name": "\xff"}', b'{"name": "\xc3\x28"}', b'\x00{"a":1}', b'{"a":1}\x00',
    b"[" * 200 + b"]" * 200, b"[" * 100_000, b'{"a":' * 500 + b"1" + b"}" * 500, b"9" * 5000, b"-", b"1e5", b"NaN",
    b"a=1&b=2", b"<xml/>", b'{"name": "' + b"x" * 70_000 + b'"}', b"\n\r\t {}\n",
)  # fmt: skip

CONTENT_TYPES: tuple[bytes | None, ...] = (
    b"application/json", b"application/json; charset=utf-8", b"application/vnd.api+json", b"APPLICATION/JSON",
    b"application/json;charset=latin-1", b"application/problem+json", b"text/plain", b"text/json", b"", b"application",
    b"application/jsonx", b"application/x-www-form-urlencoded", b"multipart/form-data", b"application/json, text/plain",
    b" application/json ", b"json", b"application/json; x=\"a;b\"", b"application/+json", b"\xff/json", None,
)  # fmt: skip
