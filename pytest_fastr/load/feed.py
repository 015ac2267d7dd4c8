"""Rows of values for scenarios: turned into bytes before the load, and taken one by one during it."""

from __future__ import annotations

import csv as csvlib
import io
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_fastr import _native
from pytest_fastr.errors import LoadError


@dataclass(frozen=True, slots=True)
class Feed:
    """Named columns and rows of values: text as bytes, everything else as JSON.

    Each flow that begins takes the next row. ``shuffled``: rows are taken by chance instead of in turn. ``per_user``:
    each user takes a row before everything else and keeps it.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[bytes | str, ...], ...] = field(repr=False)
    shuffled: bool = False
    per_user: bool = False

    def native(self, slots: Mapping[str, int]) -> _native.Feed:
        """For the generator, with the slot of each column."""
        return _native.Feed(
            [slots[name] for name in self.columns], self.rows, shuffled=self.shuffled, per_user=self.per_user
        )


def feed(rows: Iterable[Mapping[str, Any]], *, shuffled: bool = False, per_user: bool = False) -> Feed:
    """A feed of mappings that all have the same keys.

    Text and bytes stay as they are; numbers, True, False, None, lists and mappings are JSON: ``var`` keeps their type,
    and anywhere else they are written as JSON writes them.
    Raises LoadError for no rows, and for a row of other keys.
    """
    if isinstance(rows, (str, bytes, Mapping)):
        raise LoadError(f"feed(...) takes rows, such as [{{'name': 'ann'}}], not {type(rows).__name__}")
    return _feed(((f"row {number}", row) for number, row in enumerate(rows, 1)), "feed", shuffled, per_user)


def csv(path: str | os.PathLike[str], *, shuffled: bool = False, per_user: bool = False) -> Feed:
    """A feed from a CSV file whose first line names the columns. A relative path starts at the current folder."""
    text = _text(path)
    reader = csvlib.reader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = next(reader, [])
        if not columns:
            raise LoadError(f"{path}: the first line must name the columns")
        rows = []
        for cells in reader:
            if len(cells) != len(columns) and cells:
                raise LoadError(f"{path}:{reader.line_num}: {len(cells)} values for {len(columns)} columns")
            if cells:
                rows.append((f"{path}:{reader.line_num}", dict(zip(columns, cells, strict=True))))
    except csvlib.Error as error:
        raise LoadError(f"{path}:{reader.line_num}: this is no CSV: {error}") from None
    if len(set(columns)) < len(columns):
        raise LoadError(f"{path}: two columns have the same name")
    return _feed(rows, str(path), shuffled, per_user)


def json_lines(path: str | os.PathLike[str], *, shuffled: bool = False, per_user: bool = False) -> Feed:
    """A feed from a file with a JSON object in each line. A relative path starts at the current folder."""
    rows = []
    for number, line in enumerate(_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise LoadError(f"{path}:{number}: this is no JSON: {error}") from None
        if not isinstance(row, dict):
            raise LoadError(f"{path}:{number}: a line must be a JSON object, not {type(row).__name__}")
        rows.append((f"{path}:{number}", row))
    return _feed(rows, str(path), shuffled, per_user)


def _text(path: str | os.PathLike[str]) -> str:
    try:
        # Not as text: the ends of lines inside quotes are the user's.
        return Path(path).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise LoadError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise LoadError(f"{path}: this is no UTF-8: {error.reason}") from None


def _feed(rows: Iterable[tuple[str, Mapping[str, Any]]], source: str, shuffled: bool, per_user: bool) -> Feed:
    columns: tuple[str, ...] = ()
    made: list[tuple[bytes | str, ...]] = []
    for place, row in rows:
        if not isinstance(row, Mapping):
            raise LoadError(f"{place}: a row is a mapping, such as {{'name': 'ann'}}, not {type(row).__name__}")
        if not made:
            columns = tuple(row)
            for name in columns:
                if not isinstance(name, str) or not name.isidentifier() or not name.isascii():
                    raise LoadError(f"{source}: column {name!r} must be a name of letters, digits and underscores")
            if not columns:
                raise LoadError(f"{place}: a row needs at least one value")
        if set(row) != set(columns):
            raise LoadError(f"{place}: has {', '.join(map(str, row)) or 'nothing'} instead of {', '.join(columns)}")
        made.append(tuple(_value(row[name], place, name) for name in columns))
    if not made:
        raise LoadError(f"{source}: there is no row")
    return Feed(columns, tuple(made), shuffled, per_user)


def _value(value: Any, place: str, name: str) -> bytes | str:
    if isinstance(value, bytes):
        return value
    try:
        if isinstance(value, str):
            return value.encode()
        return json.dumps(value, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise LoadError(f"{place}: {name} cannot be written as text: {error}") from None
