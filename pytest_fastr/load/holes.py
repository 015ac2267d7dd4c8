"""Placeholders in requests: ``${name}`` in any text, and :func:`var` for a value of its own type in JSON.

A request is built by the same code with and without them. Each placeholder is first replaced by letters and digits that
quoting, form encoding and JSON leave alone, and that say how the value is written where it stands; the finished bytes
are cut at those.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Form = Literal["text", "field", "url", "link", "form", "json_text", "json_value"]
"""How a value is written: see ``_Part`` of the native border."""

_FORMS: tuple[Form, ...] = ("text", "field", "url", "link", "form", "json_text", "json_value")
_PLACEHOLDER = re.compile(r"(?P<dollars>\$+)\{(?P<name>[^\W\d]\w*)\}", re.ASCII)
# Nobody's own text has it, so that it cannot be taken for a placeholder.
_MARK = f"fastrhole{secrets.token_hex(8)}"
# A value that keeps its type stands alone in its quotes, which go with it.
_HOLE = re.compile(rf'"{_MARK}6x(?P<value>[0-9a-f]+)z"|{_MARK}(?P<form>[0-5])x(?P<text>[0-9a-f]+)z')
_HOLE_BYTES = re.compile(_HOLE.pattern.encode())


@dataclass(frozen=True, slots=True)
class Var:
    """A value that a user holds."""

    name: str


def var(name: str) -> Any:
    """The value called ``name``, as it is: in JSON a captured number stays a number. Anywhere else it is text."""
    return Var(name)


def mark(value: Any, form: Form) -> Any:
    """The value with its placeholders marked; mappings and lists are gone through.

    ``$${name}`` becomes the text ``${name}``; of several ``$`` before a placeholder, two are one.
    """
    if isinstance(value, Var):
        return _token("json_value" if form == "json_text" else form, value.name)
    if isinstance(value, str):
        return _PLACEHOLDER.sub(lambda found: _replacement(found, form), value)
    if isinstance(value, bytes):
        return mark(value.decode("latin-1"), form).encode("latin-1")
    if isinstance(value, Mapping):
        return {mark(key, form) if isinstance(key, str) else key: mark(one, form) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [mark(one, form) for one in value]
    return value


def mark_path(path: Any) -> Any:
    """A path with its placeholders marked. One that is nothing but a placeholder is a link of an answer."""
    whole = _PLACEHOLDER.fullmatch(path) if isinstance(path, str) else None
    is_link = isinstance(path, Var) or (whole is not None and whole["dollars"] == "$")
    return mark(path, "link" if is_link else "url")


def is_link(path: str) -> bool:
    """Whether a marked path is a link."""
    whole = _HOLE.fullmatch(path)
    return whole is not None and whole["form"] == str(_FORMS.index("link"))


def _replacement(found: re.Match[str], form: Form) -> str:
    plain, is_placeholder = divmod(len(found["dollars"]), 2)
    return "$" * plain + (_token(form, found["name"]) if is_placeholder else f"{{{found['name']}}}")


def _token(form: Form, name: str) -> str:
    return f"{_MARK}{_FORMS.index(form)}x{name.encode().hex()}z"


def shown(marked: str) -> str:
    """Marked text for a person."""
    return _HOLE.sub(lambda found: f"${{{_name(found['value'] or found['text'])}}}", marked)


def names(marked: bytes) -> tuple[str, ...]:
    """The placeholders of marked bytes, each once, in their order."""
    return tuple(dict.fromkeys(_name_of(found) for found in _HOLE_BYTES.finditer(marked)))


def parts(marked: bytes, slots: Mapping[str, int]) -> list[bytes | tuple[str, int]]:
    """Marked bytes as the parts of a template."""
    cut: list[bytes | tuple[str, int]] = []
    at = 0
    for found in _HOLE_BYTES.finditer(marked):
        form = "json_value" if found["value"] else _FORMS[int(found["form"])]
        cut += [marked[at : found.start()], (form, slots[_name_of(found)])]
        at = found.end()
    cut.append(marked[at:])
    return [part for part in cut if part]


def _name_of(found: re.Match[bytes]) -> str:
    return _name((found["value"] or found["text"]).decode())


def _name(digits: str) -> str:
    return bytes.fromhex(digits).decode()
