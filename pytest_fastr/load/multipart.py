"""Bodies of ``multipart/form-data`` (RFC 7578)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from pytest_fastr.errors import LoadError

File = bytes | tuple[str, bytes] | tuple[str, bytes, str]
"""A file's bytes, or its name, bytes and content type."""


def encode_multipart(fields: Mapping[str, Any], files: Mapping[str, File]) -> tuple[bytes, str]:
    """The body, and its content type. The boundary depends on the content alone."""
    parts = [
        (f'content-disposition: form-data; name="{_quoted(name)}"', str(value).encode())
        for name, value in fields.items()
    ]
    for name, given in files.items():
        filename, content, kind = _file(name, given)
        parts.append(
            (
                f'content-disposition: form-data; name="{_quoted(name)}"; filename="{_quoted(filename)}"\r\n'
                f"content-type: {_quoted(kind)}",
                content,
            )
        )
    digest = hashlib.sha256()
    for head, content in parts:
        digest.update(head.encode() + b"\r\n" + content + b"\r\n")
    boundary = f"fastr-{digest.hexdigest()[:40]}"
    pieces = [f"--{boundary}\r\n{head}\r\n\r\n".encode() + content + b"\r\n" for head, content in parts]
    return b"".join([*pieces, f"--{boundary}--\r\n".encode()]), f"multipart/form-data; boundary={boundary}"


def _file(name: str, given: File) -> tuple[str, bytes, str]:
    if isinstance(given, bytes):
        return name, given, "application/octet-stream"
    if isinstance(given, tuple) and len(given) in (2, 3) and isinstance(given[1], bytes):
        kind = given[2] if len(given) == 3 else "application/octet-stream"
        return given[0], given[1], kind
    raise LoadError(f"files[{name!r}]: give its bytes, or (filename, bytes), or (filename, bytes, content type)")


def _quoted(text: str) -> str:
    """As browsers write names: what would end the field is percent-encoded."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
