"""The folder of one hardware profile: which files it has, and how they are changed without losing another's change."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from pytest_fastr.errors import BaselineError
from pytest_fastr.gate.atomic_file import only_writer, replace_file
from pytest_fastr.gate.baseline_file import corrupt, dump, read_tests, tests_text
from pytest_fastr.gate.profile import HardwareProfile
from pytest_fastr.gate.stored_test import StoredTest

PROFILE_FILE = "profile.json"
EQUALS_FILE = "equals.json"
"""What ``--perf-aa`` has measured on this profile (see ``equals.py``); no baseline."""

OTHER_FILES = (PROFILE_FILE, EQUALS_FILE)
"""Those that hold no tests."""

_MAX_NAME = 120


class ProfileFolder:
    """The files of one hardware profile. Safe for several writing processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path_of(self, nodeid: str) -> Path:
        """The file of the test's module. Modules that share a name after cleaning share it, which is fine."""
        module = nodeid.partition("::")[0].replace("\\", "/").replace("/", "__")
        name = re.sub(r"[^A-Za-z0-9._-]", "-", module).lstrip(".") or "_"
        if len(name) > _MAX_NAME:
            name = f"{name[:_MAX_NAME]}-{hashlib.sha256(module.encode(errors='replace')).hexdigest()[:8]}"
        # Compared without case, as some file systems do.
        return self.folder / (f"{name}__.json" if f"{name.lower()}.json" in OTHER_FILES else f"{name}.json")

    def files(self) -> list[Path]:
        """The modules' files that there are."""
        try:
            names = sorted(os.listdir(self.folder))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _unreadable(self.folder, error) from error
        return [self.folder / name for name in names if name.endswith(".json") and name not in OTHER_FILES]

    def read(self, path: Path) -> dict[str, StoredTest]:
        """The tests of a module's file; none where there is no file."""
        try:
            text = path.read_bytes().decode("utf-8")
        except FileNotFoundError:
            # A dangling link is somebody's mistake, and not the absence of a baseline.
            for place in (path, self.folder, self.folder.parent):
                if place.is_symlink() and not place.exists():
                    raise BaselineError(f"{place} is a symbolic link to nothing; repair or remove it") from None
            return {}
        except OSError as error:
            raise _unreadable(path, error) from error
        except UnicodeDecodeError as error:
            raise corrupt(path, "it is not UTF-8") from error
        return read_tests(text, path)

    def change(
        self, path: Path, edit: Callable[[dict[str, StoredTest]], None], profile: HardwareProfile | None = None
    ) -> None:
        """Changes the tests of a module's file while nobody else writes here; the file goes with its last test.

        ``profile``: whose folder it is, written beside. Raises BaselineError; then the file is as it was.
        """
        with self._locked():
            tests = self.read(path)
            edit(tests)
            if profile is not None:
                self._write(self.folder / PROFILE_FILE, dump(profile.as_dict()))
            if tests:
                self._write(path, tests_text(tests))
            else:
                self._remove(path)

    def remove(self, unless: Callable[[], bool]) -> bool:
        """Removes the profile's files, and the folder where nothing else is in it, while nobody else writes here.
        Whether it did: not where ``unless`` holds, which is asked then."""
        with self._locked():
            if unless():
                return False
            # The profile goes last: what a killed process leaves is still known for whose it is.
            for path in (*self.files(), self.folder / EQUALS_FILE, self.folder / PROFILE_FILE):
                self._remove(path)
            with suppress(OSError):
                self.folder.rmdir()
        return True

    def _remove(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise _unwritable(path, error) from error

    def _write(self, path: Path, text: str) -> None:
        try:
            if path.is_file() and path.read_bytes() == text.encode():
                return
            replace_file(path, text)
        except OSError as error:
            raise _unwritable(path, error) from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with ExitStack() as stack:
            try:
                stack.enter_context(only_writer(self.folder))
            except OSError as error:
                raise _unwritable(Path(error.filename or self.folder), error) from error
            yield


def _unreadable(path: Path, error: OSError) -> BaselineError:
    return BaselineError(f"cannot read {path}: {error.strerror or error}; mend its permissions or remove it")


def _unwritable(path: Path, error: OSError) -> BaselineError:
    return BaselineError(
        f"cannot write {path}: {error.strerror or error}; make it writable, or set `baselines` in "
        "[tool.pytest-fastr] to another folder"
    )
