"""Feeds: what their rows hold. Refusals and their use are in test_scenario.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_fastr import load
from pytest_fastr.errors import LoadError


@pytest.mark.parametrize("odd", ["\u2028", "\x85", "\x0c", "\x1c"])
def test_only_an_end_of_line_ends_a_line(tmp_path: Path, odd: str) -> None:
    path = tmp_path / "feed"
    path.write_bytes(f"name\na{odd}b\n".encode())
    assert load.csv(path).rows == ((f"a{odd}b".encode(),),)
    if odd >= "\x80":
        path.write_bytes(f'{{"name": "a{odd}b"}}\r\n'.encode())
        assert load.json_lines(path).rows == ((f"a{odd}b".encode(),),)


def test_line_ends_inside_quotes_stay_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "feed.csv"
    path.write_bytes(b'name,note\r\nann,"a\r\nb\nc"\r\n')
    assert load.csv(path).rows == ((b"ann", b"a\r\nb\nc"),)


def test_a_row_that_is_wrong_is_named_by_the_line_it_ends_on(tmp_path: Path) -> None:
    path = tmp_path / "feed.csv"
    path.write_bytes(b'name,note\nann,"a\nb"\nbob\n')
    with pytest.raises(LoadError, match=r"feed\.csv:4: 1 values for 2 columns"):
        load.csv(path)


def test_columns_are_found_by_name_in_every_row() -> None:
    assert load.feed([{"a": 1, "b": "x"}, {"b": "y", "a": None}]).rows == (("1", b"x"), ("null", b"y"))


ANYTHING: Any = [["ann"], ["bob"]]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (ANYTHING, "row 1: a row is a mapping"),
        ("users.csv", "feed.* takes rows"),
        ({"name": "ann"}, "feed.* takes rows"),
        ([{"a": "\ud800"}], "row 1: a cannot be written as text"),
        ([{"a": float("nan")}], "row 1: a cannot be written as text"),
    ],
)
def test_what_is_no_row_is_refused(rows: Any, words: str) -> None:
    with pytest.raises(LoadError, match=words):
        load.feed(rows)


def test_a_file_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "feed.csv"
    path.write_bytes("name\nJürgen\n".encode("latin-1"))
    with pytest.raises(LoadError, match="no UTF-8"):
        load.csv(path)
