"""Files and folders that are copied from a checkout, and removed again whatever is in them."""

from __future__ import annotations

import glob
import os
import shutil
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pytest_fastr.errors import RefError


def sources_of(patterns: Sequence[str], toplevel: Path) -> list[Path]:
    """The paths that `copy` names."""
    sources: list[Path] = []
    for pattern in patterns:
        parts = Path(pattern).parts
        if not parts or Path(pattern).is_absolute() or ".." in parts or "\0" in pattern or parts[0] == ".git":
            raise RefError(f'`copy` names {pattern!r}; it must be a file or folder in the repository, such as ".env"')
        # A file may have a name that looks like a pattern.
        is_name = os.path.lexists(toplevel / pattern)
        found = [pattern] if is_name else glob.glob(pattern, root_dir=toplevel, recursive=True)
        paths = [toplevel / name for name in sorted(found) if Path(name).parts[:1] not in ((), (".git",))]
        if not paths:
            raise RefError(f"`copy` names {pattern!r}, which does not exist in {toplevel}; create it, or change `copy`")
        for path in paths:
            if not path.parent.resolve().is_relative_to(toplevel):
                raise RefError(f"`copy` names {pattern!r}, which a link leads out of {toplevel}; name a path inside it")
        sources += paths
    return sources


def copy_over(source: Path, target: Path) -> None:
    """Copies a file, a link as a link, or a folder with all in it, over what is there. No socket or pipe."""
    mode = source.lstat().st_mode
    if stat.S_ISDIR(mode):
        if target.is_symlink() or not target.is_dir():
            remove(target)
            target.mkdir()
        for name in os.listdir(source):
            copy_over(source / name, target / name)
        shutil.copystat(source, target)
    elif stat.S_ISREG(mode) or stat.S_ISLNK(mode):
        remove(target)
        shutil.copy2(source, target, follow_symlinks=False)


def remove(path: Path) -> None:
    """Removes a file, link or folder, also one with write-protected folders in it. What stays is no error here."""
    if path.is_symlink() or not path.is_dir():
        with suppress(OSError):
            path.unlink(missing_ok=True)
        return
    with suppress(OSError):
        shutil.rmtree(path)
        return
    for folder, names, _ in os.walk(path):
        for one in (folder, *(os.path.join(folder, name) for name in names)):
            if not os.path.islink(one):
                with suppress(OSError):
                    os.chmod(one, 0o700)
    shutil.rmtree(path, ignore_errors=True)
