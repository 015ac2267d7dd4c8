"""Kinds of values: how a parameter or a field is declared, and what a client says for it."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar

T = TypeVar("T")


class Raw(str):
    """JSON text that no encoder would write."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Kind:
    """A type as its annotation.

    ``texts`` are what it is in a URL or a header, ``values`` what it is in JSON; the first of each suits all
    constraints.
    ``constraints`` are arguments of Query() and Field(), of which a declaration takes some. ``default`` is source.
    """

    annotation: str
    texts: tuple[str, ...]
    values: tuple[Any, ...]
    default: str
    constraints: tuple[str, ...] = ()
    many: bool = False


_INTS = ("5", "0", "1", "2", "10", "42", "-3", "100")
_FLOATS = ("1", "0.5", "-2.5", "1e3", "10.0", "3.14159")
_WORDS = ("abc", "a", "hello", "ab", "Tea", "x" * 12)
_UUIDS = ("12345678-1234-5678-1234-567812345678", "12345678123456781234567812345678")
_BOUNDS = ("ge=1", "le=10", "gt=0", "lt=100", "multiple_of=5")
_LENGTHS = ("min_length=2", "max_length=5", 'pattern="^[a-c]+$"')

SCALARS: tuple[Kind, ...] = (
    Kind("int", _INTS, (5, 0, 1, 10, -3, 42, 2**53 + 1), "7", _BOUNDS),
    Kind("int", _INTS, (5, 0, 1, 10, -3), "7"),
    Kind("float", _FLOATS, (1, 0.5, -2.5, 10.0, 1e22), "1.5", _BOUNDS[:4]),
    Kind("float", _FLOATS, (0.5, 1, -2.5, 1e300), "1.5"),
    Kind("str", _WORDS, _WORDS, '"word"', _LENGTHS),
    Kind("str", _WORDS, (*_WORDS, "é€😀", ""), '"word"'),
    Kind("bool", ("true", "false", "1", "0", "on", "no"), (True, False), "True"),
    Kind("Color", ("red", "blue"), ("red", "blue"), "Color.red"),
    Kind("Level", ("1", "2"), (1, 2), "Level.low"),
    Kind('Literal["a", "b"]', ("a", "b"), ("a", "b"), '"a"'),
    Kind("Literal[1, 2]", ("1", "2"), (1, 2), "2"),
    Kind("datetime.date", ("2024-02-29", "1999-12-31"), ("2024-02-29",), "datetime.date(2024, 2, 29)"),
    Kind("datetime.datetime", ("2024-02-29T12:00:00Z", "2024-02-29 12:00", "1700000000"),
         ("2024-02-29T12:00:00+02:00", 1700000000), "datetime.datetime(2024, 2, 29, 12)"),
    Kind("datetime.time", ("12:30", "23:59:59.5"), ("12:30:00",), "datetime.time(12, 30)"),
    Kind("datetime.timedelta", ("P1D", "3600", "01:00:00"), ("PT5M", 60.5), "datetime.timedelta(hours=1)"),
    Kind("uuid.UUID", _UUIDS, _UUIDS[:1], f'uuid.UUID("{_UUIDS[0]}")'),
    Kind("decimal.Decimal", ("1.10", "5", "-0.01", "99.999"), ("1.10", 5, 2.5), 'decimal.Decimal("1.10")',
         ("max_digits=4", "decimal_places=2", "ge=0")),
    Kind("ipaddress.IPv4Address", ("127.0.0.1",), ("10.0.0.1",), 'ipaddress.IPv4Address("127.0.0.1")'),
    Kind("bytes", ("abc",), ("abc", "é"), 'b"x"'),
    Kind("Even", ("2", "4", "3"), (2, 4, 3), "2"),
)  # fmt: skip

UNIONS: tuple[Kind, ...] = (
    Kind("int | None", ("1", "", "null"), (1, None), "None"),
    Kind("Optional[str]", ("x", ""), ("x", None), "None", _LENGTHS),
    Kind("int | str", ("1", "a"), (1, "a", "1"), '"u"'),
    Kind("str | int", ("1", "a"), (1, "a"), '"u"'),
    Kind("float | bool", ("1", "true", "0.5"), (True, 0.5), "0.5"),
    Kind("Color | int", ("red", "3"), ("red", 3), "3"),
    Kind("datetime.date | None", ("2024-02-29",), ("2024-02-29", None), "None"),
    Kind("Any", ("1", "a"), (1, "a", None, [1], {"a": 1}), "None"),
)

MANY: tuple[Kind, ...] = (
    Kind("list[str]", _WORDS, (["a"], [], ["a", "b"]), "[]", _LENGTHS[:2], many=True),
    Kind("list[int]", _INTS, ([1], [1, 2, 3]), "[1]", _LENGTHS[:2], many=True),
    Kind("list[int] | None", _INTS, ([1], None), "None", many=True),
    Kind("set[int]", _INTS, ([1, 1], [2]), "{1}", many=True),
    Kind("list[Color]", ("red", "blue"), (["red"],), "[]", many=True),
    Kind("tuple[int, str]", ("1", "2"), ([1, "a"],), '(1, "a")', many=True),
    Kind("frozenset[str]", ("a",), (["a"],), "frozenset()", many=True),
    Kind("Sequence[float]", _FLOATS, ([0.5], [1, 2]), "()", many=True),
)

# Said instead of what a kind expects.
STRANGE_TEXTS: tuple[str, ...] = (
    "", " ", "0", "007", "+5", "-0", "1_000", " 5 ", "5.0", "5.", "5.5", "1e3", "1" + "0" * 30, "9" * 5000, "0x10",
    "0b1", "\u0663", "\uff15", "nan", "NaN", "inf", "-inf", "Infinity", "1.", ".5", "1e400", "-1e400", "1e-400", "--1",
    "1-",
    "true", "True", "TRUE", "t", "T", "y", "Y", "yes", "on", "off", "OFF", "no", "n", "f", "False", "2", "null", "None",
    "[]", "{}", "a,b", "\u00e9", "\u20ac", "\U0001f600", "\u0000", "\n", "\t5", "5\n", "a\u0301", "\u202e", "\ufeff1",
    "red ", "RED", "2024-02-30", "2024-2-1", "20240229", "12345678-1234-5678-1234-56781234567",
    "{12345678-1234-5678-1234-567812345678}", "urn:uuid:12345678-1234-5678-1234-567812345678", "1.1.1", "256.0.0.1",
    "x" * 3000, "../..", "a/b", "a;b", "a&b=c", "a=b", "a?b", "a#b", "%", "%41", "+", "a+b", "<script>", "'\"",
)  # fmt: skip

STRANGE_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -0.0, 1, -1, 5.0, 5.5, 10**30, -(10**30), 1e308, Raw("1e400"), Raw("-0"), Raw("1E5"),
    Raw("1.0"), Raw("1.10000000000000000000001"), Raw("NaN"), Raw("Infinity"), Raw("-Infinity"), Raw('"\\ud800"'),
    Raw('"\\ud83d\\ude00"'), Raw('"\\u0000"'), Raw('"a\tb"'), Raw('"\\x"'), Raw("01"), Raw("+1"), Raw(".5"), Raw("1."),
    Raw("'a'"), Raw("[1,]"), Raw('{"a":1,"a":2}'), Raw("9" * 4400), Raw("/**/1"), "", " ", "5", " 5 ", "1_000", "nan",
    "true", "red", "\ufeff", "\u00e9\u20ac\U0001f600", "x" * 3000, [], [[]], [1], [None], {}, {"a": {}}, {"": 0},
    {"__proto__": 1}, [1, "a", None, {"b": [2.5]}],
)  # fmt: skip


def text(rng: Random, kind: Kind, mood: str) -> str:
    """What a client says for a kind: ``fine``, or anything."""
    if mood == "fine" or rng.random() < 0.4:
        return _usual(rng, kind.texts)
    return rng.choice(STRANGE_TEXTS)


def value(rng: Random, kind: Kind) -> Any:
    """What a client says for a kind in JSON."""
    return _usual(rng, kind.values)


def _usual(rng: Random, choice: tuple[T, ...]) -> T:
    return choice[0] if rng.random() < 0.55 else rng.choice(choice)


def arguments(rng: Random, kind: Kind, chance: float = 0.6) -> list[str]:
    """Some of a kind's constraints."""
    return [one for one in kind.constraints if rng.random() < chance / len(kind.constraints)]
