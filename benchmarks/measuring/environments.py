"""Virtual environments of the peers: what is in them, and how they come to be."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# Everything that is installed for the comparison. What these need besides is in the records (`packages`).
PINS: dict[str, tuple[str, ...]] = {
    "uvicorn": ("fastapi==0.165.0", "pydantic==2.14.4", "uvicorn==0.54.0", "uvloop==0.23.0", "httptools==0.9.0"),
    "granian": ("granian==2.8.7", "fastapi==0.165.0", "pydantic==2.14.4", "uvloop==0.23.0"),
    "gunicorn": ("flask==3.1.3", "gunicorn==27.0.1"),
    "fastapi-gunicorn": (
        "fastapi==0.165.0", "pydantic==2.14.4", "gunicorn==27.0.1", "uvicorn==0.54.0", "uvicorn-worker==0.4.0",
        "uvloop==0.23.0", "httptools==0.9.0",
    ),
    "database": (
        "fastapi==0.165.0", "pydantic==2.14.4", "uvicorn==0.54.0", "uvloop==0.23.0", "httptools==0.9.0",
        "sqlalchemy[asyncio]==2.1.9", "asyncpg==0.32.0", "psycopg[binary]==3.3.9",
    ),
    "django-bolt": ("django-bolt==0.13.0", "pydantic==2.14.4"),
    "robyn": ("robyn==0.88.0", "pydantic==2.14.4"),
    "fastrapi": ("fastrapi==0.2.11", "pydantic==2.14.4"),
}  # fmt: skip
OLDEST_PYTHON = {"django-bolt": (3, 12)}
_Maker = Callable[[], "Interpreter"]
INSTALL_S = 900
BUILD_S = 1800


class Missing(Exception):
    """Something cannot be had here. The message is the reason, for the row that stands in its place."""


@dataclass(frozen=True)
class Interpreter:
    """A Python, and what is installed for it."""

    python: str
    version: str
    packages: list[str]


class Environments:
    """Makes each environment once, below ``cache``, and remembers why one could not be made."""

    def __init__(self, cache: Path, python: str | None) -> None:
        self._cache = cache
        self._python = python
        self._known: dict[str, Interpreter | str] = {}
        self._built: dict[str, Path | str] = {}

    def own(self) -> Interpreter:
        """The interpreter that this runs in, which has pytest-fastr."""
        return self._remembered("", lambda: _described(sys.executable))

    def get(self, name: str) -> Interpreter:
        """The environment of ``PINS``. Raises Missing."""
        return self._remembered(name, lambda: self._made(name))

    def program(self, source: Path) -> Path:
        """The built program of a crate, whose name is the folder's. Raises Missing."""
        name = source.name
        if name not in self._built:
            try:
                self._built[name] = self._compiled(source)
            except Missing as missing:
                self._built[name] = str(missing)
        built = self._built[name]
        if isinstance(built, str):
            raise Missing(built)
        return built

    def _compiled(self, source: Path) -> Path:
        cargo = shutil.which("cargo") or shutil.which("cargo", path=str(Path.home() / ".cargo" / "bin"))
        if cargo is None:
            raise Missing("cargo is not installed")
        target = self._cache / source.name
        built = target / "release" / source.name.replace("_", "-")
        if not built.exists():
            print(f"building {source.name}, which takes minutes", file=sys.stderr)
        command = [cargo, "build", "--release", "--locked", "--quiet", "--manifest-path", str(source / "Cargo.toml")]
        _run([*command, "--target-dir", str(target)], BUILD_S)
        return built

    def _remembered(self, name: str, make: _Maker) -> Interpreter:
        if name not in self._known:
            try:
                self._known[name] = make()
            except Missing as missing:
                self._known[name] = str(missing)
        known = self._known[name]
        if isinstance(known, str):
            raise Missing(known)
        return known

    def _made(self, name: str) -> Interpreter:
        base = _base(self._python, OLDEST_PYTHON.get(name, (3, 10)))
        folder = self._cache / f"{name}-{base[1]}"
        python, mark = folder / "bin" / "python", folder / "pins.json"
        pins = list(PINS[name])
        if not (python.exists() and mark.exists() and json.loads(mark.read_text()) == pins):
            shutil.rmtree(folder, ignore_errors=True)
            print(f"installing {', '.join(pins)}", file=sys.stderr)
            _run([base[0], "-m", "venv", str(folder)], INSTALL_S)
            _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *pins], INSTALL_S)
            mark.write_text(json.dumps(pins))
        return _described(str(python))


def _base(wanted: str | None, oldest: tuple[int, int]) -> tuple[str, str]:
    """An interpreter and its version: the wanted one, or this one, or the oldest that will do of those installed."""
    candidates = [wanted or sys.executable]
    if wanted is None:
        candidates += [found for minor in range(10, 16) if (found := shutil.which(f"python3.{minor}"))]
        root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
        candidates += sorted(str(one) for one in root.glob("versions/3.1*/bin/python"))
    for candidate in candidates:
        try:
            version = _run([candidate, "-c", "import platform; print(platform.python_version())"], 30).strip()
        except Missing:
            continue
        major, minor = version.split(".")[:2]
        if (int(major), int(minor)) >= oldest:
            return candidate, version
    raise Missing(f"needs Python {oldest[0]}.{oldest[1]} or newer, which was not found")


def _described(python: str) -> Interpreter:
    version = _run([python, "-c", "import platform; print(platform.python_version())"], 30).strip()
    frozen = _run([python, "-m", "pip", "--disable-pip-version-check", "list", "--format", "json"], 120)
    return Interpreter(python, version, [f"{one['name']}=={one['version']}" for one in json.loads(frozen)])


def _run(command: list[str], seconds: float) -> str:
    """The output of a command that must succeed, run gently. Raises Missing with the end of what it said."""
    try:
        done = subprocess.run(["nice", *command], capture_output=True, text=True, timeout=seconds)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(f"{Path(command[0]).name}: {type(error).__name__}") from error
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise Missing(" ".join(said[-2:])[-400:])
    return done.stdout
