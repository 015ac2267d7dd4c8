"""The database of the sessions: one SQLite file, written in one transaction at a session's end.

It is never deleted and never repaired: what cannot be read or written is told by HistoryError. There is no write-ahead
log, which would leave two more files beside it and does not work on network file systems.
"""

from __future__ import annotations

import json
import math
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pytest_fastr.errors import HistoryError
from pytest_fastr.history.record import MetricRecord, RunRecord, SessionRecord

SCHEMA_VERSION = 1
MOST_SESSIONS = 10_000
"""Sessions kept; the oldest go first."""
BUSY_S = 5.0
"""How long another writer is waited for; writing a session takes milliseconds."""

_APPLICATION_ID = 0x66617374
"""Tells the file from other SQLite databases."""
_LONGEST_JSON = 100_000
_SHORTEST_PAGE = 512
_NO_DATABASE = "file is not a database"

_TABLES = (
    """CREATE TABLE session (
        id INTEGER PRIMARY KEY AUTOINCREMENT, started TEXT NOT NULL, duration_s REAL NOT NULL, git_commit TEXT,
        profile TEXT NOT NULL, version TEXT NOT NULL, command TEXT NOT NULL, verdict TEXT NOT NULL)""",
    """CREATE TABLE run (
        id INTEGER PRIMARY KEY, session INTEGER NOT NULL REFERENCES session ON DELETE CASCADE, nodeid TEXT NOT NULL,
        mode TEXT NOT NULL, verdict TEXT NOT NULL, request TEXT NOT NULL, against TEXT NOT NULL, load TEXT NOT NULL,
        requests INTEGER NOT NULL, errors INTEGER NOT NULL)""",
    """CREATE TABLE metric (
        run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE, name TEXT NOT NULL, unit TEXT NOT NULL,
        candidate REAL, change REAL, low REAL, high REAL, log_ratio REAL, log_ratio_se REAL, verdict TEXT)""",
    "CREATE INDEX run_session ON run (session)",
    "CREATE INDEX metric_run ON metric (run)",
)
_SESSION = "started, duration_s, git_commit, profile, version, command, verdict"
_RUN = "nodeid, mode, verdict, request, against, load, requests, errors"
_METRIC = "name, unit, candidate, change, low, high, log_ratio, log_ratio_se, verdict"


class HistoryStore:
    """The database at a path. Safe for several processes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, session: SessionRecord, most: int = MOST_SESSIONS) -> None:
        """Adds a session, and drops the oldest beyond ``most``. All of it or nothing. Raises HistoryError."""
        with self._told("write"):
            self._refuse_what_is_no_file()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._open(self.path) as database:
                database.execute("BEGIN IMMEDIATE")
                self._prepare(database)
                _insert(database, session)
                oldest = "SELECT id FROM session ORDER BY id DESC LIMIT 1 OFFSET ?"
                database.execute(f"DELETE FROM session WHERE id <= ({oldest})", (most,))
                database.execute("COMMIT")

    def read(self, nodeid: str = "", last: int | None = None, profile: str | None = None) -> list[SessionRecord]:
        """The sessions that have a run whose node id contains ``nodeid``, oldest first, with those runs only.
        ``last``: no more than so many, the youngest. An absent file has none. Raises HistoryError."""
        with self._told("read"):
            if not os.path.lexists(self.path):
                return []
            self._refuse_what_is_no_file()
            with self._open(f"{self.path.absolute().as_uri()}?mode=rw") as database:
                # Not read-only: what a killed writer left half done must be rolled back first.
                database.execute("BEGIN")
                self._check(database)
                return list(reversed(list(_sessions(database, nodeid, last, profile))))

    @contextmanager
    def _open(self, where: Path | str) -> Iterator[sqlite3.Connection]:
        database = sqlite3.connect(where, timeout=BUSY_S, isolation_level=None, uri=isinstance(where, str))
        try:
            database.execute("PRAGMA foreign_keys = ON")
            yield database
        finally:
            # What is not committed is rolled back.
            database.close()

    def _prepare(self, database: sqlite3.Connection) -> None:
        """Makes the tables in a file that is still empty; refuses one that is something else."""
        if database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
            for table in _TABLES:
                database.execute(table)
            database.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        self._check(database)

    def _check(self, database: sqlite3.Connection) -> None:
        if database.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
            raise HistoryError(f"{self.path} is no history of pytest-fastr: give `history` another path")
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version != SCHEMA_VERSION:
            raise HistoryError(
                f"the history {self.path} was written by another pytest-fastr (schema version {version}, this one has "
                f"{SCHEMA_VERSION}): use that version, or move the file away"
            )

    def _refuse_what_is_no_file(self) -> None:
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            return
        # SQLite takes what is shorter than a page for an empty database, and writes over it.
        if 0 < found.st_size < _SHORTEST_PAGE:
            raise sqlite3.DatabaseError(_NO_DATABASE)
        if not stat.S_ISREG(found.st_mode):
            raise HistoryError(f"the history {self.path} is no ordinary file: give `history` another path")

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise HistoryError(f"cannot {what} the history {self.path}: {_why(error)}") from error
        except (OSError, sqlite3.Error) as error:
            reason = getattr(error, "strerror", None) or error
            raise HistoryError(f"cannot {what} the history {self.path}: {reason}; it is left as it is") from error


def _why(error: sqlite3.DatabaseError) -> str:
    said = str(error)
    if "locked" in said:
        return f"another process has held it for {BUSY_S:g} s"
    if "malformed" in said or _NO_DATABASE in said:
        return "it is damaged; it is left as it is: move it away to begin a new one"
    return f"{said}; it is left as it is"


def _insert(database: sqlite3.Connection, session: SessionRecord) -> None:
    key = database.execute(
        f"INSERT INTO session ({_SESSION}) VALUES (?, ?, ?, ?, ?, ?, ?)",
        tuple(map(_storable, (session.started, session.duration_s, session.commit, session.profile, session.version,
                              session.command, session.verdict))),
    ).lastrowid  # fmt: skip
    for run in session.runs:
        load = json.dumps(run.load, sort_keys=True)
        values = (run.nodeid, run.mode, run.verdict, run.request, run.against,
                  load if len(load) <= _LONGEST_JSON else "{}", run.requests, run.errors)  # fmt: skip
        run_key = database.execute(
            f"INSERT INTO run (session, {_RUN}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (key, *map(_storable, values))
        ).lastrowid
        database.executemany(
            f"INSERT INTO metric (run, {_METRIC}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (run_key, *map(_storable, (one.name, one.unit, one.candidate, one.change, one.low, one.high,
                                           one.log_ratio, one.log_ratio_se, one.verdict)))
                for one in run.metrics
            ],
        )  # fmt: skip


def _storable(value: object) -> object:
    """The value as SQLite takes it: bytes of a name that are no text are escaped, and what is not finite is null."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _sessions(
    database: sqlite3.Connection, nodeid: str, last: int | None, profile: str | None
) -> Iterator[SessionRecord]:
    """Youngest first."""
    chosen = database.execute(
        f"SELECT id, {_SESSION} FROM session WHERE (? IS NULL OR profile = ?) AND EXISTS "
        "(SELECT 1 FROM run WHERE session = session.id AND instr(nodeid, ?)) ORDER BY id DESC LIMIT ?",
        (profile, profile, nodeid, -1 if last is None else last),
    ).fetchall()
    for key, started, duration_s, commit, slug, version, command, verdict in chosen:
        rows = database.execute(
            f"SELECT id, {_RUN} FROM run WHERE session = ? AND instr(nodeid, ?) ORDER BY id", (key, nodeid)
        ).fetchall()
        yield SessionRecord(
            started=_text(started), duration_s=_number(duration_s) or 0.0, commit=_text_or_none(commit),
            profile=_text(slug), version=_text(version), command=_text(command), verdict=_text(verdict),
            runs=tuple(_run_of(database, row) for row in rows),
        )  # fmt: skip


def _run_of(database: sqlite3.Connection, row: tuple[object, ...]) -> RunRecord:
    key, nodeid, mode, verdict, request, against, load, requests, errors = row
    metrics = database.execute(f"SELECT {_METRIC} FROM metric WHERE run = ? ORDER BY rowid", (key,)).fetchall()
    return RunRecord(
        nodeid=_text(nodeid),
        mode=_text(mode),
        verdict=_text(verdict),
        request=_text(request),
        against=_text(against),
        load=_load(_text(load)),
        requests=int(_number(requests) or 0),
        errors=int(_number(errors) or 0),
        metrics=tuple(map(_metric_of, metrics)),
    )


def _metric_of(row: tuple[object, ...]) -> MetricRecord:
    name, unit, *numbers, verdict = row
    candidate, change, low, high, log_ratio, se = map(_number, numbers)
    return MetricRecord(
        _text(name), _text(unit), candidate, change, low, high, log_ratio, se, verdict=_text_or_none(verdict)
    )


def _load(text: str) -> dict[str, object]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {}


# A column of SQLite's may hold a value of any type, whatever it was declared as.
def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: object) -> float | None:
    known = isinstance(value, (int, float)) and math.isfinite(value) and abs(value) < 1e300
    return float(value) if known else None  # type: ignore[arg-type]
