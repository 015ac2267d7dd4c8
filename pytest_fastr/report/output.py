"""How report files come to lie where they were asked for: in one step, or not at all."""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path
from typing import Literal, TextIO

from pytest_fastr.errors import ReportError
from pytest_fastr.gate.atomic_file import replace_file


def write_text(path: Path, text: str, what: str, option: str) -> None:
    """Writes the file in one step, and makes its folder. Pipes and devices are written to, not replaced.

    Raises ReportError, which calls the file ``what`` and names the option that another path is given by.
    """
    try:
        target = path.resolve()
        if target.is_symlink():
            # A link that is still one once resolved is a loop; before Python 3.13 `resolve` has raised.
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and not stat.S_ISREG(os.stat(target).st_mode):
            target.write_text(text, encoding="utf-8")
        else:
            replace_file(target, text)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ReportError(f"cannot write the {what} {path}: {reason}; give {option} another path") from error


_SOURCES = (".py", ".toml", ".ini", ".cfg")
"""What a command line means that forgot the option's own value: ``--perf-json tests/test_shop.py``."""


def why_unwritable(path: Path) -> str | None:
    """Why the file could not be written, as far as that can be told without writing; None if it seems possible."""
    try:
        target = path.resolve()
        if target.is_dir():
            return "it is a folder: name a file"
        if target.suffix in _SOURCES and target.is_file():
            return "it is code or configuration, and would be lost: name another file"
        folder = next(parent for parent in target.parents if os.path.lexists(parent))
    except (OSError, RuntimeError) as error:
        return str(getattr(error, "strerror", None) or error)
    if not folder.is_dir():
        return f"{folder} is no folder"
    if target.exists() and not stat.S_ISREG(os.stat(target).st_mode):
        return None
    return None if os.access(folder, os.W_OK | os.X_OK) else f"{folder} may not be written to"


def print_text(text: str, unshown: Literal["replace", "backslashreplace"] = "replace") -> None:
    """Writes to standard output, whatever characters it can show. ``unshown``: what becomes of the others. Raises
    OSError."""
    encoding = sys.stdout.encoding or "utf-8"
    # Line ends stay as they are: those of CSV are part of the format.
    sys.stdout.write(text.encode(encoding, unshown).decode(encoding))


def is_ascii_only(stream: TextIO) -> bool:
    """Whether the stream may show no more than ASCII."""
    return "utf" not in (stream.encoding or "").lower()
