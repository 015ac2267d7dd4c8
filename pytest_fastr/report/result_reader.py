"""Reads a result file that somebody else may have written: strictly, as data.

The file of a fork's pull request comes from a run that its author controls. Whatever is not exactly a result of this
schema is refused with the place that is wrong, and no word of the file is in the refusal. Unknown members are passed
over, since members may be added without another schema version.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from pytest_fastr.errors import ResultError
from pytest_fastr.gate.model import (
    AbsoluteResult,
    LaneResult,
    MetricResult,
    SessionReport,
    TestReport,
    Verdict,
    worst,
)
from pytest_fastr.gate.profile import HardwareProfile, ProfileKey, Surroundings
from pytest_fastr.gate.stored_test import LANES
from pytest_fastr.report.json_value import NAME, JsonValue, texts_of
from pytest_fastr.report.load_json import SCHEMA_VERSION as LOAD_SCHEMA_VERSION
from pytest_fastr.report.load_reader import LoadRun, load_run_of, notes_of
from pytest_fastr.report.result_file import SCHEMA_VERSION

MOST_BYTES = 32 * 1024 * 1024
"""A session of thousands of tests has a few megabytes."""
_MOST_TESTS = 20_000
_MOST_FAILED = 100_000
_FILE = r"[^\x00-\x1f\x7f]{1,1000}"


@dataclass(frozen=True, slots=True)
class ResultFile:
    """All that a result file says."""

    session: SessionReport
    loads: tuple[LoadRun, ...] = ()


def read_result(path: Path) -> ResultFile:
    """Reads the file. Raises ResultError where it is missing, empty, too large, or no result of this schema."""
    return parse_result(_bytes_of(path), str(path))


def read_result_or_load(path: Path) -> ResultFile | LoadRun:
    """Reads a result file, or what ``pytest-fastr load --json`` has written. Raises ResultError as `read_result`."""
    document = _root(_bytes_of(path), str(path))
    if "tests" in document.members() or "response_time_us" not in document.members():
        return _result_of(document)
    _require_schema(document, LOAD_SCHEMA_VERSION)
    return load_run_of(document, document.member("scenario").text(10_000))


def parse_result(content: bytes, name: str) -> ResultFile:
    """The result in these bytes. ``name`` is what a refusal calls them."""
    return _result_of(_root(content, name))


def _root(content: bytes, name: str) -> JsonValue:
    if not content.strip():
        raise ResultError(f"the result file {name} is empty: the run that should have written it was cut short")
    return JsonValue(_document(content, name), "the document", name)


def _result_of(document: JsonValue) -> ResultFile:
    _require_schema(document, SCHEMA_VERSION)
    tests = document.member("tests").items(_MOST_TESTS)
    loads = document.member("loads").items(_MOST_TESTS)
    against = document.member("against")
    exit_code, failed = _ended(document)
    session = SessionReport(
        profile=_profile(document.member("profile")),
        tests=tuple(_test(one) for one in tests),
        started=document.member("started").text(100),
        duration_s=document.member("duration_s").finite(),
        versions={key: value.text(200) for key, value in document.member("versions").members().items()},
        command=document.member("command").text(),
        against=None if against.value is None else against.text(1000),
        changes=texts_of(document.member("changes")),
        exit_code=exit_code,
        failed=failed,
    )
    runs = tuple(load_run_of(one) for one in loads)
    _require_agreement(document.member("verdict"), session, runs)
    return ResultFile(session, runs)


def _ended(document: JsonValue) -> tuple[int | None, tuple[str, ...]]:
    """How pytest ended. Files of earlier versions do not tell."""
    ended = document.members().get("pytest")
    if ended is None:
        return None, ()
    code, failed = ended.member("exit_code"), tuple(one.text() for one in ended.member("failed").items(_MOST_FAILED))
    return (None if code.value is None else code.count()), failed


def _bytes_of(path: Path) -> bytes:
    """An ordinary file's content. A link is not followed: an artifact may hold one to anywhere."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise ResultError(
            f"there is no result file {path}: pytest --perf --perf-json={path} writes it, unless it ended before"
        ) from None
    except OSError as error:
        why = "it is a link" if path.is_symlink() else error.strerror or str(error)
        raise ResultError(f"cannot read the result file {path}: {why}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ResultError(f"cannot read the result file {path}: it is no ordinary file")
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ResultError(f"the result file {path} is larger than {MOST_BYTES >> 20} MiB, which no session writes")
    return content


def _document(content: bytes, name: str) -> object:
    def refuse(constant: str) -> NoReturn:
        raise ValueError(constant)

    try:
        value: object = json.loads(content.decode("utf-8"), parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise ResultError(f"the result file {name} is no JSON text: it is damaged, or no result file") from error
    return value


def _require_schema(document: JsonValue, known: int) -> None:
    version = document.members().get("schema_version")
    if version is None:
        raise ResultError(
            f"the result file {document.document} has no schema_version: it is another program's, or of another option "
            "than --perf-json (for `export` also of `pytest-fastr load --json`)"
        )
    number = version.value
    if type(number) is not int or number != known:
        # Only a small whole number is repeated: the rest may be anything.
        said = number if type(number) is int and 0 <= number < 1000 else "none that is known"
        raise ResultError(
            f"the result file {document.document} has schema version {said}, and this pytest-fastr reads {known}: "
            "measure and report with the same version"
        )


def _require_agreement(said: JsonValue, session: SessionReport, loads: tuple[LoadRun, ...]) -> None:
    """A file whose verdict is not that of its tests was not written by pytest-fastr."""
    expected = worst(test.verdict for test in session.tests) if session.tests or not loads else None
    if (None if said.value is None else _verdict(said)) is not expected:
        said.refuse("contradicts the verdicts of its tests")


def _test(test: JsonValue) -> TestReport:
    confirmed = test.member("confirmed")
    return TestReport(
        nodeid=test.member("nodeid").text(10_000),
        path=test.member("path").matching(_FILE),
        line=test.member("line").count(),
        verdict=_verdict(test.member("verdict")),
        requests=test.member("requests").count(),
        errors={key: value.count() for key, value in test.member("errors").members().items()},
        validity=notes_of(test.member("validity")),
        metrics=_metrics(test.member("metrics")),
        load={key: value.value for key, value in test.member("load").members().items()},
        rps=test.member("rps").number(),
        p50_us=test.member("p50_us").number(),
        p99_us=test.member("p99_us").number(),
        cpu_us_per_request=test.member("cpu_us_per_request").number(),
        peak_rss_bytes=test.member("peak_rss_bytes").number(),
        confirmed=None if confirmed.value is None else confirmed.truth(),
        looks=test.member("looks").count(),
        output=test.member("output").text(),
        mode=test.member("mode").one_of("stored", "paired", "equal", "none"),
        against=test.member("against").text(1000),
        absolute=tuple(_absolute(one) for one in test.member("absolute").items(100)),
        lane=_lane(test.optional("lane")),
        where=texts_of(test.member("where")),
    )


def _metrics(metrics: JsonValue) -> Mapping[str, MetricResult]:
    read = {key: _metric(value) for key, value in metrics.members().items()}
    for name, metric in read.items():
        if name != metric.name:
            metrics.refuse("holds a metric under another name than its own")
    return read


def _metric(metric: JsonValue) -> MetricResult:
    verdict = metric.member("verdict")
    direction = metric.member("direction").one_of("lower", "higher")
    return MetricResult(
        name=metric.member("name").matching(NAME),
        unit=metric.member("unit").text(40),
        direction="lower" if direction == "lower" else "higher",
        baseline=metric.member("baseline").number(),
        candidate=metric.member("candidate").number(),
        change=metric.member("change").number(),
        low=metric.member("low").number(),
        high=metric.member("high").number(),
        limit=metric.member("limit").number(),
        verdict=None if verdict.value is None else _verdict(verdict),
        smallest_detectable=metric.member("smallest_detectable").number(),
        notes=texts_of(metric.member("notes")),
        log_ratio=metric.optional("log_ratio").number(),
        log_ratio_se=metric.optional("log_ratio_se").number(),
    )


def _absolute(one: JsonValue) -> AbsoluteResult:
    return AbsoluteResult(
        limit=one.member("limit").text(200),
        metric=one.member("metric").matching(NAME),
        value=one.member("value").number(),
        verdict=_verdict(one.member("verdict")),
        at_most=one.member("at_most").truth(),
        at_least=one.member("at_least").truth(),
    )


def _lane(lane: JsonValue) -> LaneResult | None:
    if lane.value is None:
        return None
    baseline, verdict = lane.member("baseline"), lane.member("verdict")
    return LaneResult(
        route=lane.member("route").text(2000),
        lane=lane.member("lane").one_of(*LANES),
        reasons=texts_of(lane.member("reasons")),
        baseline=None if baseline.value is None else baseline.one_of(*LANES),
        verdict=None if verdict.value is None else _verdict(verdict),
        message=lane.member("message").text(),
    )


def _profile(profile: JsonValue) -> HardwareProfile:
    key, recorded = profile.member("key"), profile.member("recorded")

    def known(name: str) -> str | None:
        value = recorded.member(name)
        return None if value.value is None else value.text(200)

    memory = recorded.member("memory_bytes")
    return HardwareProfile(
        ProfileKey(
            cpu_vendor=key.member("cpu_vendor").text(200),
            cpu_model=key.member("cpu_model").text(200),
            cpu_model_id=key.member("cpu_model_id").text(200),
            cores=key.member("cores").count(),
            architecture=key.member("architecture").text(100),
            system=key.member("system").text(100),
            implementation=key.member("implementation").text(100),
            python=key.member("python").text(100),
            build_flags=tuple(flag.matching(NAME) for flag in key.member("build_flags").items(20)),
            protocol=key.member("protocol").count(),
            reference=key.member("reference").count(),
        ),
        Surroundings(
            kernel=recorded.member("kernel").text(200),
            libc=known("libc"),
            virtualisation=known("virtualisation"),
            python_version=recorded.member("python_version").text(100),
            engine_version=recorded.member("engine_version").text(100),
            memory_bytes=None if memory.value is None else memory.count(),
        ),
    )


def _verdict(value: JsonValue) -> Verdict:
    return Verdict(value.one_of(*(verdict.value for verdict in Verdict)))
