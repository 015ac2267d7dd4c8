"""What a good answer has besides its status, and where in it the values are that later requests need."""

from __future__ import annotations

import json
import re
from typing import Any

from pytest_fastr import _native
from pytest_fastr.errors import LoadError


def contains(text: str | bytes) -> _native._Check:
    """The body contains this."""
    return ("contains", text.encode() if isinstance(text, str) else bytes(text))


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
    if not 0 <= count < 2**63:
        raise LoadError(f"body_bytes({count!r}): no body has so many bytes")
    return ("length", count)


def json_at(pointer: str) -> _native._Source:
    """The value at a pointer (RFC 6901) of a JSON body. It keeps its type for ``var``."""
    return ("json", pointer)


def header(name: str) -> _native._Source:
    """The value of the first header of this name, in any case."""
    return ("header", name)


def matched(pattern: str) -> _native._Source:
    """What the first group of a regular expression matches in the body, or all of it where it has no group."""
    return ("regex", pattern)
