"""Files that are either the old one or the new one, whenever the writer is killed."""

from __future__ import annotations

import fcntl
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
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

    Two locks. The folder itself is locked, which leaves no file and holds between users, where the file system can lock
    folders (NFS cannot). And one file for all folders of a user, in the temporary folder, so that none is ever
    committed; it is never removed: who removes a lock can let two in. Where neither is shared (several users on NFS),
    only the atomic replacement helps.
    """
    lock = Path(tempfile.gettempdir()) / f"pytest-fastr-{os.getuid()}.lock"
    with ExitStack() as held:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        held.callback(os.close, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        held.callback(os.close, _locked_folder(folder))
        remove_leftovers(folder)
        yield


def _locked_folder(folder: Path) -> int:
    """A descriptor of the folder, which is made, and locked as far as that goes."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # removed at this moment
        try:
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Who waited for the lock may hold that of a folder which has been removed meanwhile.
            if folder.exists() and os.path.samestat(os.fstat(descriptor), folder.stat()):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
