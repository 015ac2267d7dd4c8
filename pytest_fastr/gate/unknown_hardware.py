"""What is said where baselines are stored, but none for this kind of hardware: a runner with another CPU."""

from __future__ import annotations

import os
from pathlib import Path

from pytest_fastr.gate.profile_folder import PROFILE_FILE, ProfileFolder

_MOST_NAMED = 4


def unknown_hardware(root: Path, slug: str) -> str | None:
    """One sentence; None where this profile has baselines, or no profile has."""
    if ProfileFolder(root / slug).files():
        return None
    try:
        names = sorted(os.listdir(root))
    except OSError:
        return None
    folders = [root / name for name in names if (root / name / PROFILE_FILE).is_file()]
    others = [folder.name for folder in folders if ProfileFolder(folder).files()]
    if not others:
        return None
    named = ", ".join(others[:_MOST_NAMED]) + (f" and {len(others) - _MOST_NAMED} more" if others[4:] else "")
    return (
        f"no baseline is stored for this hardware ({slug}), only for {named}: nothing stored was compared; run "
        "`pytest-fastr baseline update` here, or the workflow that does it on such a runner (docs/baselines.md), and "
        "commit the files"
    )
