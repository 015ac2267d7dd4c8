"""Parameters of handlers: their declarations in every style, and what requests need to know of them."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Literal

from support.web_kinds import MANY, SCALARS, UNIONS, Kind, arguments

Place = Literal["path", "query", "header", "cookie"]

_FUNCTIONS = {"path": "Path", "query": "Query", "header": "Header", "cookie": "Cookie"}


@dataclass(frozen=True, slots=True)
class Hint:
    """A parameter as a client knows it."""

    place: Place
    name: str
    kind: Kind
    required: bool


@dataclass(frozen=True, slots=True)
class Declared:
    """A parameter of a function: ``source`` is what stands between its commas."""

    name: str
    source: str
    hints: tuple[Hint, ...] = ()

    @property
    def has_default(self) -> bool:
        """Whether it has to stand behind those that have none."""
        depth = 0
        for character in self.source:
            depth += (character in "([{") - (character in ")]}")
            if character == "=" and not depth:
                return True
        return False


def parameter(rng: Random, place: Place, name: str) -> Declared:
    """A query, header or cookie parameter."""
    pool = [*SCALARS, *SCALARS, *UNIONS]
    if place != "cookie":
        pool += MANY
    kind = rng.choice(pool)
    options = arguments(rng, kind)
    wire = name.replace("_", "-") if place == "header" else name
    if rng.random() < 0.2:
        wire = f"{name}-Alias" if place == "header" else f"{name}.alias"
        options.append(f'alias="{wire}"')
    elif place == "header" and rng.random() < 0.15:
        wire = name
        options.append("convert_underscores=False")
    style = rng.choice(("annotated", "default", "bare")) if place == "query" and not kind.many else "annotated"
    if style == "bare" and (options or kind.many):
        style = "default"
    required = rng.random() < 0.4
    return Declared(
        name, _declare(rng, name, kind, (place, options, style), required), (Hint(place, wire, kind, required),)
    )


def _declare(rng: Random, name: str, kind: Kind, how: tuple[Place, list[str], str], required: bool) -> str:
    place, options, style = how
    function = _FUNCTIONS[place]
    if style == "bare":
        return f"{name}: {kind.annotation}" + ("" if required else f" = {kind.default}")
    if style == "default":
        first = "..." if required else f"default={kind.default}"
        return f"{name}: {kind.annotation} = {function}({', '.join([first, *options])})"
    if not required and rng.random() < 0.15:
        options = [f"default_factory=lambda: {kind.default}", *options]
        return f"{name}: Annotated[{kind.annotation}, {function}({', '.join(options)})]"
    declared = f"{name}: Annotated[{kind.annotation}, {function}({', '.join(options)})]"
    return declared if required else f"{declared} = {kind.default}"


def model_parameter(rng: Random, place: Place, name: str) -> Declared:
    """A model whose fields are the parameters; it has to be the only one of its place."""
    number = SCALARS[1]
    if place == "query":
        hints: tuple[Hint, ...] = (
            Hint("query", "limit", number, required=False),
            Hint("query", "order", Kind("", ("up", "down"), (), ""), required=False),
            Hint("query", "tags", MANY[0], required=False),
        )
        return Declared(name, f"{name}: Annotated[Filter, Query()]", hints)
    wire = "x-token" if place == "header" else "x_token"
    hints = (Hint(place, wire, SCALARS[5], required=False), Hint(place, "number", number, required=False))
    return Declared(name, f"{name}: Annotated[Loose, {_FUNCTIONS[place]}()]", hints)


# Templates of one segment, and the convertor's idea of the value.
_SEGMENTS: tuple[tuple[str, str], ...] = (
    ("{%s}", "any"), ("{%s}", "any"), ("{%s}", "any"), ("{%s:int}", "int"), ("{%s:float}", "float"),
    ("{%s:uuid}", "uuid"), ("{%s:str}", "any"), ("{%s}.json", "any"), ("a-{%s}-b", "any"), ("v{%s:int}", "int"),
)  # fmt: skip

_NATURAL = {"int": ("int", "float", "str", "Level"), "float": ("float", "decimal.Decimal"), "uuid": ("uuid.UUID",)}


def path(rng: Random, number: int) -> tuple[str, list[Declared]]:
    """A path template and the parameters in it."""
    segments, declared = [rng.choice((f"r{number}", f"r{number}", "items", "common"))], []
    for index in range(rng.choice((0, 0, 1, 1, 1, 2))):
        name = f"p{index}"
        template, convertor = rng.choice(_SEGMENTS)
        segments.append(template % name)
        declared.append(_path_parameter(rng, name, convertor))
        if rng.random() < 0.3:
            segments.append(rng.choice(("sub", "x y", "é", "items.v1")))
    if rng.random() < 0.1:
        segments.append("{rest:path}")
        declared.append(Declared("rest", "rest: str", (Hint("path", "rest", SCALARS[5], True),)))
    return "/" + "/".join(segments) + ("/" if rng.random() < 0.1 else ""), declared


def _path_parameter(rng: Random, name: str, convertor: str) -> Declared:
    natural = _NATURAL.get(convertor)
    pool = [one for one in SCALARS if natural is None or one.annotation in natural]
    kind = rng.choice(pool)
    options = arguments(rng, kind)
    hint = Hint("path", name, kind, required=True)
    if not options and rng.random() < 0.6:
        return Declared(name, f"{name}: {kind.annotation}", (hint,))
    if rng.random() < 0.2:
        return Declared(name, f"{name}: {kind.annotation} = Path({', '.join(['...', *options])})", (hint,))
    return Declared(name, f"{name}: Annotated[{kind.annotation}, Path({', '.join(options)})]", (hint,))


def signature(rng: Random, declared: list[Declared]) -> str:
    """A parameter list: keyword-only in any order, or with defaults last."""
    if declared and rng.random() < 0.3:
        return ", ".join(["*", *(one.source for one in declared)])
    return ", ".join(one.source for one in sorted(declared, key=lambda one: one.has_default))
