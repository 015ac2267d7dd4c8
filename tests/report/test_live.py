"""The live line is drawn when called, stays on one line, and never disturbs the measurement."""

from __future__ import annotations

import io
import math
import threading

import pytest
from rich.cells import cell_len

from pytest_fastr.gate.progress import Moment
from pytest_fastr.report.live import LiveLine, show_on


def screen(written: str) -> str:
    """What a terminal shows on its line after these characters."""
    cells: list[str] = []
    column = 0
    for one in written:
        assert one != "\n"
        if one == "\r":
            column = 0
            continue
        cells[column : column + 1] = [one]
        column += 1
    return "".join(cells).rstrip()


def test_nothing_is_written_when_it_is_not_enabled() -> None:
    stream = io.StringIO()
    line = LiveLine(stream, enabled=False, width=80)
    line.update("text")
    line.show("test", "load", 0.5, 1.0, 1.0)
    line.clear()
    with line.below():
        line.update("text")
    assert stream.getvalue() == ""


def test_a_shorter_text_covers_the_longer_one_before() -> None:
    stream = io.StringIO()
    line = LiveLine(stream, enabled=True, width=80)
    line.update("a long text")
    line.update("short")
    assert screen(stream.getvalue()) == "short"


def test_clearing_leaves_an_empty_line_and_the_cursor_at_its_beginning() -> None:
    stream = io.StringIO()
    line = LiveLine(stream, enabled=True, width=80)
    line.update("text")
    line.clear()
    assert screen(stream.getvalue()) == ""
    assert stream.getvalue().endswith("\r")
    before = stream.getvalue()
    line.clear()
    assert stream.getvalue() == before


def test_below_gives_the_line_above_back_as_it_was() -> None:
    stream = io.StringIO()
    line = LiveLine(stream, enabled=True, width=80)
    with line.below():
        line.update("text")
    written = stream.getvalue()
    # Room below is made before the position is saved, and the line is empty before it is restored.
    assert written.startswith("\x1bD\x1b[A\x1b7\n")
    assert written.endswith("\r\x1b8")
    assert screen(written.removeprefix("\x1bD\x1b[A\x1b7\n").removesuffix("\x1b8")) == ""


def test_progress_shows_test_phase_share_and_numbers() -> None:
    stream = io.StringIO()
    LiveLine(stream, enabled=True, width=100).show("t.py::test_x", "load", 0.43, 1234.5, p99_us=4100.0)
    assert screen(stream.getvalue()) == "t.py::test_x  load  [####......]  43 %  1,234 rps  p99 4.10 ms"


def test_numbers_that_are_not_known_yet_are_left_out() -> None:
    stream = io.StringIO()
    LiveLine(stream, enabled=True, width=100).show("test_x", "warm-up", 0.0)
    assert screen(stream.getvalue()) == "test_x  warm-up  [..........]   0 %"


@pytest.mark.parametrize("fraction", [-1.0, 0.0, 1.0, 7.0, math.nan, math.inf])
def test_any_share_is_drawn_from_none_to_all(fraction: float) -> None:
    stream = io.StringIO()
    LiveLine(stream, enabled=True, width=100).show("test_x", "load", fraction)
    assert stream.getvalue().endswith(("  0 %", "100 %"))


@pytest.mark.parametrize("width", [1, 2, 10, 40, 60, 80])
def test_the_line_leaves_the_last_column_free(width: int) -> None:
    stream = io.StringIO()
    line = LiveLine(stream, enabled=True, width=width)
    line.show("tests/test_漢字.py::test_" + "検索" * 40, "load", 0.5, 1234.5, p99_us=4100.0)
    assert cell_len(stream.getvalue().removeprefix("\r")) <= max(1, width - 1)


def test_the_numbers_outlive_a_long_name() -> None:
    stream = io.StringIO()
    LiveLine(stream, enabled=True, width=80).show("test_" + "x" * 200, "load", 0.5, 1234.5, p99_us=4100.0)
    assert screen(stream.getvalue()).endswith("p99 4.10 ms")


def test_what_a_name_holds_never_reaches_the_terminal_as_a_command() -> None:
    stream = io.StringIO()
    LiveLine(stream, enabled=True, width=80).update("a\x1b[2Jb\nc")
    assert stream.getvalue() == "\ra\\x1b[2Jb\\nc"


def test_a_terminal_that_cannot_write_a_character_gets_it_escaped() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    LiveLine(stream, enabled=True, width=80).update("tést")
    assert raw.getvalue() == b"\rt\\xe9st"


def test_a_terminal_that_went_away_does_not_end_the_measurement() -> None:
    class Gone(io.StringIO):
        calls = 0

        def write(self, text: str) -> int:
            Gone.calls += 1
            raise BrokenPipeError

    line = LiveLine(Gone(), enabled=True, width=80)
    line.update("one")
    line.update("two")
    line.clear()
    assert Gone.calls == 1


def test_it_has_no_thread() -> None:
    before = threading.active_count()
    line = LiveLine(io.StringIO(), enabled=True, width=80)
    line.update("text")
    assert threading.active_count() == before


class Clock:
    """A clock that a test turns."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def shown(moments: list[tuple[float, Moment]]) -> list[str]:
    """The line after each moment, which comes so many seconds after the one before."""
    clock, texts = Clock(), []
    stream = io.StringIO()
    show = show_on(LiveLine(stream, enabled=True, width=100), "test_x", clock)
    for after_s, moment in moments:
        clock.now_s += after_s
        show(moment)
        texts.append(screen(stream.getvalue()))
    return texts


def test_the_time_left_is_what_the_pace_so_far_makes_of_it() -> None:
    first, second, third = shown([(0, Moment("load", 0.0)), (5, Moment("load", 0.25)), (7, Moment("load", 0.5))])
    assert "left" not in first
    assert "  15 s left" in second
    assert "  12 s left" in third


def test_a_further_look_begins_a_time_of_its_own() -> None:
    texts = shown(
        [(0, Moment("load", 0.0)), (9, Moment("load", 0.9)), (0, Moment("look 2", 0.0)), (50, Moment("look 2", 0.5))]
    )
    assert "left" not in texts[2]
    assert "  50 s left" in texts[3]


def test_long_times_are_told_in_minutes() -> None:
    assert "  9 min left" in shown([(0, Moment("load", 0.0)), (60, Moment("load", 0.1))])[1]


def test_a_quantile_stays_until_there_is_another() -> None:
    texts = shown([(0, Moment("candidate", 0.1, 10.0, 4100.0)), (1, Moment("both in turn", 0.2, 10.0))])
    assert texts[1].endswith("10.0 rps  p99 4.10 ms")


def test_a_narrow_line_gives_the_bar_for_the_numbers() -> None:
    stream = io.StringIO()
    LiveLine(stream, enabled=True, width=60).show("test_search", "2/6 both in turn", 0.43, 1234.5, left_s=12.0)
    assert screen(stream.getvalue()) == "test_search  2/6 both in turn  43 %  12 s left"
