"""Requests as a perf test writes them, turned into the bytes of the wire."""

from __future__ import annotations

import base64
import json as jsonlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from pytest_fastr import _native
from pytest_fastr.errors import LoadError
from pytest_fastr.load import holes
from pytest_fastr.load.check import checked
from pytest_fastr.mount.runtime import Address

_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
# Characters that a request target may hold undecoded; '%' stays, so that an encoded path is not encoded twice.
_TARGET_SAFE = "/%:@!$&'()*+,;=~?-._"

QueryValue = str | int | float | bool
Pairs = Mapping[str, QueryValue | Sequence[QueryValue]]


@dataclass(frozen=True, slots=True)
class RequestSpec:
    """One request to measure.

    ``expect`` is the status code that makes an answer good; None takes any from 200 to 399. ``name`` tells requests of
    one test apart, in reports and baselines.
    """

    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    expect: int | None = 200
    name: str = ""
    timeout_s: float = 10.0
    close: bool = False
    """Asks the server to close the connection after its answer."""
    checks: tuple[_native._Check, ...] = ()
    """What a good answer has besides its status."""
    captures: tuple[tuple[str, _native._Source], ...] = ()
    """Names, and where in a good answer their values are, for later requests of the same user."""
    look_every: int = 1
    """Every so-manieth answer is checked."""
    auth: str | None = None
    """User and password of HTTP Basic authentication, with a colon between them."""

    def native(self, address: Address) -> _native.Request:
        """The request for a server at ``address``."""
        return self.native_for(address.netloc)

    def native_for(self, host: str, slots: Mapping[str, int] | None = None) -> _native.Request:
        """The request for a server that is known as ``host``. ``slots`` has the placeholders that it uses, and the
        names that it captures."""
        slots = slots or {}
        captures = [(slots[name], *source) for name, source in self.captures]
        line, *fields = self._head(host)
        if not self.placeholders:
            wire = "\r\n".join([line, *fields, *self._basic(), *self._length(), "", ""]).encode("latin-1") + self.body
            return _native.Request(
                self.name,
                wire,
                self.expect,
                checks=self.checks,
                captures=captures,
                look_every=self.look_every,
                timeout=self.timeout_s,
            )
        head: list[_native._Part] = [
            *holes.parts("".join(f"{one}\r\n" for one in (line, *fields)).encode("latin-1"), slots),
        ]
        if self.auth is not None:
            head += [b"authorization: Basic ", ("base64", holes.parts(self.auth.encode(), slots)), b"\r\n"]
        body = holes.parts(self.body, slots) if self._length() else None
        return _native.Request.template(
            self.name,
            head,
            body,
            self.expect,
            checks=self.checks,
            captures=captures,
            look_every=self.look_every,
            timeout=self.timeout_s,
        )

    @property
    def placeholders(self) -> tuple[str, ...]:
        """The names of the values that it needs, in their order."""
        texts = [self.path, *(value for _, value in self.headers), self.auth or ""]
        return holes.names(b"\n".join([*(text.encode() for text in texts), self.body]))

    def _basic(self) -> list[str]:
        if self.auth is None:
            return []
        return ["authorization: Basic " + base64.b64encode(self.auth.encode()).decode()]

    def _length(self) -> list[str]:
        if self.body or self.method in ("POST", "PUT", "PATCH"):
            return [f"content-length: {len(self.body)}"]
        return []

    def _head(self, host: str) -> list[str]:
        """The request line and the fields, without the length of the body."""
        given = {name.lower() for name, _ in self.headers}
        lines = [f"{self.method} {self.path} HTTP/1.1"]
        if "host" not in given:
            lines.append(f"host: {host}")
        if "user-agent" not in given:
            lines.append("user-agent: pytest-fastr")
        if "accept" not in given:
            lines.append("accept: */*")
        lines += [f"{name}: {value}" for name, value in self.headers]
        if self.close:
            lines.append("connection: close")
        return lines


def build_request(
    method: str,
    path: str,
    *,
    params: Pairs | None = None,
    headers: Mapping[str, str] | None = None,
    json: Any = None,
    data: Pairs | bytes | str | None = None,
    expect: int | None = 200,
    name: str | None = None,
    timeout_s: float = 10.0,
    checks: _native._Check | Sequence[_native._Check] = (),
) -> RequestSpec:
    """Checks and builds a request. Raises LoadError that names the argument to change.

    Args:
        path: as after the host, starting with ``/``; characters that a URL can't hold are percent-encoded.
        params: added to the query.
        json: the body, as JSON.
        data: the body: a mapping as a form, or bytes or text as they are.
        expect: the status that makes an answer good; None takes any from 200 to 399.
        name: how reports call it; default ``METHOD /path``.
        timeout_s: seconds after which a request counts as failed.
        checks: what a good answer has besides its status.
    """
    method = method.upper()
    if not method or not _TOKEN.issuperset(method):
        raise LoadError(f"{method!r} is no HTTP method")
    if expect is not None and not (isinstance(expect, int) and 200 <= expect <= 599):
        raise LoadError(f"expect={expect!r}: write the status code of a good answer, 200 to 599")
    target = _target(path, params)
    fields = _headers(headers or {})
    content, content_type = _content(json, data)
    if content_type and not any(field.lower() == "content-type" for field, _ in fields):
        fields.append(("content-type", content_type))
    name = name or f"{method} {target}"
    return RequestSpec(
        method=method,
        path=target,
        headers=tuple(fields),
        body=content,
        expect=expect,
        name=name,
        timeout_s=timeout_s,
        checks=checked(checks, name),
    )


def _target(path: str, params: Pairs | None) -> str:
    if not path.startswith("/") and not holes.is_link(path):
        hint = " (the server's address comes from the mount)" if urlsplit(path).netloc else ""
        raise LoadError(f"path {path!r} must start with '/'{hint}")
    target = quote(path.partition("#")[0], safe=_TARGET_SAFE)
    if params:
        target += ("&" if "?" in target else "?") + urlencode(dict(params), doseq=True)
    return target


def _headers(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    fields = []
    for name, value in headers.items():
        if not name or not _TOKEN.issuperset(name):
            raise LoadError(f"header name {name!r} is not allowed in HTTP")
        if name.lower() in ("content-length", "transfer-encoding", "connection"):
            raise LoadError(f"header {name!r} is set by the load generator; leave it out")
        try:
            value.encode("latin-1")
        except (AttributeError, UnicodeEncodeError):
            raise LoadError(f"header {name!r}: value {value!r} must be text in Latin-1") from None
        if any((ord(char) < 32 and char != "\t") or ord(char) == 127 for char in value):
            raise LoadError(f"header {name!r}: the value holds a control character")
        fields.append((name, value))
    return fields


def _content(json: Any, data: Pairs | bytes | str | None) -> tuple[bytes, str | None]:
    if json is not None and data is not None:
        raise LoadError("give json= or data=, not both")
    if json is not None:
        try:
            return jsonlib.dumps(json, separators=(",", ":"), allow_nan=False).encode(), "application/json"
        except (TypeError, ValueError) as error:
            raise LoadError(f"json= cannot be written as JSON: {error}") from None
    if data is None:
        return b"", None
    if isinstance(data, bytes):
        return data, "application/octet-stream"
    try:
        if isinstance(data, str):
            return data.encode(), "text/plain; charset=utf-8"
        if isinstance(data, Mapping):
            return urlencode(dict(data), doseq=True).encode(), "application/x-www-form-urlencoded"
    except UnicodeEncodeError as error:
        raise LoadError(f"data= cannot be written as UTF-8: {error.reason}") from None
    raise LoadError(f"data= takes a mapping, text or bytes, not {type(data).__name__}")
