"""What comparisons of equals have shown on a hardware profile: the floor under every paired verdict, and how often a
build in which nothing had changed was called regressed. Written by ``--perf-aa``, one file a profile.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pytest_fastr import _native
from pytest_fastr.errors import BaselineError
from pytest_fastr.gate.atomic_file import only_writer, replace_file
from pytest_fastr.gate.profile import PROTOCOL_VERSION
from pytest_fastr.gate.profile_folder import EQUALS_FILE

SCHEMA_VERSION = 1
MOST_SESSIONS = 50
"""Sessions that are kept; the oldest goes first."""
MOST_DIGITS = 6


@dataclass(frozen=True, slots=True)
class EqualsSession:
    """One session of comparisons of equals: how many tests it had and how many of them were called regressed; per
    metric the log ratio and the standard error of every test, and the log ratios of its epochs."""

    recorded: str
    tests: int
    red: int
    metrics: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    epochs: Mapping[str, Sequence[Sequence[float]]] = field(default_factory=dict)


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

    def epoch_ratios(self) -> dict[str, list[Sequence[float]]]:
        """Per metric the epochs' log ratios of every test: how much pairs of processes differ on this hardware."""
        ratios: dict[str, list[Sequence[float]]] = {}
        for session in self.sessions:
            for metric, tests in session.epochs.items():
                ratios.setdefault(metric, []).extend(tests)
        return ratios


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
        return read_equals(text, self.path)

    def append(self, session: EqualsSession) -> None:
        """Adds a session. Raises BaselineError."""
        self._change(lambda before: [*before, session])

    def merge(self, sessions: Sequence[EqualsSession]) -> int:
        """Adds those of the sessions that are not there, by their dates. How many. Raises BaselineError."""
        added: list[EqualsSession] = []

        def by_date(before: Sequence[EqualsSession]) -> list[EqualsSession]:
            added.extend(one for one in sessions if one not in before)
            return sorted([*before, *added], key=lambda one: one.recorded) if added else list(before)

        self._change(by_date)
        return len(added)

    def _change(self, edit: Callable[[Sequence[EqualsSession]], Sequence[EqualsSession]]) -> None:
        try:
            with only_writer(self.path.parent):
                replace_file(self.path, _written(edit(self.load().sessions)[-MOST_SESSIONS:]))
        except OSError as error:
            raise BaselineError(
                f"cannot write {self.path}: {error.strerror or error}; make it writable, or set `baselines` in "
                "[tool.pytest-fastr] to another folder"
            ) from error


def read_equals(text: str, where: Path | str) -> Equals:
    """What a file holds. Raises BaselineError, which calls it ``where``, for one that is not understood."""
    try:
        return _read(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BaselineError(
            f"{where} is not what `pytest --perf --perf-aa` writes ({error}); restore it from version control, "
            "or delete it and measure anew"
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
                "epochs": {
                    name: [[round(value, MOST_DIGITS) for value in test] for test in tests]
                    for name, tests in one.epochs.items()
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
    metrics, epochs = session["metrics"], session["epochs"]
    tests, red = session["tests"], session["red"]
    if not isinstance(metrics, Mapping) or not isinstance(epochs, Mapping):
        raise ValueError("a session has metrics and epochs")
    if not isinstance(tests, int) or not isinstance(red, int):
        raise ValueError("a session has counts")
    if not 0 <= red <= tests:
        raise ValueError(f"{red} of {tests} tests cannot be red")
    return EqualsSession(
        recorded=str(session["recorded"]),
        tests=tests,
        red=red,
        metrics={str(name): [_pair(pair) for pair in pairs] for name, pairs in metrics.items()},
        epochs={str(name): [[_finite(value) for value in one] for one in ones] for name, ones in epochs.items()},
    )


def _pair(pair: Sequence[object]) -> tuple[float, float]:
    ratio, error = map(_finite, pair)
    if error < 0:
        raise ValueError(f"{pair!r} has a negative error")
    return ratio, error


def _finite(value: object) -> float:
    number = float(value) if isinstance(value, (int, float)) else math.nan
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is no number")
    return number
