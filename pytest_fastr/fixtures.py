"""The fixtures: ``perf``, ``perf_load``, ``perf_app``, ``perf_server``."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from pytest_fastr import _native
from pytest_fastr.config import Config, Limits, MountKind, parse_limits, parse_mount
from pytest_fastr.errors import ConfigError, FastrError, MeasurementError
from pytest_fastr.gate.attached import AnyServer
from pytest_fastr.gate.epochs import AppSource
from pytest_fastr.gate.measure import LoadShape, Samples, ask_once
from pytest_fastr.gate.model import TestReport, Verdict, worst
from pytest_fastr.gate.tasks import Measurement
from pytest_fastr.keys import parse_count, parse_duration
from pytest_fastr.load import RequestSpec, build_request, failures
from pytest_fastr.load.request import QueryValue
from pytest_fastr.load.shape import check_rate
from pytest_fastr.perf_load import PerfLoad
from pytest_fastr.sources import app_source
from pytest_fastr.state import STATE, ItemResult, PluginState

_UNKNOWN = "of the server's processes is not known: the `pid` of a URL is missing, or this machine does not tell"
MARKER_KEYS = ("users", "duration", "epochs", "rate", "limit", "app", "mount")


class PerfResult:
    """What was measured for one request. Reading a number of a run without ``--perf`` skips the rest of the test."""

    def __init__(self, status: int, reports: Sequence[TestReport] = (), samples: Samples | None = None) -> None:
        self.status = status
        """The status code of the answers."""
        self._reports = tuple(reports)
        self._samples = samples

    def _measured(self) -> tuple[TestReport, Samples]:
        if not self._reports or self._samples is None:
            pytest.skip("needs --perf")
        return self._reports[0], self._samples

    @property
    def rps(self) -> float:
        """Requests a second of the closed loop."""
        value = self._measured()[0].rps
        assert value is not None
        return value

    def p(self, percent: float) -> float:
        """The response time in microseconds that ``percent`` of the requests kept. Raises MeasurementError when fewer
        than ten answers lie beyond it: such a number would be chance."""
        if not 0 < percent < 100:
            raise ValueError(f"p({percent!r}): a percentile lies between 0 and 100")
        value = self._measured()[1].stretch.quantile_ns(percent / 100)
        if value is None:
            raise MeasurementError(f"p({percent:g}): fewer than ten answers lie beyond it; raise `duration`")
        return value / 1000

    @property
    def cpu_us_per_request(self) -> float:
        """CPU time of the server's process tree per request, in microseconds. Raises MeasurementError where the
        platform does not tell."""
        value = self._measured()[0].cpu_us_per_request
        if value is None:
            raise MeasurementError(f"the CPU time {_UNKNOWN}")
        return value

    @property
    def peak_rss_bytes(self) -> int:
        """Largest resident memory of the server's process tree, in bytes."""
        value = self._measured()[0].peak_rss_bytes
        if value is None:
            raise MeasurementError(f"the memory {_UNKNOWN}")
        return int(value)

    @property
    def errors(self) -> int:
        """Requests that failed. A measurement with failures raises, so this is 0 in a test that goes on."""
        return 0 if self._samples is None else sum(failures(self._samples.candidate.outcomes).values())

    @property
    def verdict(self) -> Verdict:
        """The gate's verdict on this request: the worst one, where it is compared with several things."""
        return worst(report.verdict for report in self.reports)

    @property
    def report(self) -> TestReport:
        """Everything, as the JSON report has it; of several comparisons the first."""
        return self._measured()[0]

    @property
    def reports(self) -> tuple[TestReport, ...]:
        """One report for each thing that it was compared with: another ref, the stored baseline."""
        self._measured()
        return self._reports

    def __repr__(self) -> str:
        if not self._reports:
            return f"<PerfResult status={self.status}, not measured>"
        report = self._reports[0]
        return f"<PerfResult {report.nodeid} {self.verdict} rps={report.rps:.0f}>"


@dataclass(frozen=True, slots=True)
class MarkerSettings:
    """What ``@pytest.mark.perf(...)`` says, over what the configuration and the command line say."""

    shape: LoadShape
    limits: Limits
    app: Any
    mount: MountKind


def marker_settings(item: pytest.Item, config: Config, state: PluginState) -> MarkerSettings:
    """Merges the markers of an item, the closest one winning. Raises ConfigError naming the argument."""
    given: dict[str, Any] = {}
    for mark in reversed(list(item.iter_markers("perf"))):
        if mark.args:
            raise ConfigError(f"@pytest.mark.perf takes keyword arguments only, such as users=20; got {mark.args!r}")
        unknown = sorted(set(mark.kwargs) - set(MARKER_KEYS))
        if unknown:
            near = difflib.get_close_matches(unknown[0], MARKER_KEYS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(MARKER_KEYS)}"
            raise ConfigError(f"@pytest.mark.perf: unknown argument {unknown[0]!r}; {hint}")
        limit = parse_limits(mark.kwargs.get("limit", {}), "@pytest.mark.perf: `limit`").over(
            given.get("limit", Limits())
        )
        given = {**given, **mark.kwargs, "limit": limit}
    if "time" in given.get("limit", Limits()).changes and "benchmark" not in getattr(item, "fixturenames", ()):
        raise ConfigError(
            "@pytest.mark.perf: `limit` of `time` is for tests that use `benchmark`; of requests limit p50, p90 or p99"
        )
    options = state.options
    duration = parse_duration(given["duration"], "@pytest.mark.perf: `duration`") if "duration" in given else None
    shape = LoadShape(
        users=parse_count(given["users"], "@pytest.mark.perf: `users`") if "users" in given else config.users,
        duration_s=options.duration_s or duration or config.duration_s,
        epochs=options.epochs
        or (parse_count(given["epochs"], "@pytest.mark.perf: `epochs`") if "epochs" in given else config.epochs),
        warmup_max_s=config.warmup_max_s,
        rate=None if given.get("rate") is None else _rate(given["rate"]),
    )
    mount = parse_mount(given["mount"], "@pytest.mark.perf: `mount`") if "mount" in given else config.mount
    return MarkerSettings(shape, given.get("limit", Limits()).over(config.limit), given.get("app"), mount)


def _rate(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError(f"@pytest.mark.perf: `rate` is {value!r}; it must be requests a second, such as 500")
    return float(check_rate(value, (), "@pytest.mark.perf: `rate`"))


class Perf:
    """Measures requests of the application under test. Every call is one measurement, compared with its baseline."""

    def __init__(self, item: pytest.Item, source: AppSource, settings: MarkerSettings, state: PluginState) -> None:
        self._item = item
        self._source = source
        self._settings = settings
        self._state = state
        self._names: set[str] = set()
        self._log_start = 0

    def get(self, path: str, **options: Any) -> PerfResult:
        """Measures a GET request. Options as for :meth:`request`."""
        return self.request("GET", path, **options)

    def head(self, path: str, **options: Any) -> PerfResult:
        """Measures a HEAD request."""
        return self.request("HEAD", path, **options)

    def post(self, path: str, **options: Any) -> PerfResult:
        """Measures a POST request."""
        return self.request("POST", path, **options)

    def put(self, path: str, **options: Any) -> PerfResult:
        """Measures a PUT request."""
        return self.request("PUT", path, **options)

    def patch(self, path: str, **options: Any) -> PerfResult:
        """Measures a PATCH request."""
        return self.request("PATCH", path, **options)

    def delete(self, path: str, **options: Any) -> PerfResult:
        """Measures a DELETE request."""
        return self.request("DELETE", path, **options)

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, QueryValue] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        data: Mapping[str, QueryValue] | bytes | str | None = None,
        expect: int = 200,
        check: Sequence[_native._Check] = (),
        name: str | None = None,
    ) -> PerfResult:
        """Measures one request.

        Args:
            path: as after the host, starting with ``/``.
            params: added to the query.
            headers: added to the generator's own (host, user-agent, accept).
            json: the body, as JSON.
            data: the body: a mapping as a form, bytes or text as they are.
            expect: the status code that makes an answer good.
            check: what a good answer has besides (``load.contains``, ``load.json_is``, ...).
            name: how reports call it; default ``METHOD /path``.

        Without ``--perf`` one request is sent and checked.

        Raises:
            MeasurementError: a request failed, or nothing was measured.
            MountError: the server could not be started.
        """
        __tracebackhide__ = True
        spec = build_request(
            method,
            path,
            params=params,
            headers=headers,
            json=json,
            data=data,
            expect=expect,
            name=name,
            timeout_s=self._state.config.request_timeout_s,
            checks=check,
        )
        if spec.name in self._names:
            raise ConfigError(f"this test measures {spec.name!r} twice: tell them apart by name=")
        nodeid = f"{self._item.nodeid} [{spec.name}]" if self._names else self._item.nodeid
        self._names.add(spec.name)
        line = sys._getframe(1).f_lineno
        caller = sys._getframe(1)
        if caller.f_code.co_filename == __file__ and caller.f_back is not None:
            line = caller.f_back.f_lineno
        server = self._serve(nodeid, line)
        try:
            ask_once(server, spec)
            if self._state.gate is None:
                return PerfResult(expect)
            reports, samples = self._measure(nodeid, line, spec, server)
            return PerfResult(expect, reports, samples)
        except FastrError as error:
            self._failed(nodeid, line, error, server)
            raise

    def _serve(self, nodeid: str, line: int) -> AnyServer:
        try:
            server = self._state.pool.candidate(self._source)
            if len(self._names) == 1:
                self._log_start = server.log_bytes()
            return server
        except FastrError as error:
            self._failed(nodeid, line, error, None)
            raise

    def _measure(
        self, nodeid: str, line: int, spec: RequestSpec, server: AnyServer
    ) -> tuple[tuple[TestReport, ...], Samples]:
        gate, ready = self._state.gate, server.ready
        assert gate is not None
        assert ready is not None  # it has answered
        measurement = Measurement(
            nodeid=nodeid,
            path=self._item.nodeid.partition("::")[0],
            line=line,
            source=self._source,
            request=spec,
            shape=self._settings.shape,
            limits=self._settings.limits,
            mount=self._source.foreign or ready.mount,
            is_fastapi=ready.is_fastapi,
        )
        with self._state.live.test(nodeid) as show:
            reports, samples = gate.run(measurement, show)
        results = self._state.results_of(self._item)
        results += [ItemResult(report, gate.outcome(report)) for report in reports]
        return reports, samples

    def _failed(self, nodeid: str, line: int, error: FastrError, server: AnyServer | None) -> None:
        log = server.log_tail(self._log_start) if server is not None else ""
        if log:
            self._item.add_report_section("call", "server log", log)
        if self._state.gate is not None:
            self._state.gate.record_failure(nodeid, self._item.nodeid.partition("::")[0], line, str(error), log)


@pytest.fixture
def perf_app() -> Any:
    """The application under test: override it to return ``"module:attr"``, an application object, or a table such as
    ``{"command": ...}`` or ``{"url": ...}``.

    None: what the marker or the configuration names.
    """
    return None


def _source_of(request: pytest.FixtureRequest, state: PluginState) -> tuple[AppSource, MarkerSettings]:
    settings = marker_settings(request.node, state.config, state)
    app, where = settings.app, "@pytest.mark.perf: `app`"
    if app is None:
        app, where = request.getfixturevalue("perf_app"), "the fixture `perf_app`"
    if app is None:
        app, where = state.options.app, "--perf-app"
    if app is None:
        app, where = state.config.app, "[tool.pytest-fastr]: `app`"
    source = app_source(app, state.config, request.config.rootpath, where, settings.mount)
    against = None if state.gate is None else state.gate.against
    return source if against is None else against.candidate(source), settings


@contextmanager
def _source(request: pytest.FixtureRequest) -> Iterator[tuple[PluginState, AppSource, MarkerSettings]]:
    """The application of a test. One that only this test has is ended behind it."""
    state = request.config.stash[STATE]
    source, settings = _source_of(request, state)
    yield state, source, settings
    if source.is_object:
        state.pool.release(source)


@pytest.fixture
def perf(request: pytest.FixtureRequest) -> Iterator[Perf]:
    """Measures requests of the application under test: ``perf.get("/items")``."""
    with _source(request) as (state, source, settings):
        yield Perf(request.node, source, settings, state)


@pytest.fixture
def perf_load(request: pytest.FixtureRequest) -> Iterator[PerfLoad]:
    """Plays scenarios on the application under test: ``perf_load(scenario, rate=200, limits=["p99<50ms"])``."""
    with _source(request) as (state, source, settings):
        yield PerfLoad(request.node, source, settings.shape.users, settings.shape.duration_s, state)


@pytest.fixture
def perf_server(request: pytest.FixtureRequest) -> Iterator[str]:
    """The base URL of the application under test, for ordinary HTTP tests."""
    with _source(request) as (state, source, _):
        yield state.pool.candidate(source).url
