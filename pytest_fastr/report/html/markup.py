"""Elements of HTML and SVG. Text is escaped unless it is `Markup`, so that forgetting is safe."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterable
from typing import TypeAlias

# Elements without an end tag of their own: HTML's void ones, and SVG's that never have children here.
_EMPTY = frozenset({"br", "circle", "line", "link", "meta", "path", "rect", "wbr"})

# What a browser must not act on or cannot show: controls, lone surrogates, marks that reorder text, line separators.
_UNSHOWN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_KEPT = frozenset({"\n", "\u200d"})  # emoji are joined by the second

Attribute = str | int | float | bool | None


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


Child: TypeAlias = "str | Iterable[Child] | None"


def tag(name: str, /, *children: Child, **attributes: Attribute) -> Markup:
    """An element. Attributes that are None or False are left out, True has no value; ``_`` is written as ``-``."""
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _EMPTY:
        return Markup(f"<{name}{written}/>")
    return Markup(f"<{name}{written}>{join(children)}</{name}>")


def join(children: Iterable[Child]) -> Markup:
    """The children behind one another, those that are None left out."""
    parts: list[str] = []
    for child in children:
        if isinstance(child, str):
            parts.append(child if isinstance(child, Markup) else escaped(child))
        elif child is not None:
            parts.append(join(child))
    return Markup("".join(parts))


def escaped(text: str) -> Markup:
    """The text for any place in the document, attributes too."""
    shown = "".join(
        one if one in _KEPT or unicodedata.category(one) not in _UNSHOWN else one.encode("unicode_escape").decode()
        for one in text
    )
    return Markup(html.escape(shown, quote=True))


def number(value: float) -> str:
    """A coordinate, short."""
    return f"{value:.1f}".removesuffix(".0")


def _attribute(key: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    name = key.removesuffix("_").replace("_", "-")
    if value is True:
        return f' {name}=""'
    text = number(value) if isinstance(value, float) else str(value)
    return f' {name}="{escaped(text)}"'
