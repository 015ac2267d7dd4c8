"""Where the history lies, and how a session is added to it at its end. One that cannot be kept fails nothing."""

from __future__ import annotations

from pathlib import Path

from pytest_fastr.errors import HistoryError
from pytest_fastr.gate.atomic_file import replace_file
from pytest_fastr.history.record import SessionRecord

FOLDER = ".pytest-fastr"
FILE = "history.db"


def history_file(setting: bool | str, rootdir: Path) -> Path:
    """The database: of the key `history` where that is a path (relative to the root directory), else the usual one."""
    return rootdir / (setting if isinstance(setting, str) else Path(FOLDER, FILE))


def keep(session: SessionRecord, path: Path) -> str | None:
    """Adds the session. Returns why it could not be kept, in one sentence; None: it was."""
    try:
        # Not at the top: apps that are objects are forked from this process, and would be measured with SQLite in it.
        from pytest_fastr.history.store import HistoryStore
    except ImportError as error:
        return f"this Python has no SQLite ({error})"
    try:
        if path.parent.name == FOLDER:
            _make_folder(path.parent)
        HistoryStore(path).append(session)
    except HistoryError as error:
        return str(error)
    except OSError as error:
        return f"cannot write the history {path}: {error.strerror or error}"
    return None


def _make_folder(folder: Path) -> None:
    """Makes the folder, with a file that keeps it out of git."""
    folder.mkdir(parents=True, exist_ok=True)
    ignore = folder / ".gitignore"
    if not ignore.exists():
        replace_file(ignore, "*\n")
