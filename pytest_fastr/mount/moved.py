"""Imports from another folder than the import path says: a checkout whose code is served from a copy of it.

The import path of a test run leads to the checkout in many ways: pytest's own, ``PYTHONPATH``, ``.pth`` files and the
finders of editable installs. Whatever finds a top-level module there, the copy's is imported instead.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

INSTALLED = frozenset({"site-packages", "dist-packages"})
"""Folders of installed packages, wherever they are."""
# This very package runs already, wherever it comes from.
_OWN = __name__.partition(".")[0]
_MOST_STRAYS = 3


@dataclass(frozen=True)
class Moved(MetaPathFinder):
    """Imports what belongs to ``checkout`` from ``copy``. What is installed inside the checkout (a virtual environment)
    is not its code and stays where it is."""

    checkout: Path
    copy: Path

    def install(self) -> None:
        """Begins; for modules that are imported from now on."""
        sys.path[:] = [str(self.place(Path(entry))) if entry else entry for entry in sys.path]
        sys.meta_path.insert(0, self)

    def place(self, path: Path) -> Path:
        """Where the copy has what the checkout has there; anything else stays where it is."""
        if not self._is_own(path):
            return path
        return self.copy / path.resolve().relative_to(self.checkout)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Finds as all others do, and moves what they found. Packages find their own modules."""
        if path is not None or fullname == _OWN:
            return None
        for finder in sys.meta_path:
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec = find(fullname, None, target) if find is not None else None
            if spec is not None:
                return self._moved(spec)
        return None

    def strays(self) -> list[str]:
        """Files of the checkout that were imported all the same, at most three."""
        files = (getattr(module, "__file__", None) for name, module in sorted(sys.modules.items()) if _is_foreign(name))
        found = [file for file in files if isinstance(file, str) and self._is_own(Path(file))]
        return found[:_MOST_STRAYS]

    def _moved(self, spec: ModuleSpec) -> ModuleSpec:
        places = spec.submodule_search_locations
        if spec.origin is None or not spec.has_location:
            if places is not None:  # a namespace: folders that share a name
                spec.submodule_search_locations = [str(self.place(Path(one))) for one in places]
            return spec
        origin = Path(spec.origin)
        if not self._is_own(origin):
            return spec
        there = self.place(origin)
        if not there.is_file():
            raise ModuleNotFoundError(f"No module named {spec.name!r}: {there} does not exist", name=spec.name)
        inside = None if places is None else [str(self.place(Path(one))) for one in places]
        return spec_from_file_location(spec.name, there, submodule_search_locations=inside) or spec

    def _is_own(self, path: Path) -> bool:
        return not path.resolve().is_relative_to(self.copy) and is_code_of(path, self.checkout)


def is_code_of(path: Path, checkout: Path) -> bool:
    """Whether it lies in the checkout, and not among what is installed there."""
    place = path.resolve()
    return place.is_relative_to(checkout) and not INSTALLED & set(place.relative_to(checkout).parts)


def _is_foreign(module: str) -> bool:
    return module.partition(".")[0] not in (_OWN, "__main__")
