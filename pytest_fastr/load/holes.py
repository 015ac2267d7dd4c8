"""Placeholders in requests: ``${name}`` in any text, and :func:`var` for a value of its own type in JSON.

A request is built by the same code with and without them: each placeholder is first replaced by letters and digits that
quoting, form encoding and JSON leave alone, and the finished bytes are cut at those.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_PLACEHOLDER = re.compile(r"(?P<escaped>\$\$\{)|\$\{(?P<name>[^\W\d]\w*)\}", re.ASCII)
# Nobody's own text has it, so that it cannot be taken for a placeholder.
_MARK = f"fastrhole{secrets.token_hex(8)}"
_HOLE = re.compile(rf'(?P<quoted>"{_MARK}v(?P<value>[0-9a-f]+)z")|{_MARK}[tv](?P<text>[0-9a-f]+)z'.encode())


@dataclass(frozen=True, slots=True)
class Var:
    """A value that a user holds."""

    name: str


def var(name: str) -> Any:
    """The value called ``name``, as it is: in JSON a captured number stays a number. Anywhere else it is text."""
    return Var(name)


def mark(value: Any, in_json: bool = False) -> Any:
    """The value with its placeholders marked; mappings and lists are gone through."""
    if isinstance(value, Var):
        return _token("v" if in_json else "t", value.name)
    if isinstance(value, str):
        return _PLACEHOLDER.sub(lambda found: "${" if found["escaped"] else _token("t", found["name"]), value)
    if isinstance(value, bytes):
        return mark(value.decode("latin-1")).encode("latin-1")
    if isinstance(value, Mapping):
        return {mark(key): mark(one, in_json) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(mark(one, in_json) for one in value) if type(value) in (list, tuple) else value
    return value


def _token(kind: str, name: str) -> str:
    return f"{_MARK}{kind}{name.encode().hex()}z"


def names(marked: bytes) -> tuple[str, ...]:
    """The placeholders of marked bytes, each once, in their order."""
    return tuple(dict.fromkeys(_name(found) for found in _HOLE.finditer(marked)))


def parts(marked: bytes, form: str, slots: Mapping[str, int]) -> list[bytes | tuple[str, int]]:
    """Marked bytes as the parts of a template, values written in this form."""
    cut: list[bytes | tuple[str, int]] = []
    at = 0
    for found in _HOLE.finditer(marked):
        cut.append(marked[at : found.start()])
        cut.append(("json_value" if found["quoted"] and form == "json_text" else form, slots[_name(found)]))
        at = found.end()
    cut.append(marked[at:])
    return [part for part in cut if part]


def _name(found: re.Match[bytes]) -> str:
    return bytes.fromhex((found["value"] or found["text"]).decode()).decode()
