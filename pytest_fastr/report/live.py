"""One line of progress, drawn over itself while load runs.

It has no thread and no timer: it draws when it is called, which the measurement does between slices and never
during one. It is decoration, so a terminal that fails ends the drawing and not the measurement.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.cells import cell_len, set_cell_size

from pytest_fastr.gate.progress import Moment, Show
from pytest_fastr.report.quantity import printable, rate_text, time_text

_BAR = 10
_USUAL_WIDTH = 80
_NAME_SHARE = 0.25
_ENOUGH_DONE = 0.05


def show_on(line: LiveLine, test: str, clock: Callable[[], float] = time.monotonic) -> Show:
    """Draws a test's moments on the line, with the time that is left of it."""
    left = _TimeLeft(clock)
    p99_us: float | None = None

    def show(moment: Moment) -> None:
        nonlocal p99_us
        # Slices know none of their own: the last one is shown until there is another.
        p99_us = moment.p99_us if moment.p99_us is not None else p99_us
        line.show(test, moment.phase, moment.share, moment.rps, None, p99_us, left.at(moment.share))

    return show


class _TimeLeft:
    """How long work takes that has come to a share of it, if it goes on at the same pace."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._begun: tuple[float, float] | None = None
        self._share = 0.0

    def at(self, share: float) -> float | None:
        """Seconds; None while that little is done that nothing can be said."""
        now = self._clock()
        if self._begun is None or share < self._share:
            # A share that falls is that of other work: a further look.
            self._begun = (now, share)
        self._share = share
        began, from_share = self._begun
        done = share - from_share
        return (now - began) / done * (1 - share) if done >= _ENOUGH_DONE else None


def _left_text(seconds: float) -> str:
    """`4 s`, `12 min`: no more digits than such a guess has."""
    return f"{math.ceil(seconds)} s" if seconds < 100 else f"{math.ceil(seconds / 60)} min"


class LiveLine:
    """A line at the bottom of a terminal. Nothing is written when it is not enabled."""

    def __init__(self, stream: TextIO, enabled: bool, width: int) -> None:
        self._stream = stream
        self._enabled = enabled
        # The last column stays free: a character there makes some terminals begin a new line.
        self._width = max(1, width - 1)
        self._drawn = 0

    @classmethod
    def on(cls, stream: TextIO | None, wanted: bool = True) -> LiveLine:
        """A line on the stream, drawn if it is wanted and the stream a terminal that can."""
        if stream is None or not wanted or not stream.isatty() or os.environ.get("TERM") == "dumb":
            return cls(stream or sys.stderr, enabled=False, width=_USUAL_WIDTH)
        # A terminal whose size nobody has told says 0.
        return cls(stream, enabled=True, width=os.get_terminal_size(stream.fileno()).columns or _USUAL_WIDTH)

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
        left_s: float | None = None,
    ) -> None:
        """Draws where a test stands. `fraction` is the share done, 0 to 1; unknown numbers are left out."""
        share = 0.0 if math.isnan(fraction) else min(1.0, max(0.0, fraction))
        done = int(share * _BAR)
        percent = f"{share * 100:3.0f} %"
        bar = f"[{'#' * done}{'.' * (_BAR - done)}] {percent}"
        parts = [phase, bar]
        if left_s is not None:
            parts.append(f"{_left_text(left_s)} left")
        if rps is not None:
            parts.append(f"{rate_text(rps)} rps")
        for name, value in (("p50", p50_us), ("p99", p99_us)):
            if value is not None:
                parts.append(f"{name} {time_text(value)}")
        # Numbers matter more than the bar and the whole name, but a number goes whole before the name loses its share.
        share_of_name = int(self._width * _NAME_SHARE)
        room = self._width - share_of_name - 2
        if cell_len("  ".join(parts)) > room:
            parts[1] = percent.strip()
        while len(parts) > 1 and cell_len("  ".join(parts)) > room:
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
