"""The result file of `--perf-json`: the whole session as JSON, for other programs.

`schema_version` is raised when a key changes its meaning or goes; keys may be added without. What is not
known is null, and so is a number that is not finite: the file is JSON in the strict sense.
"""

from __future__ import annotations

import errno
import json
import math
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import fields
from enum import Enum
from pathlib import Path

from pytest_fastr.errors import ReportError
from pytest_fastr.gate.atomic_file import replace_file
from pytest_fastr.gate.model import SessionReport, TestReport, worst

SCHEMA_VERSION = 1


def to_json(report: SessionReport, loads: Sequence[Mapping[str, object]] = ()) -> str:
    """The session as sorted, indented JSON with a newline at the end, in ASCII. ``loads``: documents of load runs."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "profile": report.profile.as_dict(),
        "verdict": worst(test.verdict for test in report.tests) if report.tests or not loads else None,
        "tests": [_members(test) for test in report.tests],
        "loads": loads,
        "started": report.started,
        "duration_s": report.duration_s,
        "versions": report.versions,
        "command": report.command,
        "against": report.against,
        "changes": report.changes,
    }
    return json.dumps(_plain(document), indent=2, sort_keys=True, allow_nan=False) + "\n"


def write(report: SessionReport, path: Path, loads: Sequence[Mapping[str, object]] = ()) -> None:
    """Writes the file in one step, and makes its folder. Pipes and devices are written to, not replaced."""
    text = to_json(report, loads)
    try:
        target = path.resolve()
        if target.is_symlink():
            # A link that is still one once resolved is a loop; before Python 3.13 `resolve` has raised.
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and not stat.S_ISREG(os.stat(target).st_mode):
            target.write_text(text, encoding="utf-8")
        else:
            replace_file(target, text)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ReportError(f"cannot write the result file {path}: {reason}; give --perf-json another path") from error


def _members(test: TestReport) -> dict[str, object]:
    members = {one.name: getattr(test, one.name) for one in fields(test)}
    members["metrics"] = {name: _value_members(metric) for name, metric in test.metrics.items()}
    members["validity"] = [_value_members(note) for note in test.validity]
    members["lane"] = None if test.lane is None else _value_members(test.lane)
    members["absolute"] = [_value_members(one) for one in test.absolute]
    return members


def _value_members(value: object) -> dict[str, object]:
    names = [one.name for one in fields(value)]  # type: ignore[arg-type]
    return {name: getattr(value, name) for name in names}


def _plain(value: object) -> object:
    """The value as JSON can hold it."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    raise TypeError(f"a report holds {value!r}, which JSON cannot")
