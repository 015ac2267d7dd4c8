"""Which folder pytest calls its root, for commands that need the configuration without pytest."""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def root_folder(here: Path, args: Iterable[str] = ()) -> Path:
    """The root folder for these arguments of pytest, given in ``here``, by the rules that pytest documents.

    https://docs.pytest.org/en/stable/reference/customize.html#initialization-determining-rootdir-and-configfile
    """
    given = [here / arg.partition("::")[0] for arg in args if not arg.startswith("-")]
    places = [path.resolve() for path in given if path.exists()] or [here.resolve()]
    common = Path(os.path.commonpath([place if place.is_dir() else place.parent for place in places]))
    above = (common, *common.parents)
    tests: tuple[Callable[[Path], bool], ...] = (_configures_pytest, _has("pyproject.toml"), _has("setup.py"))
    for is_root in tests:
        found = next((folder for folder in above if is_root(folder)), None)
        if found is not None:
            return found
    return Path(os.path.commonpath([here.resolve(), common]))


def _has(name: str) -> Callable[[Path], bool]:
    return lambda folder: (folder / name).is_file()


def _configures_pytest(folder: Path) -> bool:
    if any((folder / name).is_file() for name in ("pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml")):
        return True
    sections = {"tox.ini": "pytest", "setup.cfg": "tool:pytest"}
    return _in_pyproject(folder / "pyproject.toml") or any(
        _has_section(folder / name, section) for name, section in sections.items()
    )


def _in_pyproject(path: Path) -> bool:
    try:
        tools = tomllib.loads(path.read_text(encoding="utf-8")).get("tool")
    except (OSError, ValueError):
        # What is wrong with it is said by who reads it for what is in it.
        return False
    return isinstance(tools, Mapping) and "pytest" in tools


def _has_section(path: Path, section: str) -> bool:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        return bool(parser.read(path, encoding="utf-8")) and parser.has_section(section)
    except (configparser.Error, OSError, ValueError):
        return False
