"""Bodies of ``multipart/form-data`` (RFC 7578)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_fastr.errors import LoadError
from pytest_fastr.load.holes import mark

File = bytes | tuple[str, bytes] | tuple[str, bytes, str]
"""A file's bytes, or its name, bytes and content type."""


def encode_multipart(fields: Mapping[str, Any], files: Mapping[str, File]) -> tuple[bytes, str]:
    """The body, its placeholders marked, and its content type. The boundary comes from the content."""
    parts = [*_fields(fields), *_files(files)]
    digest = hashlib.sha256()
    for head, content in parts:
        digest.update(head + b"\r\n" + content + b"\r\n")
    boundary = f"fastr-{digest.hexdigest()[:40]}"
    pieces = [f"--{boundary}\r\n".encode() + head + b"\r\n\r\n" + content + b"\r\n" for head, content in parts]
    return b"".join([*pieces, f"--{boundary}--\r\n".encode()]), f"multipart/form-data; boundary={boundary}"


def _fields(fields: Mapping[str, Any]) -> Iterator[tuple[bytes, bytes]]:
    for name, given in fields.items():
        for value in given if isinstance(given, (list, tuple)) else [given]:
            marked = mark(value, "text")
            yield _head(name), marked if isinstance(marked, bytes) else str(marked).encode()


def _files(files: Mapping[str, File]) -> Iterator[tuple[bytes, bytes]]:
    for name, given in files.items():
        filename, content, kind = _file(name, given)
        yield _head(name, filename, kind), mark(content, "text")


def _head(name: str, filename: str | None = None, kind: str = "") -> bytes:
    lines = f'content-disposition: form-data; name="{_quoted(name)}"'
    if filename is not None:
        lines += f'; filename="{_quoted(filename)}"\r\ncontent-type: {mark(kind, "field")}'
    return lines.encode()


def _file(name: str, given: object) -> tuple[str, bytes, str]:
    kind = "application/octet-stream"
    match given:
        case bytes(content):
            return name, content, kind
        case (str(filename), bytes(content)):
            return filename, content, kind
        case (str(filename), bytes(content), str(kind)) if kind.isprintable():
            return filename, content, kind
    raise LoadError(f"files[{name!r}]: give its bytes, or (filename, bytes), or (filename, bytes, content type)")


def _quoted(text: str) -> str:
    """As browsers write names: what would end the field is percent-encoded."""
    marked = str(mark(text, "field"))
    return marked.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
