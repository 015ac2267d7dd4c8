"""Imports from a copy of a checkout, however the import path leads into the checkout."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A checkout and its copy: each module says which one it is of."""
    for side in ("checkout", "copy"):
        for name in ("single.py", "pack/__init__.py", "pack/inner.py", "space/part.py", "src/deep/__init__.py"):
            path = tmp_path / side / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"SIDE = {side!r}\n")
    for name in ("only_here.py", ".venv/lib/site-packages/installed.py"):
        path = tmp_path / "checkout" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("SIDE = 'checkout'\n")
    return tmp_path / "checkout", tmp_path / "copy"


def imported(folders: tuple[Path, Path], prepare: str, *modules: str) -> tuple[dict[str, str], list[str]]:
    """Where modules come from in a fresh interpreter, and the strays there."""
    checkout, copy = folders
    code = f"""
import importlib, json, sys
from pathlib import Path
from pytest_fastr.mount.moved import Moved
checkout, copy = Path({str(checkout)!r}), Path({str(copy)!r})
{prepare}
moved = Moved(checkout, copy)
moved.install()
found = {{}}
for name in {modules!r}:
    try:
        found[name] = importlib.import_module(name).SIDE
    except ModuleNotFoundError as error:
        found[name] = f"missing {{error.name}}"
print(json.dumps([found, moved.strays()]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found, strays = json.loads(done.stdout)
    return found, strays


EVERYTHING = ("single", "pack", "pack.inner", "space.part")


def test_what_the_import_path_leads_to_is_imported_from_the_copy(folders: tuple[Path, Path]) -> None:
    found, strays = imported(folders, "sys.path.insert(0, str(checkout))", *EVERYTHING)
    assert found == dict.fromkeys(EVERYTHING, "copy")
    assert strays == []


def test_a_finder_of_an_editable_install_is_followed_to_the_copy(folders: tuple[Path, Path]) -> None:
    finder = """
from importlib.machinery import PathFinder
class Finder:
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return PathFinder.find_spec(name, [str(checkout / "src")]) if name == "deep" else None
sys.meta_path.append(Finder)
"""
    assert imported(folders, finder, "deep") == ({"deep": "copy"}, [])


def test_a_path_that_is_added_later_is_followed_too(folders: tuple[Path, Path]) -> None:
    later = "import builtins; sys.path.append(str(checkout)); sys.path.reverse()"
    found, strays = imported(folders, later, *EVERYTHING)
    assert found == dict.fromkeys(EVERYTHING, "copy")
    assert strays == []


def test_what_the_copy_does_not_have_is_missing(folders: tuple[Path, Path]) -> None:
    found, _ = imported(folders, "sys.path.insert(0, str(checkout))", "only_here")
    assert found == {"only_here": "missing only_here"}


def test_what_is_installed_inside_the_checkout_stays_there(folders: tuple[Path, Path]) -> None:
    site = 'sys.path.insert(0, str(checkout / ".venv/lib/site-packages"))'
    assert imported(folders, site, "installed") == ({"installed": "checkout"}, [])


def test_what_was_imported_from_the_checkout_before_is_told(folders: tuple[Path, Path]) -> None:
    found, strays = imported(folders, "sys.path.insert(0, str(checkout)); import single", "single", "pack")
    assert found == {"single": "checkout", "pack": "copy"}
    assert strays == [str(folders[0] / "single.py")]
