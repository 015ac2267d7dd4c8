"""The result file of `--perf-json`: the whole session as JSON, for other programs.

`schema_version` is raised when a key changes its meaning or goes; keys may be added without. What is not
known is null, and so is a number that is not finite: the file is JSON in the strict sense.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from enum import Enum
from pathlib import Path

from pytest_fastr.gate.model import SessionReport, TestReport, worst
from pytest_fastr.report.output import write_text

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
        "pytest": {"exit_code": report.exit_code, "failed": report.failed},
    }
    return json.dumps(plain(document), indent=2, sort_keys=True, allow_nan=False) + "\n"


def write(report: SessionReport, path: Path, loads: Sequence[Mapping[str, object]] = ()) -> None:
    """Writes the file in one step, and makes its folder. Pipes and devices are written to, not replaced."""
    write_text(path, to_json(report, loads), "result file", "--perf-json")


def _members(test: TestReport) -> dict[str, object]:
    # What plots are drawn from is long, and no promise to other programs.
    members = {one.name: getattr(test, one.name) for one in fields(test) if one.name != "evidence"}
    members["metrics"] = {name: _value_members(metric) for name, metric in test.metrics.items()}
    members["validity"] = [_value_members(note) for note in test.validity]
    members["lane"] = None if test.lane is None else _value_members(test.lane)
    members["absolute"] = [_value_members(one) for one in test.absolute]
    return members


def _value_members(value: object) -> dict[str, object]:
    names = [one.name for one in fields(value)]  # type: ignore[arg-type]
    return {name: getattr(value, name) for name in names}


def plain(value: object) -> object:
    """The value as JSON can hold it. Raises TypeError for what it cannot."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    raise TypeError(f"a report holds {value!r}, which JSON cannot")
