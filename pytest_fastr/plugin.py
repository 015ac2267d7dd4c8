"""The pytest plugin: hooks only, everything else lives below."""

from __future__ import annotations

import os
import secrets
import sys
import textwrap
import traceback
from collections.abc import Generator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from pytest_fastr import options as cli_options
from pytest_fastr.benchmarked import BenchmarkGate, is_gated
from pytest_fastr.config import Config, load_config
from pytest_fastr.errors import FastrError
from pytest_fastr.fixtures import perf, perf_app, perf_load, perf_server
from pytest_fastr.gate.against import Against
from pytest_fastr.gate.baseline import BaselineStore
from pytest_fastr.gate.epochs import EpochPool
from pytest_fastr.gate.model import Outcome, Verdict, policy_for
from pytest_fastr.gate.profile import detect
from pytest_fastr.gate.progress import Moment
from pytest_fastr.gate.ref import resolve_ref
from pytest_fastr.gate.session import GateSession, GateSettings, is_of
from pytest_fastr.options import Options, add_options, baseline_folder
from pytest_fastr.output_files import WARNINGS, leave_files, session_report
from pytest_fastr.report import properties
from pytest_fastr.report.equals_text import equals_text
from pytest_fastr.report.live import LiveLine
from pytest_fastr.report.load_text import to_text
from pytest_fastr.report.properties import Property
from pytest_fastr.report.quantity import printable
from pytest_fastr.report.terminal import paragraph, render
from pytest_fastr.state import STATE, LiveView, PluginState

__all__ = ["perf", "perf_app", "perf_load", "perf_server"]

MARKER = (
    'perf(users=20, duration="10s", epochs=6, rate=500, limit={"cpu": "2%", "p99": "50ms"}, app="module:attr", '
    'mount="native"): '
    "how a performance test is loaded and what it may cost"
)

INCONCLUSIVE = (
    "Inconclusive is no proof: neither a regression nor its absence was shown. {more}A longer `duration` or a quieter "
    "machine shows more; --perf-inconclusive=fail makes it fail."
)
MORE_SESSIONS = "More stored sessions (--perf-update) make a stored comparison sharper. "


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declares the options."""
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Reads options and configuration; a mistake in them ends the run before anything is collected."""
    config.addinivalue_line("markers", MARKER)
    try:
        read = cli_options.read_options(config)
        settings = load_config(config.rootpath)
        if read.perf and _is_distributed(config):
            raise pytest.UsageError("--perf measures one thing at a time, and pytest-xdist runs many: give -n0")
        gate = _gate(config, read, settings) if read.perf else None
    except FastrError as error:
        raise pytest.UsageError(str(error)) from error
    pool = gate.pool if gate is not None else EpochPool(secrets.randbits(32))
    state = config.stash[STATE] = PluginState(settings, read, pool, gate, LiveView(_live_line(config)))
    if gate is not None and not read.equal:
        config.pluginmanager.register(BenchmarkGate(state, gate), "fastr-benchmarks")
    if gate is not None:
        config.pluginmanager.register(FailedTests(state), "fastr-failed")


class FailedTests:
    """A plugin of sessions that measure: remembers what failed, for the result file."""

    def __init__(self, state: PluginState) -> None:
        self._failed = state.failed

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remembers a failed phase of a test."""
        if report.failed:
            self._failed[report.nodeid] = None

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Remembers a file that could not be collected."""
        if report.failed:
            self._failed[report.nodeid] = None


def _is_distributed(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput") or bool(config.getoption("numprocesses", None, skip=False))


def _gate(config: pytest.Config, read: Options, settings: Config) -> GateSession:
    profile = detect(version("pytest-fastr"))
    policy = policy_for(
        read.inconclusive or settings.inconclusive,  # type: ignore[arg-type]
        read.new or settings.new,  # type: ignore[arg-type]
        in_ci=bool(os.environ.get("CI")),
    )
    store = BaselineStore(baseline_folder(settings, read, config.rootpath), profile)
    gate_settings = GateSettings(
        gated=settings.gate,
        false_alarm=settings.false_alarm,
        policy=policy,
        update=read.update,
        reason=read.reason,
        equal=read.equal,
        mode=read.mode,
        budget_s=read.budget_s or settings.budget_s,
        profile=read.profile,
        lanes=settings.lanes,
    )
    return GateSession(gate_settings, store, profile, config.rootpath, _against(config, read, settings))


def _against(config: pytest.Config, read: Options, settings: Config) -> Against | None:
    if read.against is None:
        return None
    ref = resolve_ref(read.against, config.rootpath, os.environ)
    return Against(ref, settings, config.rootpath, read.against_python)


def _live_line(config: pytest.Config) -> LiveLine:
    stream = sys.__stderr__
    wanted = not config.getoption("quiet", 0) and config.getoption("capture", "fd") in ("fd", "sys", "no")
    if stream is None or not wanted or not stream.isatty():
        return LiveLine.on(None)
    # With pytest's capture on, the real terminal is reached through a duplicate of stderr made before it starts.
    return LiveLine.on(os.fdopen(os.dup(stream.fileno()), "w", encoding=stream.encoding, errors="replace"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks what uses the fixtures that measure, so that ``-m perf`` selects it."""
    for item in items:
        used = getattr(item, "fixturenames", ())
        if ("perf" in used or "perf_load" in used) and item.get_closest_marker("perf") is None:
            item.add_marker(pytest.mark.perf)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Counts the perf tests, over which the build's time and its false-alarm rate are divided, and checks the other ref
    out where there are any."""
    state = session.config.stash[STATE]
    gate = state.gate
    if gate is None:
        return
    tests = sum("perf" in getattr(item, "fixturenames", ()) for item in session.items)
    functions = 0 if gate.settings.equal else sum(map(is_gated, session.items))
    gate.expect(tests + functions, functions)
    if tests and gate.against is not None and not session.config.option.collectonly:
        try:
            with state.live.test(gate.against.title) as show:
                gate.against.check_out(os.environ, lambda phase: show(Moment(phase)))
        except FastrError as error:
            raise pytest.UsageError(str(error)) from error


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Forgets what an earlier run of this item measured, where a plugin such as pytest-rerunfailures runs it again."""
    item.config.stash[STATE].start(item)
    told = item.stash.get(_TOLD, ())
    item.user_properties[:] = [one for one in item.user_properties if one not in told]


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    """After the test function: fails the item for what the gate refused, or for an error in its own words."""
    complaint = None
    try:
        result = yield
    except FastrError as error:
        complaint = _where(pyfuncitem, error) + str(error)
    finally:
        told = pyfuncitem.stash[_TOLD] = _properties(pyfuncitem)
        pyfuncitem.user_properties += told
    if complaint is not None:
        # Not while the error is handled: it would be quoted too.
        pytest.fail(complaint, pytrace=False)
    state = pyfuncitem.config.stash[STATE]
    red = [one.report for one in state.results.get(pyfuncitem.nodeid, ()) if one.outcome is Outcome.FAIL]
    if red:
        text = "\n\n".join(f"{report.path}:{report.line}: {paragraph(report)}" for report in red)
        pytest.fail(text, pytrace=False)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Has what the test measured stored, once the test has passed."""
    gate = item.config.stash[STATE].gate
    try:
        yield
    except BaseException:
        if gate is not None:
            gate.unsettled.settle(passed=False)
        raise
    complaint = None
    try:
        if gate is not None:
            gate.unsettled.settle(passed=True)
    except FastrError as error:
        complaint = str(error)
    if complaint is not None:
        pytest.fail(complaint, pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(request: pytest.FixtureRequest) -> Generator[None, Any, Any]:
    """A mistake in a marker or the configuration is told in its own words, without this plugin's source."""
    try:
        return (yield)
    except FastrError as error:
        complaint = str(error)
    pytest.fail(complaint, pytrace=False)


_TOLD = pytest.StashKey[list[Property]]()


def _properties(item: pytest.Function) -> list[Property]:
    """What JUnit's report tells of the item's measurements."""
    state = item.config.stash[STATE]
    if state.gate is None:
        return []
    own = [one for one in state.gate.reports if is_of(one, item.nodeid)]
    loads = [one for one in state.loads if one.nodeid == item.nodeid]
    told = properties.measured(own, state.gate.profile.slug)
    for one in loads:
        told += properties.loaded(one.report, one.limits)
    return told


def _where(item: pytest.Function, error: FastrError) -> str:
    """``path:line: `` of the statement in the test's file that led to the error."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == item.path]
    return f"{item.nodeid.partition('::')[0]}:{lines[-1]}: " if lines else ""


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, None, None]:
    """Ends the servers, writes the result file, and refuses a perf run that measured nothing."""
    state = session.config.stash.get(STATE, None)
    try:
        if state is not None and state.gate is not None:
            _finish(session, state, state.gate)
        yield
    finally:
        if state is not None:
            # A gate has the pool, and more.
            (state.gate or state.pool).close()


def _finish(session: pytest.Session, state: PluginState, gate: GateSession) -> None:
    if gate.settings.equal:
        try:
            gate.store_equals()
        except FastrError as error:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
            session.config.stash[_COMPLAINT] = str(error)
    for problem in leave_files(session, state, gate):
        session.exitstatus = pytest.ExitCode.USAGE_ERROR
        session.config.stash[_COMPLAINT] = problem
    collecting = session.config.option.collectonly
    measured = bool(state.loads) or any(report.verdict is not Verdict.INVALID for report in gate.reports)
    good = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    if not measured and not collecting and session.exitstatus in good:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        session.config.stash[_COMPLAINT] = (
            "pytest --perf measured nothing: no test that uses the fixture `perf`, `perf_load` or `benchmark` ran to "
            "its end; look at the selection (-k, -m, paths) and at the skipped tests"
        )


_COMPLAINT = pytest.StashKey[str]()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Prints the verdict table."""
    state = config.stash.get(STATE, None)
    if state is None or state.gate is None:
        return
    reporter = terminalreporter
    if state.loads:
        reporter.section("load")
    for outcome in state.loads:
        reporter.write_line(printable(outcome.nodeid), bold=True)
        reporter.write(to_text(outcome.report, outcome.limits, reporter._tw.fullwidth) + "\n")
    if state.gate.reports:
        reporter.section("performance")
        writer = reporter._tw
        ascii_only = "utf" not in (getattr(writer._file, "encoding", None) or "").lower()
        report = session_report(config, state.gate)
        verbosity = config.getoption("verbose", 0)
        text = render(report, writer.fullwidth, writer.hasmarkup, ascii_only=ascii_only, verbosity=verbosity)
        reporter.write(text.rstrip("\n") + "\n")
        open_ = [one for one in state.gate.reports if one.verdict is Verdict.INCONCLUSIVE]
        if open_ and verbosity >= 0:
            more = MORE_SESSIONS if any(one.mode == "stored" for one in open_) else ""
            reporter.write_line(textwrap.fill(INCONCLUSIVE.format(more=more), writer.fullwidth), yellow=True)
        if state.options.update:
            reporter.write_line(f"{state.gate.unsettled.stored} stored as the baseline of {state.gate.profile.slug}")
        if state.options.equal:
            reporter.write_line(textwrap.fill(equals_text(state.gate.equals), writer.fullwidth))
    for warning in config.stash.get(WARNINGS, ()):
        reporter.write_line(textwrap.fill(warning, reporter._tw.fullwidth), yellow=True)
    complaint = config.stash.get(_COMPLAINT, None)
    if complaint:
        reporter.write_line(complaint, red=True)
