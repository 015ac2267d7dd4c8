"""Reads what `load_json` writes, as a stranger's: the runs of `perf_load` in a result file, and the document of
`pytest-fastr load --json`.

What a report decides by must be there. The rest may be missing, as it is in files of earlier versions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_fastr.gate.model import ValidityNote, Verdict
from pytest_fastr.report.json_value import NAME, JsonValue

TIMES = ("p50", "p75", "p90", "p95", "p99", "p999", "mean", "max")
"""The values of a kind of time, in microseconds."""


@dataclass(frozen=True, slots=True)
class LoadLimit:
    """A limit of a load run. ``kept`` is None where too little was seen to tell."""

    text: str
    kept: bool | None
    value: float | None = None
    """What was held against it: microseconds, requests a second, or a share of the requests."""


@dataclass(frozen=True, slots=True)
class LoadRun:
    """What a report says of one load run. None: the file does not tell."""

    nodeid: str
    """The test; what was loaded, where it was no test."""
    requests: int
    rps: float | None
    p50_us: float | None
    p99_us: float | None
    limits: tuple[LoadLimit, ...]
    validity: tuple[ValidityNote, ...]
    errors: int | None = None
    duration_s: float | None = None
    bytes_received: int | None = None
    users: int | None = None
    shape: str = ""
    response_us: Mapping[str, float | None] = field(default_factory=dict)
    """From when requests were due."""
    service_us: Mapping[str, float | None] = field(default_factory=dict)
    """From their first byte."""
    connect_us: Mapping[str, float | None] = field(default_factory=dict)
    flows: tuple[int, int] | None = None
    """How often users went through a flow: completed, and ended at a failure."""

    @property
    def verdict(self) -> Verdict:
        """Of its limits: a load run has no baseline."""
        if any(note.level == "void" for note in self.validity):
            return Verdict.INVALID
        if any(limit.kept is False for limit in self.limits):
            return Verdict.REGRESSED
        return Verdict.INCONCLUSIVE if any(limit.kept is None for limit in self.limits) else Verdict.EQUIVALENT


def load_run_of(run: JsonValue, name: str | None = None) -> LoadRun:
    """The run. ``name``: what to call it instead of the test that it was."""
    response = _times(_object(run.member("response_time_us")))
    errors, received, users, shape, duration, flows = (
        run.optional(one) for one in ("errors", "bytes_received", "users", "shape", "duration_s", "flows")
    )
    return LoadRun(
        nodeid=run.member("nodeid").text(10_000) if name is None else name,
        requests=run.member("requests").count(),
        rps=run.member("rps").number(),
        p50_us=response.get("p50"),
        p99_us=response.get("p99"),
        limits=tuple(_limit(one) for one in run.member("limits").items(100)),
        validity=notes_of(run.member("validity"), "info"),
        errors=None if errors.value is None else errors.count(),
        duration_s=duration.number(),
        bytes_received=None if received.value is None else received.count(),
        users=None if users.value is None else users.count(),
        shape="" if shape.value is None else shape.text(1000),
        response_us=response,
        service_us=_times(run.optional("service_time_us")),
        connect_us=_times(run.optional("connect_time_us")),
        flows=None if flows.value is None else _flows(flows),
    )


def notes_of(notes: JsonValue, *more: str) -> tuple[ValidityNote, ...]:
    """Notes on validity. ``more``: levels besides void and warn, whose notes change nothing and are passed over."""
    read = [
        (note.member("level").one_of("void", "warn", *more), note.member("code").matching(NAME),
         note.member("message").text())
        for note in notes.items(1000)
    ]  # fmt: skip
    return tuple(
        ValidityNote("void" if level == "void" else "warn", code, message)
        for level, code, message in read
        if level not in more
    )


def _object(value: JsonValue) -> JsonValue:
    value.members()
    return value


def _times(times: JsonValue) -> dict[str, float | None]:
    if times.value is None:
        return {}
    found = times.members()
    return {name: found[name].number() for name in TIMES if name in found}


def _limit(limit: JsonValue) -> LoadLimit:
    kept = limit.member("kept")
    text = limit.member("limit").text(200)
    return LoadLimit(text, None if kept.value is None else kept.truth(), limit.optional("value").number())


def _flows(flows: JsonValue) -> tuple[int, int]:
    each = flows.items(1000)
    return (
        sum(flow.member("completed").count() for flow in each),
        sum(flow.member("failed").count() for flow in each),
    )
