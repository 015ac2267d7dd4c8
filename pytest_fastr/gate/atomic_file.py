"""Files that are either the old one or the new one, whenever the writer is killed."""

from __future__ import annotations

import fcntl
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_SUFFIX = ".pytest-fastr-tmp"


def replace_file(path: Path, text: str) -> None:
    """Replaces the file by one with this text (UTF-8). Raises OSError; then nothing has changed.

    A symbolic link is replaced and not followed.
    """
    temporary = path.with_name(f".{os.getpid()}-{secrets.token_hex(6)}{_SUFFIX}")
    # Opened like this and not with `tempfile`, so that the umask gives the file the usual permissions.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(text.encode("utf-8"))
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def remove_leftovers(folder: Path) -> None:
    """Removes what killed writers left behind. Only for who excludes other writers of the folder."""
    for leftover in folder.glob(f".*{_SUFFIX}"):
        with suppress(OSError):
            leftover.unlink()


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Makes the folder, and excludes other writers of it. Not for use inside itself. Raises OSError.

    The lock lies in the temporary folder, so that none is ever committed, and is never removed: who removes a lock can
    let two in. It is one for all folders of a user, since writing takes milliseconds. Other users have locks of their
    own; against those only the atomic replacement helps.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = Path(tempfile.gettempdir()) / f"pytest-fastr-{os.getuid()}.lock"
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        remove_leftovers(folder)
        yield
    finally:
        os.close(descriptor)
