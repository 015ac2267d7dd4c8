"""Records: JSON lines, appended one at a time, so that an interrupted comparison goes on where it stopped.

``run`` says what machine, software and options the measurements after it are from, ``measurement`` is one number of one
server in one round, ``absent`` a server that could not be measured, and why.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Record = dict[str, Any]


def read(path: Path) -> list[Record]:
    """All records; none where there is no file yet. A last line that was cut in writing is no record."""
    if not path.exists():
        return []
    records = []
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and "kind" in record:
            records.append(record)
    return records


def append(path: Path, record: Record) -> None:
    """Adds one record, on a line of its own even after one that was cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cut = path.exists() and not path.read_bytes().endswith(b"\n") and path.stat().st_size > 0
    with path.open("a") as stream:
        stream.write(("\n" if cut else "") + json.dumps(record) + "\n")


def key(record: Record) -> tuple[Any, ...]:
    """What one measurement is of. The same is not measured twice."""
    return tuple(record[name] for name in ("server", "workload", "round", "generator", "placement", "seconds"))
