"""The fixtures: ``perf``, ``perf_load``, ``perf_app``, ``perf_server``."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_fastr import _native
from pytest_fastr.config import Config, Limits, parse_count, parse_duration, parse_limits
from pytest_fastr.errors import ConfigError, FastrError, MeasurementError
from pytest_fastr.gate.epochs import AppSource
from pytest_fastr.gate.measure import LoadShape, Samples, ask_once
from pytest_fastr.gate.model import TestReport, Verdict, worst
from pytest_fastr.gate.tasks import Measurement
from pytest_fastr.load import RequestSpec, build_request, failures
from pytest_fastr.load.request import QueryValue
from pytest_fastr.load.shape import check_rate
from pytest_fastr.mount import AppRef, Launch, ServerProcess
from pytest_fastr.mount.runtime import ServeOptions
from pytest_fastr.mount.target import check_app
from pytest_fastr.perf_load import PerfLoad
from pytest_fastr.state import STATE, ItemResult, PluginState

DRAIN_SECONDS = 1.0
MARKER_KEYS = ("users", "duration", "epochs", "rate", "limit", "app")


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
            raise MeasurementError("the CPU time of the server's processes cannot be read on this machine")
        return value

    @property
    def peak_rss_bytes(self) -> int:
        """Largest resident memory of the server's process tree, in bytes."""
        value = self._measured()[0].peak_rss_bytes
        if value is None:
            raise MeasurementError("the memory of the server's processes cannot be read on this machine")
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
    return MarkerSettings(shape, given.get("limit", Limits()).over(config.limit), given.get("app"))


def _rate(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError(f"@pytest.mark.perf: `rate` is {value!r}; it must be requests a second, such as 500")
    return float(check_rate(value, (), "@pytest.mark.perf: `rate`"))


def app_source(app: Any, config: Config, rootdir: Path) -> AppSource:
    """What ``app=``, ``perf_app`` or the configuration names, as something to start. Raises MountError's children."""
    if app is None:
        raise ConfigError(
            'no application to test: set `app = "module:attr"` in [tool.pytest-fastr], write a fixture `perf_app`, '
            'or mark the test with @pytest.mark.perf(app="module:attr")'
        )
    target = AppRef.parse(app) if isinstance(app, str) else check_app(app, "the application of `perf_app`")
    if config.workers > 1 and not isinstance(app, str):
        raise ConfigError(
            'workers: an application object of this process has one; name the app as "module:attr" to have more'
        )
    # pytest's own import path, and last the folder of the configuration, whatever folder pytest was started in.
    path = (*(entry for entry in sys.path if entry), str(rootdir)) if isinstance(app, str) else ()
    launch = Launch(
        # Nothing is in flight when a measured server is ended: what still runs then hangs.
        options=ServeOptions(
            drain_timeout=DRAIN_SECONDS,
            mount=config.mount,
            threads=config.threads,
            interface=config.interface,
            workers=config.workers,
        ),
        env=config.env,
        path=path,
        startup_timeout=config.startup_timeout_s,
    )
    return AppSource(target, launch)


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
            reports, samples = self._measure(nodeid, line, spec)
            return PerfResult(expect, reports, samples)
        except FastrError as error:
            self._failed(nodeid, line, error, server)
            raise

    def _serve(self, nodeid: str, line: int) -> ServerProcess:
        try:
            server = self._state.pool.candidate(self._source)
            if len(self._names) == 1:
                self._log_start = server.log_bytes()
            return server
        except FastrError as error:
            self._failed(nodeid, line, error, None)
            raise

    def _measure(self, nodeid: str, line: int, spec: RequestSpec) -> tuple[tuple[TestReport, ...], Samples]:
        gate = self._state.gate
        assert gate is not None
        measurement = Measurement(
            nodeid=nodeid,
            path=self._item.nodeid.partition("::")[0],
            line=line,
            source=self._source,
            request=spec,
            shape=self._settings.shape,
            limits=self._settings.limits,
        )
        with self._state.live.test(nodeid) as show:
            reports, samples = gate.run(measurement, show)
        results = self._state.results_of(self._item)
        results += [ItemResult(report, gate.outcome(report)) for report in reports]
        return reports, samples

    def _failed(self, nodeid: str, line: int, error: FastrError, server: ServerProcess | None) -> None:
        log = server.log_tail(self._log_start) if server is not None else ""
        if log:
            self._item.add_report_section("call", "server log", log)
        if self._state.gate is not None:
            self._state.gate.record_failure(nodeid, self._item.nodeid.partition("::")[0], line, str(error), log)


@pytest.fixture
def perf_app() -> Any:
    """The application under test: override it to return ``"module:attr"`` or an ASGI application.

    None: what the marker or the configuration names.
    """
    return None


def _source_of(request: pytest.FixtureRequest, state: PluginState) -> tuple[AppSource, MarkerSettings]:
    settings = marker_settings(request.node, state.config, state)
    app = settings.app
    if app is None:
        app = request.getfixturevalue("perf_app")
    app = state.options.app or state.config.app if app is None else app
    source = app_source(app, state.config, request.config.rootpath)
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
