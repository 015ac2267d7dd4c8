"""What a good answer has besides its status, and where in it the values are that later requests need."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from pytest_fastr import _native
from pytest_fastr.errors import LoadError


def contains(text: str | bytes) -> _native._Check:
    """The body contains this."""
    if not isinstance(text, (str, bytes)):
        raise LoadError(f"contains({text!r}): give text or bytes")
    return ("contains", text.encode() if isinstance(text, str) else text)


def matches(pattern: str) -> _native._Check:
    """The body matches this regular expression somewhere. Its syntax is that of Rust's regex crate."""
    return ("regex", pattern)


def json_is(pointer: str, value: Any) -> _native._Check:
    """The body is JSON with this value at a pointer (RFC 6901): ``/items/0/id``. 1 and 1.0 are equal."""
    try:
        return ("json", pointer, json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise LoadError(f"json_is({pointer!r}, ...): the value cannot be written as JSON: {error}") from None


def json_has(pointer: str) -> _native._Check:
    """The body is JSON with any value at a pointer."""
    return ("json", pointer, None)


def header_is(name: str, value: str) -> _native._Check:
    """The first header of this name (in any case) has exactly this value."""
    return ("header", name, value)


def header_has(name: str) -> _native._Check:
    """There is a header of this name."""
    return ("header", name, None)


def body_hash(sha256: str) -> _native._Check:
    """The body has this SHA-256, as 64 hexadecimal digits."""
    if not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise LoadError(f"body_hash({sha256!r}): a SHA-256 has 64 hexadecimal digits")
    return ("sha256", bytes.fromhex(sha256))


def body_bytes(count: int) -> _native._Check:
    """The body has exactly so many bytes."""
    if not isinstance(count, int) or not 0 <= count < 2**63:
        raise LoadError(f"body_bytes({count!r}): no body has so many bytes")
    return ("length", count)


def from_json(pointer: str) -> _native._Source:
    """The value at a pointer (RFC 6901) of a JSON body. It keeps its type for ``var``."""
    return ("json", pointer)


def from_header(name: str) -> _native._Source:
    """The value of the first header of this name, in any case."""
    return ("header", name)


def from_body(pattern: str) -> _native._Source:
    """What the first group of a regular expression matches in the body, or all of it where it has no group."""
    return ("regex", pattern)


def checked(given: object, title: str) -> tuple[_native._Check, ...]:
    """The checks of a request, given as one or as several. Raises LoadError for what is none."""
    known = "load.contains(...), load.json_is(...), load.header_has(...) and their like"
    checks: Any = (given,) if isinstance(given, tuple) and given and isinstance(given[0], str) else given
    if not isinstance(checks, (list, tuple)):
        raise LoadError(f"{title}: check= takes {known}, not {given!r}")
    for check in checks:
        _try(f"{title}: check= takes {known}, not {check!r}", title, checks=[check])
    return tuple(checks)


def sources(given: object, title: str) -> tuple[tuple[str, _native._Source], ...]:
    """What a request captures, by name. Raises LoadError for what is no name, and for what says of no value where it
    is."""
    known = "load.from_json(...), load.from_header(...) or load.from_body(...)"
    if not isinstance(given, Mapping):
        raise LoadError(f"{title}: capture= takes a mapping of names to {known}, not {given!r}")
    for name, source in given.items():
        if not isinstance(name, str) or not name.isidentifier() or not name.isascii():
            raise LoadError(f"{title}: capture {name!r} must be a name of letters, digits and underscores")
        refusal = f"{title}: capture {name!r} takes {known}, not {source!r}"
        if not isinstance(source, tuple) or len(source) != 2 or source[0] not in ("json", "header", "regex"):
            raise LoadError(refusal)
        _try(refusal, title, captures=[(0, *source)])
    return tuple(given.items())


def _try(refusal: str, title: str, **looked_at: Any) -> None:
    """Lets the generator look at it: what it does not understand has a ValueError in words, or is of a wrong kind."""
    try:
        _native.Request("", b"GET / HTTP/1.1\r\n\r\n", None, **looked_at)
    except ValueError as error:
        raise LoadError(f"{title}: {error}") from None
    except (TypeError, IndexError):
        raise LoadError(refusal) from None
