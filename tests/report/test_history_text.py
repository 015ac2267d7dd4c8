"""Trends in a terminal: what is shown, in any width, with and without colour and Unicode."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.cells import cell_len

from pytest_fastr.history.trend import Point, Trend
from pytest_fastr.report.history_text import Screen, history_text

VERDICTS = ["new", "equivalent", "inconclusive", "regressed", "improved"]
POINTS = tuple(
    Point(
        f"2026-01-{1 + number:02}T09:30:00+00:00", f"{number:040x}", VERDICTS[number % 5], 1.2 + number / 50, 1.1, 1.4
    )
    for number in range(20)
)
TREND = Trend("tests/test_a.py::test_items", "GET /items", "stored", "amd-2c", "cpu", "us/request", True, POINTS)


def test_one_test_is_a_plot_with_its_sessions() -> None:
    text = history_text([TREND], Screen(80))
    assert "cpu, as a multiple of the reference app's" in text
    assert "2026-01-01 to 2026-01-20, 20 sessions" in text
    assert text.count("▲") == 4 + 1  # sessions, and the legend
    assert "2026-01-04 09:30  00000000  1.260x  [1.100x, 1.400x]  +1.6 %  regressed" in text
    rows = [line for line in text.splitlines() if "│" in line]
    assert rows[0].strip().startswith("1.580x")
    assert rows[-1].strip().startswith("1.200x")


def test_several_tests_have_a_line_of_blocks_each() -> None:
    absolute = replace(TREND, nodeid="b", mode="paired", is_ratio=False, points=POINTS[:1])
    text = history_text([TREND, absolute], Screen(100))
    assert "▁" in text
    assert "▇" in text
    assert "1.200x -> 1.580x the reference app's (+31.7 %)" in text
    assert "us/request, absolute" in text
    assert "◇●○▲▼" in text


def test_small_changes_do_not_look_like_mountains() -> None:
    still = replace(
        TREND, points=tuple(replace(point, value=1.0 + number % 2 / 1000) for number, point in enumerate(POINTS))
    )
    line = next(line for line in history_text([still, TREND], Screen(100)).splitlines() if line.startswith("  cpu"))
    assert len(set(line[14:34])) == 1


def test_a_session_without_a_value_stands_on_the_axis() -> None:
    lost = replace(TREND, points=(*POINTS[:2], replace(POINTS[2], verdict="invalid", value=None, low=None, high=None)))
    (axis,) = [line for line in history_text([lost], Screen(80)).splitlines() if "└" in line]
    assert "✗" in axis
    never = replace(lost, points=lost.points[2:], mode="none", is_ratio=False)
    assert "never measured" in history_text([never, TREND], Screen(80))
    assert "✗" in history_text([never], Screen(80))


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_it_fits_and_no_text_acts_on_the_terminal(width: int, ascii_only: bool) -> None:
    hostile = "\x1b[31m[bold]ü\n漢字" + "x" * 90
    trend = replace(
        TREND, nodeid=hostile, request=hostile, mode="stored", profile=hostile, metric=hostile, unit="\x1b",
        connections=(1, 9), points=(*POINTS * 8, Point(hostile, hostile, hostile, 1e14)),
    )  # fmt: skip
    for trends in ([trend], [trend, replace(trend, is_ratio=False)], [TREND], [TREND, TREND]):
        text = history_text(trends, Screen(width, ascii_only=ascii_only))
        assert max(map(cell_len, text.splitlines())) <= max(width, 40)
        assert "\x1b" not in text
        assert not ascii_only or text.isascii()


def test_colour_only_where_it_is_wanted() -> None:
    assert "\x1b[" in history_text([TREND], Screen(80, color=True))
    assert "\x1b[" not in history_text([TREND], Screen(80))
