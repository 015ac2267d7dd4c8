"""One line of progress, drawn over itself while load runs.

It has no thread and no timer: it draws when it is called, which the measurement does between slices and never
during one. It is decoration, so a terminal that fails ends the drawing and not the measurement.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.cells import cell_len, set_cell_size

from pytest_fastr.report.quantity import printable, rate_text, time_text

_BAR = 10
_NAME_SHARE = 0.25


class LiveLine:
    """A line at the bottom of a terminal. Nothing is written when it is not enabled."""

    def __init__(self, stream: TextIO, enabled: bool, width: int) -> None:
        self._stream = stream
        self._enabled = enabled
        # The last column stays free: a character there makes some terminals begin a new line.
        self._width = max(1, width - 1)
        self._drawn = 0

    def update(self, text: str) -> None:
        """Draws the text in place of what stood there, cut to the width."""
        self._draw(self._cut(self._writable(text), self._width))

    def show(
        self,
        test: str,
        phase: str,
        fraction: float,
        rps: float | None = None,
        p50_us: float | None = None,
        p99_us: float | None = None,
    ) -> None:
        """Draws where a test stands. `fraction` is the share done, 0 to 1; unknown numbers are left out."""
        share = 0.0 if math.isnan(fraction) else min(1.0, max(0.0, fraction))
        done = int(share * _BAR)
        parts = [phase, f"[{'#' * done}{'.' * (_BAR - done)}] {share * 100:3.0f} %"]
        if rps is not None:
            parts.append(f"{rate_text(rps)} rps")
        for name, value in (("p50", p50_us), ("p99", p99_us)):
            if value is not None:
                parts.append(f"{name} {time_text(value)}")
        # Numbers matter more than the whole name, but a number goes whole before the name loses its share.
        share_of_name = int(self._width * _NAME_SHARE)
        while len(parts) > 1 and share_of_name + 2 + cell_len("  ".join(parts)) > self._width:
            parts.pop()
        state = "  ".join(parts)
        room = max(self._width - cell_len(state) - 2, share_of_name)
        self.update(f"{self._cut(self._writable(test), room)}  {state}")

    @contextmanager
    def below(self) -> Iterator[None]:
        """Draws on the line below the cursor meanwhile; afterwards the cursor stands where it was."""
        # One line down and up again, so that there is a line below before the position is saved: scrolling later
        # would move what it points to.
        self._write("\x1bD\x1b[A\x1b7\n")
        try:
            yield
        finally:
            self.clear()
            self._write("\x1b8")

    def clear(self) -> None:
        """Takes the line away, with the cursor at its beginning."""
        if self._drawn:
            self._draw("")
            self._write("\r")

    def _draw(self, text: str) -> None:
        if not self._enabled:
            return
        cells = cell_len(text)
        self._write("\r" + text + " " * max(0, self._drawn - cells))
        self._drawn = cells

    def _write(self, text: str) -> None:
        if not self._enabled:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self._enabled = False

    def _writable(self, text: str) -> str:
        """The text as the stream can take it, before it is measured and cut."""
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        return printable(text).encode(encoding, errors="backslashreplace").decode(encoding)

    @staticmethod
    def _cut(text: str, width: int) -> str:
        return text if cell_len(text) <= width else set_cell_size(text, width)
