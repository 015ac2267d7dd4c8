"""Stored baselines: what was measured before on this hardware, as files a person can review.

One folder a hardware profile, one JSON file a test module, sorted keys, so that a diff shows what changed. A
session keeps, per metric, the log ratio of the app to the bundled reference app; the last sessions are kept,
because their spread is what a new one is judged by. A file that cannot be understood is an error and never
"no baseline".
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path

from pytest_fastr.errors import BaselineError
from pytest_fastr.gate.atomic_file import only_writer, replace_file
from pytest_fastr.gate.profile import PROTOCOL_VERSION, HardwareProfile
from pytest_fastr.gate.strict_json import finite_of, integer_of, mapping_of, member, only, parse, text_of

SCHEMA_VERSION = 1
"""The version of the files' layout."""

MAX_SESSIONS = 20
"""Sessions kept per test; the oldest goes first."""

MAX_ERAS = 20
"""Eras that are remembered per test; the oldest goes first."""

LANES = ("fast", "typed", "full", "asgi")
"""The lanes that a route can have, best first."""

_PROFILE_FILE = "profile.json"
EQUALS_FILE = "equals.json"
"""What ``--perf-aa`` has measured on this profile (see ``equals.py``); no baseline."""

_OTHER_FILES = (_PROFILE_FILE, EQUALS_FILE)
_NUMBERS = ("log_ratio", "totals_log_ratio", "se", "candidate")
_MAX_NAME = 120


@dataclass(frozen=True, slots=True)
class StoredMetric:
    """One metric of one session: ln(app / reference app), its standard error, and the app's own value.

    `log_ratio` is the robust centre; `totals_log_ratio` is that of the sums, which sees rare costs that a centre hides.
    """

    log_ratio: float
    totals_log_ratio: float
    se: float
    candidate: float
    unit: str


@dataclass(frozen=True, slots=True)
class StoredSession:
    """What one session measured for one test."""

    recorded: str
    commit: str | None
    engine: str
    metrics: Mapping[str, StoredMetric]


@dataclass(frozen=True, slots=True)
class Era:
    """When another level than before was accepted as the baseline, and why. Sessions of before are not kept: their mean
    with those after it would be nobody's level."""

    since: str
    commit: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class StoredTest:
    """The sessions of one test under one load, oldest first, all of the last era, and the lane of the route that its
    request took in the last one, where that is known."""

    load: Mapping[str, object]
    sessions: tuple[StoredSession, ...]
    eras: tuple[Era, ...] = ()
    lane: str | None = None

    def has_load(self, load: Mapping[str, object]) -> bool:
        """Whether the sessions were measured under this load; under another one they are not comparable."""
        return _canonical(self.load, "load") == _canonical(load, "load")


class Appended(str, Enum):
    """What appending a session did."""

    FIRST = "first"
    """The test had no baseline."""
    ADDED = "added"
    """The session joined those before it."""
    RESTARTED = "restarted"
    """The load differs from the stored one, or an era began: the sessions before were dropped."""


class BaselineStore:
    """The baselines of one hardware profile below `root`. Safe for several writing processes."""

    def __init__(self, root: Path, profile: HardwareProfile) -> None:
        self.folder = root / profile.slug
        self._profile = profile

    def load(self, nodeid: str) -> StoredTest | None:
        """What is stored for the test; None when nothing is."""
        return self._read(self.path_of(nodeid)).get(nodeid)

    def history(self, metric: str, functions: bool = False) -> list[list[float]]:
        """The log ratios of a metric, one list a test of the profile: what its pooled spread comes from. ``functions``:
        of tests that measure a function of the tests' own process, which differ otherwise than servers do."""
        found = [test for path in self._files() for test in self._read(path).values()]
        tests = [test for test in found if ("function" in test.load) is functions]
        ratios = (
            [session.metrics[metric].log_ratio for session in test.sessions if metric in session.metrics]
            for test in tests
        )
        return [values for values in ratios if values]

    def append(
        self,
        nodeid: str,
        load: Mapping[str, object],
        session: StoredSession,
        era: Era | None = None,
        lane: str | None = None,
    ) -> Appended:
        """Adds a session to the test's, dropping the oldest beyond `MAX_SESSIONS`, or all where an era begins. What was
        known of its lane stays as it is without a `lane`."""
        added = _rounded(session, nodeid)
        canonical = _canonical(load, f"the load of {nodeid}")
        path = self.path_of(nodeid)
        with self._locked():
            tests = self._read(path)
            before = tests.get(nodeid)
            kept = before.sessions if before is not None and before.has_load(load) and era is None else ()
            lane = lane or (before.lane if before is not None and before.has_load(load) else None)
            eras = (*(before.eras if before is not None else ()), *([era] if era is not None else []))
            tests[nodeid] = StoredTest(canonical, (*kept, added)[-MAX_SESSIONS:], eras[-MAX_ERAS:], lane)
            self._write(self.folder / _PROFILE_FILE, self._profile.as_dict())
            self._write(path, {
                "schema_version": SCHEMA_VERSION,
                "protocol": PROTOCOL_VERSION,
                "tests": {name: _test_document(test) for name, test in tests.items()},
            })  # fmt: skip
        if before is None:
            return Appended.FIRST
        return Appended.ADDED if kept else Appended.RESTARTED

    def path_of(self, nodeid: str) -> Path:
        """The file of the test's module. Modules that share a name after cleaning share it, which is fine."""
        module = nodeid.partition("::")[0].replace("\\", "/").replace("/", "__")
        name = re.sub(r"[^A-Za-z0-9._-]", "-", module).lstrip(".") or "_"
        if len(name) > _MAX_NAME:
            name = f"{name[:_MAX_NAME]}-{hashlib.sha256(module.encode(errors='replace')).hexdigest()[:8]}"
        # Compared without case, as some file systems do.
        return self.folder / (f"{name}__.json" if f"{name.lower()}.json" in _OTHER_FILES else f"{name}.json")

    def _files(self) -> list[Path]:
        try:
            names = sorted(os.listdir(self.folder))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _unreadable(self.folder, error) from error
        return [self.folder / name for name in names if name.endswith(".json") and name not in _OTHER_FILES]

    def _read(self, path: Path) -> dict[str, StoredTest]:
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
            raise _corrupt(path, "it is not UTF-8") from error
        return _tests_of(text, path)

    def _write(self, path: Path, document: Mapping[str, object]) -> None:
        text = _dump(document)
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


def _test_document(test: StoredTest) -> dict[str, object]:
    document: dict[str, object] = {
        "load": dict(test.load),
        "sessions": [_session_document(session) for session in test.sessions],
    }
    if test.eras:
        document["eras"] = [asdict(era) for era in test.eras]
    if test.lane is not None:
        document["lane"] = test.lane
    return document


def _session_document(session: StoredSession) -> dict[str, object]:
    return {
        "recorded": session.recorded,
        "commit": session.commit,
        "engine": session.engine,
        "metrics": {name: asdict(metric) for name, metric in session.metrics.items()},
    }


def _rounded(session: StoredSession, nodeid: str) -> StoredSession:
    """The session as it comes back from its file, checked by what will read it."""
    what = f"the session of {nodeid}"
    try:
        return _session_of(_canonical(_session_document(session), what), what)
    except ValueError as error:
        raise BaselineError(f"{error}; nothing was written") from error


def _dump(document: Mapping[str, object]) -> str:
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    if text.isascii() or not re.search("[\ud800-\udfff]", text):
        return text
    # A node id can hold bytes that are no text (surrogates), which UTF-8 cannot write and JSON can escape.
    return json.dumps(document, indent=2, sort_keys=True, allow_nan=False) + "\n"


def _canonical(value: Mapping[str, object], what: str) -> dict[str, object]:
    """The mapping as it comes back from JSON: rounded, lists for tuples. Refuses what would not come back."""
    return {_text_key(key, what): _canonical_value(one, f"{what}.{key}") for key, one in value.items()}


def _canonical_value(value: object, what: str) -> object:
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return _canonical(value, what)
    if isinstance(value, (list, tuple)):
        return [_canonical_value(one, what) for one in value]
    raise BaselineError(f"{what} is {value!r}, which a baseline cannot hold; nothing was written")


def _text_key(key: object, what: str) -> str:
    if not isinstance(key, str):
        raise BaselineError(f"{what} has the key {key!r}, which is no text; nothing was written")
    return key


def _tests_of(text: str, path: Path) -> dict[str, StoredTest]:
    """Reads a module's file. Every shape that this version did not write is refused."""
    try:
        document = parse(text)
    except (ValueError, RecursionError) as error:
        raise _corrupt(path, str(error)) from error
    try:
        version = integer_of(member(document, "schema_version"), "schema_version")
        if version > SCHEMA_VERSION:
            raise BaselineError(
                f"{path} was written by a newer pytest-fastr (schema_version {version}, this one reads "
                f"{SCHEMA_VERSION}); upgrade pytest-fastr"
            )
        if version != SCHEMA_VERSION:
            raise ValueError(f"schema_version {version} is not known")
        protocol = integer_of(member(document, "protocol"), "protocol")
        if protocol != PROTOCOL_VERSION:
            raise ValueError(f"it was measured by protocol {protocol}, this one is {PROTOCOL_VERSION}")
        only(document, {"schema_version", "protocol", "tests"}, "the file")
        tests = mapping_of(member(document, "tests"), "tests")
        return {nodeid: _test_of(mapping_of(test, nodeid), nodeid) for nodeid, test in tests.items()}
    except ValueError as error:
        raise _corrupt(path, str(error)) from error


def _test_of(test: Mapping[str, object], what: str) -> StoredTest:
    only(test, {"load", "sessions", "eras", "lane"}, what)
    sessions = member(test, "sessions")
    if not isinstance(sessions, list) or not sessions:
        raise ValueError(f"the sessions of {what} must be a list that is not empty")
    load = mapping_of(member(test, "load"), f"the load of {what}")
    eras = test.get("eras", [])
    if not isinstance(eras, list):
        raise ValueError(f"the eras of {what} must be a list")
    lane = test.get("lane")
    if lane is not None and lane not in LANES:
        raise ValueError(f"the lane of {what} must be one of {', '.join(LANES)}")
    return StoredTest(
        load,
        tuple(_session_of(mapping_of(one, what), what) for one in sessions),
        tuple(_era_of(mapping_of(one, what), what) for one in eras),
        None if lane is None else str(lane),
    )


def _era_of(era: Mapping[str, object], what: str) -> Era:
    only(era, {"since", "commit", "reason"}, f"an era of {what}")
    commit = member(era, "commit")
    return Era(
        since=text_of(member(era, "since"), f"since of {what}"),
        commit=None if commit is None else text_of(commit, f"commit of {what}"),
        reason=text_of(member(era, "reason"), f"reason of {what}"),
    )


def _session_of(session: Mapping[str, object], what: str) -> StoredSession:
    only(session, {"recorded", "commit", "engine", "metrics"}, what)
    commit = member(session, "commit")
    metrics = mapping_of(member(session, "metrics"), f"the metrics of {what}")
    return StoredSession(
        recorded=text_of(member(session, "recorded"), f"recorded of {what}"),
        commit=None if commit is None else text_of(commit, f"commit of {what}"),
        engine=text_of(member(session, "engine"), f"engine of {what}"),
        metrics={name: _metric_of(mapping_of(one, name), f"{name} of {what}") for name, one in metrics.items()},
    )


def _metric_of(metric: Mapping[str, object], what: str) -> StoredMetric:
    only(metric, {*_NUMBERS, "unit"}, what)
    numbers = {name: finite_of(member(metric, name), f"{name} of {what}") for name in _NUMBERS}
    if numbers["se"] < 0:
        raise ValueError(f"se of {what} is negative")
    return StoredMetric(**numbers, unit=text_of(member(metric, "unit"), f"unit of {what}"))


def _corrupt(path: Path, reason: str) -> BaselineError:
    return BaselineError(
        f"{path} is not a baseline file that can be read: {reason}. Restore it from version control, or "
        "delete it and record it anew with `pytest --perf --perf-update`"
    )


def _unreadable(path: Path, error: OSError) -> BaselineError:
    return BaselineError(f"cannot read {path}: {error.strerror or error}; mend its permissions or remove it")


def _unwritable(path: Path, error: OSError) -> BaselineError:
    return BaselineError(
        f"cannot write {path}: {error.strerror or error}; make it writable, or set `baselines` in "
        "[tool.pytest-fastr] to another folder"
    )
