"""The text of a test module's baseline file, and back. Every shape that this version did not write is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from pytest_fastr.errors import BaselineError
from pytest_fastr.gate.profile import PROTOCOL_VERSION
from pytest_fastr.gate.stored_test import LANES, Era, StoredMetric, StoredSession, StoredTest
from pytest_fastr.gate.strict_json import finite_of, integer_of, mapping_of, member, only, parse, text_of

SCHEMA_VERSION = 1
"""The version of the files' layout."""

_NUMBERS = ("log_ratio", "totals_log_ratio", "se", "candidate")


def tests_text(tests: Mapping[str, StoredTest]) -> str:
    """The file of these tests, by node id."""
    return dump({
        "schema_version": SCHEMA_VERSION,
        "protocol": PROTOCOL_VERSION,
        "tests": {name: _test_document(test) for name, test in tests.items()},
    })  # fmt: skip


def read_head(text: str, path: Path | str) -> tuple[int, Mapping[str, object]]:
    """The protocol that measured what the file holds, and the document, of which no more was checked."""
    try:
        document = mapping_of(parse(text), "the file")
        version = integer_of(member(document, "schema_version"), "schema_version")
        if version > SCHEMA_VERSION:
            raise BaselineError(
                f"{path} was written by a newer pytest-fastr (schema_version {version}, this one reads "
                f"{SCHEMA_VERSION}); upgrade pytest-fastr"
            )
        if version != SCHEMA_VERSION:
            raise ValueError(f"schema_version {version} is not known")
        return integer_of(member(document, "protocol"), "protocol"), document
    except (ValueError, RecursionError) as error:
        raise corrupt(path, str(error)) from error


def read_tests(text: str, path: Path | str) -> dict[str, StoredTest]:
    """Reads a module's file. Every shape that this version did not write is refused."""
    protocol, document = read_head(text, path)
    try:
        if protocol != PROTOCOL_VERSION:
            raise ValueError(f"it was measured by protocol {protocol}, this one is {PROTOCOL_VERSION}")
        only(document, {"schema_version", "protocol", "tests"}, "the file")
        tests = mapping_of(member(document, "tests"), "tests")
        return {nodeid: _test_of(mapping_of(test, nodeid), nodeid) for nodeid, test in tests.items()}
    except ValueError as error:
        raise corrupt(path, str(error)) from error


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
        tuple(session_of(mapping_of(one, what), what) for one in sessions),
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


def session_of(session: Mapping[str, object], what: str) -> StoredSession:
    """The session of these JSON values. Raises ValueError, which calls it ``what``."""
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


def dump(document: Mapping[str, object]) -> str:
    """The document as a file for people to review: indented, sorted, one newline at its end."""
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    if text.isascii() or not re.search("[\ud800-\udfff]", text):
        return text
    # A node id can hold bytes that are no text (surrogates), which UTF-8 cannot write and JSON can escape.
    return json.dumps(document, indent=2, sort_keys=True, allow_nan=False) + "\n"


def _test_document(test: StoredTest) -> dict[str, object]:
    document: dict[str, object] = {
        "load": dict(test.load),
        "sessions": [session_document(session) for session in test.sessions],
    }
    if test.eras:
        document["eras"] = [asdict(era) for era in test.eras]
    if test.lane is not None:
        document["lane"] = test.lane
    return document


def session_document(session: StoredSession) -> dict[str, object]:
    """The session as JSON values."""
    return {
        "recorded": session.recorded,
        "commit": session.commit,
        "engine": session.engine,
        "metrics": {name: asdict(metric) for name, metric in session.metrics.items()},
    }


def corrupt(path: Path | str, reason: str) -> BaselineError:
    """The error for a file that cannot be understood."""
    return BaselineError(
        f"{path} is not a baseline file that can be read: {reason}. Restore it from version control, or "
        "delete it and record it anew with `pytest --perf --perf-update`"
    )
