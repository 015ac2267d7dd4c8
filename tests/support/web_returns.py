"""What handlers give back: decorator options that shape it, and expressions of every kind."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Return:
    """How a handler ends: options of its decorator, its return annotation, and its last statement."""

    statement: str
    options: tuple[str, ...] = ()
    annotation: str = ""


VALUES: tuple[str, ...] = (
    "None", "True", "0", "1.5", "-0.0", "1e22", "1e-7", "0.1 + 0.2", "10**40", "-(10**20)", 'float("nan")',
    'float("inf")',
    '[float("-inf"), 1]', '{"deep": {"nan": float("nan")}}', '""', '"text"', '"\\u00e9\\u20ac\\U0001f600\\u2028"',
    '"\\ud800"', '"quote \\" back \\\\ slash / \\x00 \\x1f \\x7f"', "[]", "{}", "[1, [2, [3, []]]]", "(1, 2)",
    '{1: "int", 2.5: "float", None: "none", True: "bool"}', '{"_sa_instance_state": 1, "_sa": 2, "kept": 3}',
    '{"a": {"_sa_x": 1, "b": None}}', '{(1, 2): "tuple"}', '{Color.red: Level.high}', '{"\\ud800": 1}', '{b"k": 1}',
    "{1}", "frozenset({2})", 'b"bytes"', 'b"\\xff"', 'bytearray(b"x")', "(n for n in (1, 2))", "range(3)",
    "collections.deque([1, 2])", "Color.red", "Plain.b", "Level.low", "[Plain.a, Color.blue]",
    "datetime.date(2024, 2, 29)",
    "datetime.datetime(2024, 2, 29, 12, 30, 1, 500)", "datetime.time(1, 2)", "datetime.timedelta(days=1, seconds=5)",
    'decimal.Decimal("1.10")', 'decimal.Decimal("5")', 'decimal.Decimal("NaN")', 'decimal.Decimal("1E+3")',
    'uuid.UUID("12345678-1234-5678-1234-567812345678")', 'ipaddress.IPv6Address("::1")', 'FilePath("a/b")',
    "Point(1)", "[Point(1), Point(2, label='l')]", 'Item(name="i")', '[Item(name="a"), Secret(name="b")]',
    'Shown(id=3, item=Item(name="n"))', "Wrapped(inner=1)", "Numbers([1, 2])", 'Named(1, "b")', "Custom()", "Opaque()",
    "object()", "1j", "NotImplemented", "collections.OrderedDict(b=1, a=2)", "collections.Counter('aab')",
    'collections.defaultdict(int, {"x": 1})', '{"x": "y" * 5000}', "list(range(500))",
    '{"k%d" % n: n for n in range(99)}',
    'Exception("as a value")', "print", '{"re": __import__("re").compile("a+")}', '{"item": Item(name="i")}',
    '{"many": [datetime.date(2024, 1, 1), decimal.Decimal("0.1"), {2}, b"b", Plain.a, Point(1)]}',
)  # fmt: skip

RESPONSES: tuple[str, ...] = (
    'JSONResponse({"a": 1}, status_code=418, headers={"x-a": "1"})', 'JSONResponse({"a": float("nan")})',
    'JSONResponse(None)', 'JSONResponse({"\\u00e9": "\\u20ac"}, media_type="application/problem+json")',
    'JSONResponse({"s": "\\ud800"})', 'JSONResponse({"d": datetime.date(2024, 1, 1)})',
    'HTMLResponse("<b>\\u00e9</b>")',
    'PlainTextResponse("text", status_code=202)', 'RedirectResponse("/else where?q=\\u00e9&x=%20")',
    'RedirectResponse("/x", status_code=303)', 'StreamingResponse(iter([b"a", "b", b""]))',
    "StreamingResponse(iter([]))",
    'StreamingResponse(pieces(), media_type="text/csv")', "StreamingResponse(broken_pieces())",
    'StreamingResponse(pieces(), headers={"x-s": "1"}, background=BackgroundTask(later, "stream"))',
    'StreamingResponse(iter([b"x" * 30000] * 5), headers={"content-length": "150000"})',
    'Response(b"\\x00\\xff", media_type="application/octet-stream")', "Response(status_code=204)",
    "Response(status_code=304)", 'Response(b"not for 204", status_code=204)', "Response()", 'Response("x" * 5000)',
    'with_cookies(Response("c"))', 'with_cookies(JSONResponse([1]))', 'Response("u", media_type="text/plain")',
    'FileResponse(FilePath(FOLDER.name, "note.txt"))',
    'FileResponse(FilePath(FOLDER.name, "big.bin"), filename="\\u00fc.txt")',
    'FileResponse(FilePath(FOLDER.name, "none.txt"))',
    'FileResponse(FilePath(FOLDER.name, "page.html"), status_code=404)',
    'FileResponse(FilePath(FOLDER.name, "note.txt"), background=BackgroundTask(later_async, "file"))',
    'Response("late", background=BackgroundTask(later, "response"))',
    'Response("f", background=BackgroundTask(later, 1, True))',
    'Response("x", headers={"content-length": "3"})', 'Response("bad", headers={"x-bad": "a\\nb"})',
    'Response("latin", headers={"x-latin": "caf\\u00e9"})', 'Response("no latin", headers={"x-euro": "\\u20ac"})',
    'Response("s", status_code=299)', 'Response("m", media_type="text/html; charset=x")', "Response(b'', 205)",
    'Response("t", headers={"Content-Type": "a/b", "X-Upper": "U", "x-empty": ""})', 'Response("x", status_code=599)',
)  # fmt: skip

ERRORS: tuple[str, ...] = (
    "raise HTTPException(404)", 'raise HTTPException(418, {"why": ["a", 1]}, headers={"X-Why": "tea"})',
    'raise HTTPException(status_code=401, detail="no", headers={"WWW-Authenticate": "Basic"})',
    "raise HTTPException(204)", "raise HTTPException(304)", 'raise HTTPException(400, detail=float("nan"))',
    'raise HTTPException(400, detail={"d": datetime.date(2024, 1, 1)})', 'raise ValueError("bug")',
    "raise KeyError('k')",
    "assert False", "1 / 0", 'raise Teapot("short")', "raise RuntimeError() from ValueError()", "raise StopIteration",
    'raise RequestValidationError([{"type": "own", "loc": ("body",), "msg": "m", "input": 1}])', "raise TimeoutError",
    'raise ExceptionGroup("group", [ValueError(1)])', "raise EOFError",
    'raise fastapi.exceptions.HTTPException(500, "own 500")', "raise asyncio.TimeoutError", "raise NotImplementedError",
    "raise OSError(2, 'gone')", "raise UnicodeDecodeError('utf-8', b'x', 0, 1, 'r')", "raise RecursionError",
)  # fmt: skip

# Response models: the annotation, and what is returned for it; some of it is refused.
_MODELS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Item", ('Item(name="i")', '{"name": "d", "noteAlias": "a", "more": 1}', 'Secret(name="s", note="n")',
              '{"price": 1}', "None", 'Item.model_construct(name=1)')),
    ("Shown", ("Shown(id=1)", '{"id": "2", "cost": 3}', 'Shown(id=1, item=Secret(name="s"))', '{"id": "x"}')),
    ("list[Item]", ('[Item(name="a"), {"name": "b"}]', "[]", "None", '({"name": n} for n in "ab")')),
    ("Item | None", ("None", 'Item(name="i", tags=["t"])')), ("int", ("1", '"2"', '"x"', "2.0", "True", "10**30")),
    ("float", ("1", "0.1", 'float("nan")', 'float("inf")', "1e22")),
    ("str", ('"s"', "1", '"\\ud800"', 'b"b"', "Color.red")),
    ("dict[str, int]", ('{"a": 1}', '{"a": "1"}', '{1: 1}')), ("dict[int, str]", ('{1: "a"}',)),
    ("None", ("None", "1")),
    ("list[int]", ("[1, 2]", "(1, 2)", '["x"]', "{1}", "range(2)")), ("Point", ("Point(1)", '{"x": 1}', '{"x": "a"}')),
    ("bytes", ('b"b"', '"s"', 'b"\\xff"')), ("datetime.datetime", ('"2024-01-01"', "0", "datetime.date(2024, 1, 1)")),
    ("decimal.Decimal", ('"1.10"', "1.5", 'decimal.Decimal("NaN")')), ("Color", ('"red"', "Color.blue", '"green"')),
    ("Typed", ('{"a": 1}', '{"a": 1, "b": "b", "c": 2}', "{}")), ("Wrapped", ("Wrapped(inner=1)", '{"inner": 2}')),
    ("Numbers", ("[1]", "Numbers([2])")), ("Cat | Dog", ('{"kind": "dog"}', 'Cat(kind="cat")')),
    ("Any", ("1", "object()")),
    ("Tree", ('Tree(value=1, children=[Tree(value=2)])', '{"value": 1}')), ("set[int]", ("{1}", "[1, 1]")),
    ("Checked", ('{"low": "one"}', '{"low": 30}')), ("Literal[1, 'a']", ("1", "'a'", "2")), ("Even", ("2", "3")),
    ("tuple[int, Item]", ('(1, {"name": "n"})',)), ("dict", ('{"a": object()}', "{}")),
    ("object", ('{"a": Item(name="o")}',)),
)  # fmt: skip

_SHAPES: tuple[str, ...] = (
    "response_model_exclude_unset=True", "response_model_exclude_none=True", "response_model_exclude_defaults=True",
    "response_model_by_alias=False", 'response_model_include={"name", "id"}',
    'response_model_exclude={"price", "cost"}',
)  # fmt: skip

_CLASSES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("HTMLResponse", ('"<p>p</p>"', '"\\u00e9"', 'b"b"', "None", "1", "[1]")),
    ("Response", ('b"b"', '"s"', "None", "{}")),
    ("PlainTextResponse", ('"t"', "None", "5")), ("JSONResponse", ('{"a": 1}', 'float("nan")', "Item(name='j')")),
    ("RedirectResponse", ('"/to"', '"https://x.example/\\u00e9"')), ("StreamingResponse", ('["a", "b"]', "pieces()")),
    ("OwnJSON", ('{"b": 1, "a": [float("nan")]}', "Item(name='o')", "None")),
    ("FileResponse", ('str(FilePath(FOLDER.name, "note.txt"))', '"/nowhere"')),
)  # fmt: skip

_STATUSES = (200, 201, 202, 204, 205, 206, 299, 304, 400, 404, 500)


def ending(rng: Random, names: list[str]) -> Return:
    """How a handler with these parameters ends."""
    choice = rng.random()
    status = (f"status_code={rng.choice(_STATUSES)}",) if rng.random() < 0.15 else ()
    if choice < 0.35 and names:
        shown = rng.choice((
            "{" + ", ".join(f'"{name}": {name}' for name in names) + "}", f"[{', '.join(names)}]", names[0],
            "repr([" + ", ".join(names) + "])",
        ))  # fmt: skip
        return Return(f"return {shown}", status)
    if choice < 0.5:
        return Return(f"return {rng.choice(VALUES)}", status)
    if choice < 0.62:
        annotation = rng.choice(("", " -> Any", " -> Response")) if rng.random() < 0.5 else ""
        return Return(f"return {rng.choice(RESPONSES)}", status, annotation)
    if choice < 0.72:
        return Return(rng.choice(ERRORS), status)
    if choice < 0.77:
        name, values = rng.choice(_CLASSES)
        return Return(f"return {rng.choice(values)}", (*status, f"response_class={name}"))
    return _modelled(rng, status)


def _modelled(rng: Random, status: tuple[str, ...]) -> Return:
    model, values = rng.choice(_MODELS[:4] if rng.random() < 0.4 else _MODELS)
    options = list(status)
    if rng.random() < 0.5:
        options += rng.sample(_SHAPES, rng.choice((1, 1, 2)))
    if rng.random() < 0.1:
        options.append("response_class=JSONResponse")
    statement = f"return {rng.choice(values)}"
    if rng.random() < 0.5:
        return Return(statement, tuple(options), f" -> {model}")
    other = rng.choice((" -> Any", ""))
    return Return(statement, (*options, f"response_model={model}"), other)
