"""The files by which a step talks to the runner.

https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands#environment-files
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from pytest_fastr.errors import ReportError
from pytest_fastr.github.page import SUMMARY_LIMIT


class StepSummary:
    """The summary of this step. It can be written again: what other programs of the step wrote before stays.

    One that cannot be written is told to ``say``: it has no say in the exit code.
    """

    def __init__(self, path: Path | None, say: Callable[[str], None]) -> None:
        self._path = path
        self._say = say
        self._before = path.stat().st_size if path is not None and path.exists() else 0

    @property
    def room(self) -> int:
        """Bytes that it may still take."""
        return SUMMARY_LIMIT - self._before

    def write(self, text: Callable[[int], str]) -> None:
        """Writes what ``text`` makes for the room there is. Without a file there is nobody to read it."""
        if self._path is None:
            return
        try:
            with self._path.open("ab") as file:
                if file.tell() > self._before:
                    file.truncate(self._before)
                file.write(text(self.room).encode("utf-8"))
        except OSError as error:
            self._say(f"pytest-fastr: cannot write GITHUB_STEP_SUMMARY, so there is none: {error.strerror or error}")
            self._path = None


def write_outputs(path: Path | None, outputs: Mapping[str, str]) -> None:
    """Sets the step's outputs. A value cannot end itself early: its delimiter is made up for it."""
    if path is None:
        return
    lines = []
    for name, value in outputs.items():
        delimiter = f"end-{secrets.token_hex(16)}"
        lines += [f"{name}<<{delimiter}", value, delimiter]
    try:
        with path.open("a", encoding="utf-8", errors="replace") as file:
            file.write("\n".join([*lines, ""]))
    except OSError as error:
        raise ReportError(f"cannot write GITHUB_OUTPUT: {error.strerror or error}") from error
