"""What comparisons of equals have shown on a hardware profile: the floor under every paired verdict, and how often a
build in which nothing had changed was called regressed. Written by ``--perf-aa``, one file a profile.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pytest_fastr import _native
from pytest_fastr.errors import BaselineError
from pytest_fastr.gate.atomic_file import only_writer, replace_file
from pytest_fastr.gate.baseline import EQUALS_FILE
from pytest_fastr.gate.profile import PROTOCOL_VERSION

SCHEMA_VERSION = 1
MOST_SESSIONS = 50
"""Sessions that are kept; the oldest goes first."""
MOST_DIGITS = 6


@dataclass(frozen=True, slots=True)
class EqualsSession:
    """One session of comparisons of equals: how many tests it had and how many of them were called regressed, and per
    metric the log ratio and the standard error of every test."""

    recorded: str
    tests: int
    red: int
    metrics: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Equals:
    """All that is stored, oldest first."""

    sessions: tuple[EqualsSession, ...] = ()

    @property
    def builds(self) -> int:
        """How many sessions there were."""
        return len(self.sessions)

    @property
    def red_builds(self) -> int:
        """How many of them would have failed a build."""
        return sum(session.red > 0 for session in self.sessions)

    def floors(self) -> dict[str, tuple[float, float]]:
        """Per metric the floor that they show: a log ratio's standard deviation, and its degrees of freedom."""
        pairs: dict[str, list[tuple[float, float]]] = {}
        for session in self.sessions:
            for metric, values in session.metrics.items():
                pairs.setdefault(metric, []).extend(values)
        floors = {metric: _native.run_floor(values) for metric, values in pairs.items()}
        return {metric: floor for metric, floor in floors.items() if floor is not None}


class EqualsStore:
    """The file of one profile's folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / EQUALS_FILE

    def load(self) -> Equals:
        """What is stored. Raises BaselineError for a file that is not understood."""
        try:
            text = self.path.read_bytes().decode()
        except FileNotFoundError:
            return Equals()
        except (OSError, UnicodeDecodeError) as error:
            raise BaselineError(f"cannot read {self.path}: {error}; mend or remove it") from error
        try:
            return _read(json.loads(text))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise BaselineError(
                f"{self.path} is not what `pytest --perf --perf-aa` writes ({error}); restore it from version control, "
                "or delete it and measure anew"
            ) from error

    def append(self, session: EqualsSession) -> None:
        """Adds a session. Raises BaselineError."""
        try:
            with only_writer(self.path.parent):
                sessions = (*self.load().sessions, session)[-MOST_SESSIONS:]
                replace_file(self.path, _written(sessions))
        except OSError as error:
            raise BaselineError(
                f"cannot write {self.path}: {error.strerror or error}; make it writable, or set `baselines` in "
                "[tool.pytest-fastr] to another folder"
            ) from error


def _written(sessions: Sequence[EqualsSession]) -> str:
    document = {
        "schema_version": SCHEMA_VERSION,
        "protocol": PROTOCOL_VERSION,
        "sessions": [
            {
                "recorded": one.recorded,
                "tests": one.tests,
                "red": one.red,
                "metrics": {
                    name: [[round(value, MOST_DIGITS) for value in pair] for pair in pairs]
                    for name, pairs in one.metrics.items()
                },
            }
            for one in sessions
        ],
    }
    return json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n"


def _read(document: Mapping[str, object]) -> Equals:
    if (document["schema_version"], document["protocol"]) != (SCHEMA_VERSION, PROTOCOL_VERSION):
        raise ValueError("another version wrote it")
    sessions = document["sessions"]
    if not isinstance(sessions, list):
        raise ValueError("its sessions must be a list")
    return Equals(tuple(_session(one) for one in sessions))


def _session(session: Mapping[str, object]) -> EqualsSession:
    metrics, tests, red = session["metrics"], session["tests"], session["red"]
    if not isinstance(metrics, Mapping) or not isinstance(tests, int) or not isinstance(red, int):
        raise ValueError("a session has counts and metrics")
    if not 0 <= red <= tests:
        raise ValueError(f"{red} of {tests} tests cannot be red")
    return EqualsSession(
        recorded=str(session["recorded"]),
        tests=tests,
        red=red,
        metrics={str(name): [_pair(pair) for pair in pairs] for name, pairs in metrics.items()},
    )


def _pair(pair: Sequence[object]) -> tuple[float, float]:
    ratio, error = (float(str(value)) for value in pair)
    if not (math.isfinite(ratio) and math.isfinite(error) and error >= 0):
        raise ValueError(f"{pair!r} is no log ratio with its error")
    return ratio, error
