"""Where snapshots come from: the baselines folder itself, somebody's folder or zip file, a git ref.

Somebody's is data: nothing of it is written under a name that it chose, links are refused, and sizes have limits.
"""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

from pytest_fastr.errors import BaselineError, RefError
from pytest_fastr.gate.ref import resolve_ref, run_git
from pytest_fastr.gate.snapshot import FoundFile

MOST_FILE_BYTES = 32 * 2**20
MOST_BYTES = 256 * 2**20
MOST_FILES = 10_000
MOST_LEVELS = 4
"""How deep below what is named a profile's files may lie: artifacts come in folders of their own."""


def own_files(root: Path) -> list[FoundFile]:
    """The files of the baselines folder; links are followed, as the gate does. None where there is no folder."""
    if root.is_symlink() and not root.exists():
        raise BaselineError(f"{root} is a symbolic link to nothing; repair or remove it")
    try:
        folders = sorted(one for one in root.iterdir() if one.is_dir())
        paths = [path for folder in folders for path in sorted(folder.iterdir()) if path.name.endswith(".json")]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise BaselineError(f"cannot read {error.filename or root}: {error.strerror or error}; mend it") from error
    return _bounded((path.relative_to(root).as_posix(), str(path), _read(path)) for path in paths)


def foreign_files(path: Path) -> list[FoundFile]:
    """The files of a folder or a zip file, which may be anybody's."""
    if path.is_dir():
        return _bounded(_in_folder(path.resolve(), path))
    if not path.exists():
        raise BaselineError(f"{path} does not exist; name the folder, or the zip file, to import")
    # Its table of contents is read as a whole, so the file itself has a limit too.
    if not path.is_file() or path.stat().st_size > MOST_FILE_BYTES:
        raise BaselineError(
            f"{path} is no zip file of at most {MOST_FILE_BYTES // 2**20} MiB; name the artifact itself"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            return _bounded(_in_zip(archive, path))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise BaselineError(f"{path} is no zip file that can be read ({error}); download it again") from error


def ref_files(ref: str, root: Path, env: Mapping[str, str]) -> list[FoundFile]:
    """The files that the baselines folder ``root`` has at a git ref. Raises RefError."""
    root = root.resolve()
    found = resolve_ref(ref, next(one for one in (root, *root.parents) if one.is_dir()), env, asked="git ref")
    inside = PurePosixPath(root.relative_to(found.toplevel))
    listed = _git(["ls-tree", "--full-tree", "-r", "-z", "-l", found.commit, "--", f"{inside}/"], found.toplevel, env)
    return _bounded(_in_tree(listed, inside, ref, found.toplevel, env))


def _in_folder(root: Path, shown: Path) -> Iterator[tuple[str, str, bytes]]:
    # What is named is either above the profiles' folders or one of them, whose name counts.
    top = root if not (root / "profile.json").exists() else root.parent

    def refuse(error: OSError) -> None:
        raise BaselineError(f"cannot read {error.filename}: {error.strerror or error}; mend it") from error

    for folder, folders, names in os.walk(root, onerror=refuse):
        if len(Path(folder).relative_to(root).parts) >= MOST_LEVELS:
            folders.clear()
        for name in sorted(folders + names):
            if Path(folder, name).is_symlink():
                raise BaselineError(f"{Path(folder, name)} is a symbolic link, which is not followed; leave it out")
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if name.endswith(".json"):
                yield path.relative_to(top).as_posix(), str(shown / path.relative_to(root)), _read(path)


def _in_zip(archive: zipfile.ZipFile, shown: Path) -> Iterator[tuple[str, str, bytes]]:
    seen = set()
    for entry in archive.infolist():
        where = f"{shown}: {entry.filename!r}"
        path = PurePosixPath(entry.filename)
        if path.is_absolute() or ".." in path.parts or "\\" in entry.filename or ":" in entry.filename:
            raise BaselineError(f"{where} leads out of the zip file; nothing was imported")
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise BaselineError(f"{where} is a link, or no ordinary file; nothing was imported")
        if entry.is_dir() or path.suffix != ".json" or len(path.parts) > MOST_LEVELS + 1:
            continue
        if path in seen:
            raise BaselineError(f"{where} is in it twice; nothing was imported")
        seen.add(path)
        # What the archive says of a size is its own word: no more is unpacked than may be.
        with archive.open(entry) as stream:
            yield path.as_posix(), where, _limited(stream.read(MOST_FILE_BYTES + 1), where)


def _in_tree(
    listed: str, inside: PurePosixPath, ref: str, top: Path, env: Mapping[str, str]
) -> Iterator[tuple[str, str, bytes]]:
    for entry in listed.split("\0")[:-1]:
        about, _, name = entry.partition("\t")
        mode, _, blob, size = about.split()
        if not name.endswith(".json"):
            continue
        where = f"{ref}:{name}"
        if not mode.startswith("100"):
            raise BaselineError(f"{where} is a link, which is not followed; commit the file itself")
        if not size.isdigit() or int(size) > MOST_FILE_BYTES:
            raise _too_large(where)
        text = _git(["cat-file", "blob", blob], top, env)
        yield PurePosixPath(name).relative_to(inside).as_posix(), where, os.fsencode(text)


def _git(arguments: Sequence[str], top: Path, env: Mapping[str, str]) -> str:
    answer = run_git(arguments, top, env)
    if answer.code:
        raise RefError(f"git cannot read the baselines: {answer.complaint}")
    return answer.out


def _read(path: Path) -> bytes:
    descriptor = None
    try:
        # Without waiting for a writer, if it is a pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BaselineError(f"{path} is no ordinary file; remove it")
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            return _limited(stream.read(MOST_FILE_BYTES + 1), str(path))
    except OSError as error:
        raise BaselineError(f"cannot read {path}: {error.strerror or error}; mend its permissions") from error
    finally:
        if descriptor is not None:
            with suppress(OSError):
                os.close(descriptor)


def _limited(data: bytes, where: str) -> bytes:
    if len(data) > MOST_FILE_BYTES:
        raise _too_large(where)
    return data


def _too_large(where: str) -> BaselineError:
    return BaselineError(f"{where} has more than {MOST_FILE_BYTES // 2**20} MiB, which no baselines have; remove it")


def _bounded(files: Iterator[tuple[str, str, bytes]]) -> list[FoundFile]:
    found: list[FoundFile] = []
    total = 0
    for path, where, data in files:
        total += len(data)
        if total > MOST_BYTES or len(found) >= MOST_FILES:
            raise BaselineError(
                f"{where}: with it there are more than {MOST_FILES:,} JSON files or {MOST_BYTES // 2**20} MiB; name "
                "the folder of the baselines alone"
            )
        found.append(FoundFile(PurePosixPath(path), where, data))
    return found
