"""Whether records may be gone on with: those of another machine or other code would be rows of another table."""

from __future__ import annotations

import hashlib
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from measuring.environments import PINS
from measuring.records import Record, read
from published.places import APPS, AXUM, EXAMPLE, REPOSITORY
from pytest_fastr import _native
from pytest_fastr.gate.profile import detect


class Stale(Exception):
    """Records that cannot be gone on with. The message says what to do."""


def sources_hash() -> str:
    """Of everything that is measured: our package with its native module, the applications, the peers' versions."""
    digest = hashlib.sha256(repr(sorted(PINS.items())).encode())
    files = [Path(str(_native.__file__)), *AXUM.glob("Cargo.*")]
    for folder in (REPOSITORY / "pytest_fastr", APPS, EXAMPLE / "users_db", AXUM / "src"):
        files += [*folder.rglob("*.py"), *folder.rglob("*.rs")]
    for path in sorted(files):
        digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def check_records(path: Path, **others: Any) -> None:
    """Raises Stale where measurements are of another machine or of other code, or differ in what else is named."""
    machine = detect(version("pytest-fastr")).slug
    here = {**others, "machine": machine, "kernel": platform.release(), "sources": sources_hash()}
    records = read(path)
    measured = {record.get("run") for record in records if record.get("kind") == "measurement"}
    runs = [record for record in records if record.get("kind") == "run" and record.get("run") in measured]
    other = [name for name, value in here.items() if any(run.get(name) != value for run in runs)]
    if other:
        raise Stale(
            f"{path} has measurements of another {_words(other)}: remove the file to measure anew, "
            "or name another one with --records"
        )


def _words(names: list[str]) -> str:
    shown = {"sources": "state of the code", "warm_up": "--warm-up"}
    return " and another ".join(shown.get(name, name) for name in names)


def last_run(records: list[Record]) -> Record:
    """The description of the run that measured last, or only tried to; empty without any."""
    runs = [record for record in records if record.get("kind") == "run"]
    measured = {record.get("run") for record in records if record.get("kind") == "measurement"}
    return next((run for run in reversed(runs) if run.get("run") in measured), runs[-1] if runs else {})
