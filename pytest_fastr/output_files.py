"""What a session leaves: the files that its options name, and its place in the history."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version

import pytest

from pytest_fastr.benchmarked import commit_info, machine_info
from pytest_fastr.errors import FastrError
from pytest_fastr.gate.model import SessionReport
from pytest_fastr.gate.ref import current_commit
from pytest_fastr.gate.session import GateSession
from pytest_fastr.history.keep import history_file, keep
from pytest_fastr.history.record import load_record, record_of
from pytest_fastr.report.benchmark_json import benchmark_file
from pytest_fastr.report.csv_text import to_csv
from pytest_fastr.report.html.loads import LoadRun
from pytest_fastr.report.html.page import to_html
from pytest_fastr.report.json_value import JsonValue
from pytest_fastr.report.load_json import load_document
from pytest_fastr.report.load_reader import load_run_of
from pytest_fastr.report.output import write_text
from pytest_fastr.report.quantity import printable
from pytest_fastr.report.result_file import write
from pytest_fastr.state import PluginState

WARNINGS = pytest.StashKey[list[str]]()
"""What was left out of a file, or could not be kept, and fails no build."""


def leave_files(session: pytest.Session, state: PluginState, gate: GateSession) -> Iterator[str]:
    """Writes every file, and yields what is wrong with those that cannot be written."""
    for write_file in (_write_result_file, _write_html, _write_csv, _write_benchmark_json):
        try:
            write_file(session, state, gate)
        except FastrError as error:
            yield str(error)
    if not session.config.option.collectonly:
        _keep_history(session.config, state, gate)


def _write_result_file(session: pytest.Session, state: PluginState, gate: GateSession) -> None:
    # Nothing is measured, and what an earlier session has written stays.
    if state.options.json is not None and not session.config.option.collectonly:
        report = session_report(session.config, gate)
        ended = replace(report, exit_code=int(session.exitstatus), failed=tuple(state.failed))
        write(ended, state.options.json, _load_documents(state))


def _write_html(session: pytest.Session, state: PluginState, gate: GateSession) -> None:
    if state.options.report is None or session.config.option.collectonly:
        return
    page = to_html(
        session_report(session.config, gate),
        [gate.outcome(report) for report in gate.reports],
        loads=[LoadRun(one.nodeid, one.report, one.limits) for one in state.loads],
        commit=current_commit(session.config.rootpath),
        interrupted=session.exitstatus == pytest.ExitCode.INTERRUPTED,
        failed_tests=session.testsfailed,
    )
    write_text(state.options.report, page, "HTML report", "--perf-report")


def _write_benchmark_json(session: pytest.Session, state: PluginState, gate: GateSession) -> None:
    path, config = state.options.benchmark_json, session.config
    if path is None or config.option.collectonly:
        return
    file = benchmark_file(session_report(config, gate), machine_info(config, gate.profile), commit_info(config))
    write_text(path, file.text, "benchmark file", "--perf-benchmark-json")
    if file.left_out:
        names = ", ".join(map(printable, file.left_out))
        config.stash.setdefault(WARNINGS, []).append(f"not in {path.name}, since no times were measured: {names}")


def _write_csv(session: pytest.Session, state: PluginState, gate: GateSession) -> None:
    if state.options.csv is None or session.config.option.collectonly:
        return
    loads = [load_run_of(JsonValue(one, "a load run", "of this run")) for one in _load_documents(state)]
    write_text(state.options.csv, to_csv([*gate.reports, *loads]), "CSV file", "--perf-csv")


def _keep_history(config: pytest.Config, state: PluginState, gate: GateSession) -> None:
    """Adds the session to the history, after everything that was measured."""
    setting = state.config.history
    if setting is False or not state.options.history or not (gate.reports or state.loads):
        return
    loads = [load_record(one.nodeid, one.report, one.limits) for one in state.loads]
    record = record_of(session_report(config, gate), loads, current_commit(config.rootpath))
    warning = keep(record, history_file(setting, config.rootpath))
    if warning is not None:
        config.stash.setdefault(WARNINGS, []).append(f"the history has not got this session: {printable(warning)}")


def _load_documents(state: PluginState) -> list[dict[str, object]]:
    return [{"nodeid": one.nodeid, **load_document(one.report, one.limits)} for one in state.loads]


def session_report(config: pytest.Config, gate: GateSession) -> SessionReport:
    """All perf tests so far."""
    versions = {
        "pytest-fastr": version("pytest-fastr"),
        "pytest": pytest.__version__,
        "python": platform.python_version(),
    }
    return gate.session_report(versions, " ".join(["pytest", *config.invocation_params.args]))
