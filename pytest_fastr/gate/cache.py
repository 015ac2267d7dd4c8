"""The folder for what one session may leave to the next."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from pytest_fastr.errors import RefError


def cache_folder(env: Mapping[str, str]) -> Path:
    """Where worktrees are kept: $PYTEST_FASTR_CACHE, or else the user's cache folder, or else a temporary one."""
    if chosen := env.get("PYTEST_FASTR_CACHE"):
        return Path(os.path.abspath(os.path.expanduser(chosen)))
    xdg, home = env.get("XDG_CACHE_HOME", ""), env.get("HOME", "")
    if os.path.isabs(xdg):
        folder = Path(xdg, "pytest-fastr")
    elif os.path.isabs(home) and os.path.isdir(home):
        folder = Path(home, "Library/Caches" if sys.platform == "darwin" else ".cache", "pytest-fastr")
    else:
        return _temporary_cache()
    existing = next(place for place in (folder, *folder.parents) if os.path.exists(place))
    return folder if os.access(existing, os.W_OK | os.X_OK) else _temporary_cache()


def _temporary_cache() -> Path:
    folder = Path(tempfile.gettempdir()) / f"pytest-fastr-{os.getuid()}"
    with suppress(OSError):
        folder.mkdir(mode=0o700)
    # Anybody can make a folder of this name there, and code is run from it.
    if folder.is_symlink() or not folder.is_dir() or folder.stat().st_uid != os.getuid():
        raise RefError(f"{folder} is not a folder of yours; set PYTEST_FASTR_CACHE to one that can be written")
    return folder
