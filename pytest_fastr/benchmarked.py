"""Tests of pytest-benchmark, gated: with ``--perf``, what the fixture ``benchmark`` gets is measured by the gate too.

The fixture stays pytest-benchmark's: it runs first, as it always does, and its table and files have its numbers. An
instance becomes one of a subclass of its own class, whose two public ways of being called do more; pytest-benchmark is
not imported, and nothing happens where it is not installed, blocked or disabled.
"""

from __future__ import annotations

import functools
import inspect
import platform
import sys
from collections.abc import Callable, Generator, Mapping
from types import FrameType
from typing import Any

import pytest

from pytest_fastr.config import DEFAULT_FUNCTION_LIMITS, parse_limits
from pytest_fastr.errors import ConfigError, FastrError, MeasurementError
from pytest_fastr.fixtures import marker_settings
from pytest_fastr.gate.calls import Caller, CallShape, Function, caller_of
from pytest_fastr.gate.functions import FunctionMeasurement
from pytest_fastr.gate.profile import HardwareProfile
from pytest_fastr.gate.ref import current_commit
from pytest_fastr.gate.session import GateSession
from pytest_fastr.state import ItemResult, PluginState

MOST_DURATION_S = 1.0
"""A function is measured for `duration`, but for no longer than this unless the test or the command line says so."""
_FIXTURE = ("pytest_benchmark.fixture", "BenchmarkFixture")
_OF_REQUESTS = ("users", "rate", "app", "mount")
_REQUESTING = ("perf", "perf_load", "perf_server")


class BenchmarkGate:
    """A pytest plugin, registered while ``--perf`` measures and compares with baselines."""

    def __init__(self, state: PluginState, gate: GateSession) -> None:
        self._state = state
        self._gate = gate

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Marks what will be measured, so that ``-m perf`` selects it."""
        for item in items:
            if is_gated(item) and item.get_closest_marker("perf") is None:
                item.add_marker(pytest.mark.perf)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> Generator[None, Any, Any]:
        """Has the fixture's calls measured."""
        __tracebackhide__ = True
        value = yield
        if fixturedef.argname == "benchmark" and _is_benchmark(value) and is_gated(request.node):
            _measure_calls(value, Meter(request.node, self._state, self._gate))
        return value


def is_gated(item: pytest.Item) -> bool:
    """Whether the test uses pytest-benchmark's fixture, and that measures anything."""
    session = item.config.pluginmanager.getplugin("pytest-benchmark")
    measures = session is not None and not session.disabled and not session.skip
    return measures and "benchmark" in getattr(item, "fixturenames", ())


def machine_info(config: pytest.Config, profile: HardwareProfile) -> Mapping[str, object]:
    """The machine as pytest-benchmark's files have it, from its own hooks where it is there."""
    if config.pluginmanager.hasplugin("pytest-benchmark"):
        info: dict[str, object] = config.hook.pytest_benchmark_generate_machine_info(config=config)
        config.hook.pytest_benchmark_update_machine_info(config=config, machine_info=info)
        return info
    return {
        "node": platform.node(),
        "processor": platform.processor(),
        "machine": platform.machine(),
        "python_compiler": platform.python_compiler(),
        "python_implementation": platform.python_implementation(),
        "python_implementation_version": platform.python_version(),
        "python_version": platform.python_version(),
        "python_build": platform.python_build(),
        "release": platform.release(),
        "system": platform.system(),
        "cpu": {
            "vendor_id_raw": profile.key.cpu_vendor,
            "brand_raw": profile.key.cpu_model,
            "count": profile.key.cores,
        },
    }


def commit_info(config: pytest.Config) -> Mapping[str, object]:
    """The commit as pytest-benchmark's files have it, from its own hooks where it is there; what is not known is
    null."""
    if config.pluginmanager.hasplugin("pytest-benchmark"):
        info: dict[str, object] = config.hook.pytest_benchmark_generate_commit_info(config=config)
        config.hook.pytest_benchmark_update_commit_info(config=config, commit_info=info)
        return info
    unknown: dict[str, object] = dict.fromkeys(("time", "author_time", "dirty", "branch"))
    return {**unknown, "id": current_commit(config.rootpath) or "unversioned", "project": config.rootpath.name}


def _is_benchmark(value: object) -> bool:
    """Whether it is pytest-benchmark's fixture, and not another plugin's of that name."""
    return any((one.__module__, one.__qualname__) == _FIXTURE for one in type(value).__mro__)


def _measure_calls(benchmark: Any, meter: Meter) -> None:
    base = type(benchmark)
    # Versions of pytest-benchmark differ in the order of the parameters.
    signature = inspect.signature(base.pedantic)

    def call(self: Any, function_to_benchmark: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        function = Function(function_to_benchmark, args, kwargs, disable_gc=meter.disables_gc)
        return meter.measure(function, lambda target: base.__call__(self, target, *args, **kwargs))

    def pedantic(self: Any, *given: Any, **options: Any) -> Any:
        __tracebackhide__ = True
        bound = signature.bind(self, *given, **options)
        bound.apply_defaults()
        told = bound.arguments
        function = Function(
            told["target"],
            told["args"],
            told["kwargs"] or {},
            told["setup"],
            told.get("teardown"),
            told["iterations"],
            meter.disables_gc,
        )

        def own_run(target: Callable[..., Any]) -> Any:
            told["target"] = target
            return base.pedantic(*bound.args, **bound.kwargs)

        return meter.measure(function, own_run)

    benchmark.__class__ = type(base.__name__, (base,), {"__call__": call, "pedantic": pedantic})


class Meter:
    """Measures what one test's ``benchmark`` is given."""

    def __init__(self, item: pytest.Item, state: PluginState, gate: GateSession) -> None:
        self._item = item
        self._state = state
        self._gate = gate

    @property
    def disables_gc(self) -> bool:
        """Whether pytest-benchmark was told to measure without collections."""
        mark = self._item.get_closest_marker("benchmark")
        given = {} if mark is None else mark.kwargs
        return bool(given.get("disable_gc", self._item.config.getoption("benchmark_disable_gc", False)))

    def measure(self, function: Function, own_run: Callable[[Callable[..., Any]], Any]) -> Any:
        """Has pytest-benchmark run the function, measures it, and returns pytest-benchmark's value.

        Raises FastrError, and what the function raises.
        """
        __tracebackhide__ = True
        line = self._line()
        try:
            shape, limits = function_settings(self._item, self._state)
            with caller_of(function) as caller:
                value = own_run(_plain(function, caller))
                if inspect.iscoroutine(value):
                    value.close()
                    raise MeasurementError(
                        f"{function.name} returned a coroutine that nobody awaits: give `benchmark` the coroutine "
                        "function itself, and its arguments: benchmark(fetch, 1)"
                    )
                measurement = FunctionMeasurement(self._nodeid(), self._path, line, function, shape, limits)
                with self._state.live.test(measurement.nodeid) as show:
                    report = self._gate.run_function(measurement, caller, show)
        except FastrError as error:
            self._gate.record_failure(self._nodeid(), self._path, line, str(error), "")
            raise
        self._state.results_of(self._item).append(ItemResult(report, self._gate.outcome(report)))
        return value

    @property
    def _path(self) -> str:
        return self._item.nodeid.partition("::")[0]

    def _nodeid(self) -> str:
        # A test that measures requests too has the plain name for those.
        shared = "perf" in getattr(self._item, "fixturenames", ())
        return f"{self._item.nodeid} [benchmark]" if shared else self._item.nodeid

    def _line(self) -> int:
        """The line of the test's file that led here."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if frame.f_code.co_filename == str(self._item.path):
                return frame.f_lineno
            frame = frame.f_back
        return (self._item.location[1] or 0) + 1


def _plain(function: Function, caller: Caller) -> Callable[..., Any]:
    """What pytest-benchmark can call: it does not await."""
    if not function.is_async:
        return function.target

    @functools.wraps(function.target)
    def awaited(*args: Any, **kwargs: Any) -> Any:
        return caller.once(*args, **kwargs)

    return awaited


def function_settings(item: pytest.Item, state: PluginState) -> tuple[CallShape, Mapping[str, float]]:
    """How long a test's function is measured, and the limits that were given. Raises ConfigError."""
    settings = marker_settings(item, state.config, state)
    for mark in item.own_markers:
        if mark.name == "perf":
            _refuse_requests(item, mark.kwargs)
    limits = {name: limit for name, limit in settings.limits.changes.items() if name in DEFAULT_FUNCTION_LIMITS}
    is_said = state.options.duration_s is not None or any("duration" in one.kwargs for one in item.iter_markers("perf"))
    asked_s = settings.shape.duration_s
    return CallShape(asked_s if is_said else min(asked_s, MOST_DURATION_S), settings.shape.epochs), limits


def _refuse_requests(item: pytest.Item, given: Mapping[str, Any]) -> None:
    """Refuses what would be ignored: a function is not asked by users, and has no response times."""
    if set(_REQUESTING) & set(getattr(item, "fixturenames", ())):
        return
    for key in _OF_REQUESTS:
        if key in given:
            raise ConfigError(f"@pytest.mark.perf: `{key}` is for requests, and this test measures a function")
    limits = parse_limits(given.get("limit", {}), "@pytest.mark.perf: `limit`")
    for name in limits.absolute:
        raise ConfigError(
            f"@pytest.mark.perf: `limit` of `{name}` is an absolute one, and those are for requests; functions have "
            'changes, such as limit={"cpu": "5%", "time": "10%"}'
        )
    for name in limits.changes:
        if name not in DEFAULT_FUNCTION_LIMITS:
            known = " and ".join(f"`{one}`" for one in DEFAULT_FUNCTION_LIMITS)
            raise ConfigError(f"@pytest.mark.perf: `limit` of `{name}` is for requests; functions have {known}")
