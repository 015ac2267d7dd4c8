"""Text on a terminal of some width: wrapped between words, packed, cut."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from pytest_fastr.report.quantity import printable

_GLUE = "\u00a0"


@dataclass(frozen=True, slots=True)
class Page:
    """Where it is printed."""

    width: int
    ascii_only: bool

    @property
    def separator(self) -> str:
        return " | " if self.ascii_only else " · "

    @property
    def ellipsis(self) -> str:
        return "..." if self.ascii_only else "…"

    def text(self, text: str) -> str:
        return printable(text, self.ascii_only)

    def wrapped(self, text: str, style: str = "", indent: int = 0) -> list[Text]:
        """Lines broken between words, but never between a number and its unit."""
        # The glue is as wide as a space, and no text from outside holds it: it is not printable.
        glued = re.sub(r"(?<=[\d-]) (?=(?:%|rps|[num]?s|B|[KMG]iB)(?:\W|$))", _GLUE, text)
        lines = [""]
        for word in glued.split(" "):
            candidate = f"{lines[-1]} {word}" if lines[-1].strip() else lines[-1] + word
            if cell_len(candidate) > self.width and lines[-1].strip():
                candidate = " " * indent + word
                lines.append(candidate)
            *full, last = _folded(candidate, self.width)
            lines[-1:] = [*full, last]
        return [Text(line.replace(_GLUE, " "), style=style) for line in lines]

    def packed(self, parts: Sequence[str], style: str) -> list[Text]:
        """The parts on one line, or on as few as hold each part whole; the first line has the style."""
        lines = list(parts[:1])
        for part in parts[1:]:
            joined = f"{lines[-1]}{self.separator}{part}"
            if cell_len(joined) <= self.width:
                lines[-1] = joined
            else:
                lines.append(part)
        styles = [style, *[""] * (len(lines) - 1)]
        return [text for line, one in zip(lines, styles, strict=True) for text in self.wrapped(line, one, indent=2)]

    def cut(self, text: str, width: int) -> str:
        """The text within a width; its middle goes, since names differ at both ends."""
        if cell_len(text) <= width:
            return text
        room = width - cell_len(self.ellipsis)
        if room < 2:
            return set_cell_size(text, width).rstrip()
        head = set_cell_size(text, room // 2).rstrip()
        tail = text
        while cell_len(head) + cell_len(tail) > room:
            tail = tail[1:]
        return f"{head}{self.ellipsis}{tail}"


def _folded(line: str, width: int) -> list[str]:
    """The line in pieces no wider than the width; only a single word can be that long."""
    pieces = [""]
    for one in line:
        if cell_len(pieces[-1] + one) > width:
            pieces.append("")
        pieces[-1] += one
    return pieces
