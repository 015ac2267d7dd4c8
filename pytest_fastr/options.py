"""The command-line options, declared once, and frozen into a value.

Destinations start with ``fastr_``: another plugin treats every destination that starts with ``perf_`` as its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import pytest

from pytest_fastr.config import Config
from pytest_fastr.gate.tasks import WantedMode
from pytest_fastr.keys import parse_duration
from pytest_fastr.report.output import why_unwritable


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for. None: the configuration decides."""

    perf: bool
    update: bool
    json: Path | None
    report: Path | None
    baselines: Path | None
    duration_s: float | None
    epochs: int | None
    inconclusive: str | None
    new: str | None
    against: str | None = None
    against_python: str | None = None
    mode: WantedMode | None = None
    budget_s: float | None = None
    equal: bool = False
    reason: str | None = None
    profile: bool = True
    app: str | None = None
    csv: Path | None = None
    history: bool = True
    benchmark_json: Path | None = None


def add_options(parser: pytest.Parser) -> None:
    """Declares the options."""
    group = parser.getgroup("fastr", "performance tests (pytest-fastr)")
    group.addoption("--perf", action="store_true", dest="fastr_perf", help="measure perf tests and judge them")
    group.addoption(
        "--perf-update", action="store_true", dest="fastr_update",
        help="store what is measured as this hardware's baseline (with a node id: only that test's)",
    )  # fmt: skip
    group.addoption("--perf-app", metavar="MODULE:ATTR", dest="fastr_app", help="the app, where no test names another")
    group.addoption("--perf-json", metavar="FILE", dest="fastr_json", help="write the results as JSON")
    group.addoption(
        "--perf-report", metavar="FILE", dest="fastr_report", help="write the results as one HTML page, with plots"
    )
    group.addoption(
        "--perf-csv", metavar="FILE", dest="fastr_csv", help="write the results as CSV, a row a test and metric"
    )
    group.addoption(
        "--perf-no-history", action="store_false", dest="fastr_history",
        help="do not add this session to .pytest-fastr/history.db",
    )  # fmt: skip
    group.addoption(
        "--perf-benchmark-json", metavar="FILE", dest="fastr_benchmark_json",
        help="write the results as pytest-benchmark's JSON, for the tools that read it",
    )  # fmt: skip
    group.addoption("--perf-baselines", metavar="DIR", dest="fastr_baselines", help="where baselines are kept")
    group.addoption(
        "--perf-duration", metavar="TIME", dest="fastr_duration", help="load time per side and test, e.g. 10s"
    )
    group.addoption(
        "--perf-epochs",
        metavar="N",
        type=int,
        dest="fastr_epochs",
        help="pairs of fresh server processes per test",
    )
    group.addoption(
        "--perf-inconclusive",
        choices=("pass", "fail"),
        dest="fastr_inconclusive",
        help="outcome of inconclusive tests",
    )
    group.addoption(
        "--perf-new", choices=("pass", "fail"), dest="fastr_new",
        help="outcome of tests without a baseline (default: pass locally, fail in CI)",
    )  # fmt: skip
    group.addoption(
        "--perf-against", metavar="REF", dest="fastr_against",
        help="measure another git ref in the same run and compare; merge-base: where this branch left its target",
    )  # fmt: skip
    group.addoption(
        "--perf-against-python", metavar="PATH", dest="fastr_against_python",
        help="the interpreter that serves the other ref (default: this one)",
    )  # fmt: skip
    group.addoption(
        "--perf-mode", choices=("paired", "stored", "both"), dest="fastr_mode",
        help="compare with --perf-against's ref, the stored baseline, or both (default: what there is)",
    )  # fmt: skip
    group.addoption("--perf-budget", metavar="TIME", dest="fastr_budget", help="how long the session may measure (10m)")
    group.addoption(
        "--perf-reason", metavar="TEXT", dest="fastr_reason",
        help="with --perf-update: why a worse baseline is accepted",
    )  # fmt: skip
    group.addoption(
        "--perf-aa", action="store_true", dest="fastr_equal",
        help="compare every app with itself, and store what that says of this hardware",
    )  # fmt: skip
    group.addoption(
        "--perf-no-profile", action="store_false", dest="fastr_profile",
        help="do not look where the time of a regressed test went",
    )  # fmt: skip


def read_options(config: pytest.Config) -> Options:
    """Reads and checks the options. Raises ConfigError or UsageError naming the option to change."""

    def path(dest: str) -> Path | None:
        value = config.getoption(dest)
        # pytest-benchmark opens its file when it reads its option.
        value = getattr(value, "name", value)
        return None if value is None else Path(config.invocation_params.dir, value)

    duration = config.getoption("fastr_duration")
    epochs = config.getoption("fastr_epochs")
    if epochs is not None and not 1 <= epochs <= 100:
        raise pytest.UsageError(f"--perf-epochs {epochs}: must be 1 to 100")
    update = bool(config.getoption("fastr_update"))
    perf = bool(config.getoption("fastr_perf"))
    if update and not perf:
        raise pytest.UsageError("--perf-update stores what --perf measures: give both")
    json, report, baselines = path("fastr_json"), path("fastr_report"), path("fastr_baselines")
    if json is not None and not perf:
        raise pytest.UsageError("--perf-json writes what --perf measures: give both")
    csv, benchmark_json = path("fastr_csv"), path("fastr_benchmark_json")
    for dest, file in (("json", json), ("report", report), ("csv", csv), ("benchmark_json", benchmark_json)):
        if file is not None:
            _refuse_file(f"--perf-{dest.replace('_', '-')}", config.getoption(f"fastr_{dest}"), file, perf)
    _refuse_same_files(
        {"--perf-json": json, "--perf-report": report, "--perf-csv": csv, "--perf-benchmark-json": benchmark_json},
        {option: path(dest) for option, dest in _OF_OTHERS.items() if hasattr(config.option, dest)},
    )
    _refuse_misleading_spaces(config)
    given = {name: config.getoption(f"fastr_{name}") for name in ("against", "mode", "reason", "equal", "budget")}
    _refuse_contradictions(perf, update, given)
    budget = given["budget"]
    return Options(
        perf=perf,
        update=update,
        json=json,
        report=report,
        baselines=baselines,
        duration_s=None if duration is None else parse_duration(duration, "--perf-duration"),
        epochs=epochs,
        inconclusive=config.getoption("fastr_inconclusive"),
        new=config.getoption("fastr_new"),
        against=given["against"],
        against_python=config.getoption("fastr_against_python"),
        mode=given["mode"],
        budget_s=None if budget is None else parse_duration(budget, "--perf-budget"),
        equal=given["equal"],
        reason=given["reason"],
        profile=config.getoption("fastr_profile"),
        app=config.getoption("fastr_app"),
        csv=csv,
        benchmark_json=benchmark_json,
        history=config.getoption("fastr_history"),
    )


def _refuse_file(option: str, given: str, place: Path, perf: bool) -> None:
    """Refuses a file that could not be written, before minutes are measured for it."""
    if not perf:
        raise pytest.UsageError(f"{option} shows what --perf measures: give both")
    reason = why_unwritable(place)
    if reason is not None:
        raise pytest.UsageError(f"{option} {given!r} cannot be written: {reason}")


_OF_OTHERS = {"--junitxml": "xmlpath", "--log-file": "log_file", "--benchmark-json": "benchmark_json"}
"""Options of pytest and pytest-benchmark that write a file, and their destinations."""


def _refuse_same_files(ours: Mapping[str, Path | None], others: Mapping[str, Path | None]) -> None:
    """Refuses two options that name one file, of which the last one would be left; what ``others`` share is theirs."""
    given = [(option, place.resolve()) for option, place in {**ours, **others}.items() if place is not None]
    for (first, one), (second, other) in combinations(given, 2):
        if one == other and first in ours:
            raise pytest.UsageError(f"{second} and {first} name the same file: give each its own")


def _refuse_contradictions(perf: bool, update: bool, given: Mapping[str, Any]) -> None:
    """Refuses options that would be ignored, or that ask for two things at once."""
    against, equal = given["against"] is not None, bool(given["equal"])
    if not perf and (against or equal or given["mode"] is not None or given["budget"] is not None):
        raise pytest.UsageError(
            "--perf-against, --perf-mode, --perf-budget and --perf-aa belong to --perf: give it too"
        )
    if given["mode"] == "stored" and against:
        raise pytest.UsageError("--perf-mode stored compares with no other ref: leave --perf-against out")
    if given["mode"] in ("paired", "both") and not against:
        raise pytest.UsageError(f"--perf-mode {given['mode']} needs another ref: give --perf-against REF")
    if equal and (against or update):
        raise pytest.UsageError("--perf-aa compares every app with itself: leave --perf-against and --perf-update out")
    if update and against:
        raise pytest.UsageError("--perf-update stores what this checkout costs: leave --perf-against out")
    if given["reason"] is not None and not given["reason"].strip():
        raise pytest.UsageError("--perf-reason is empty: say why the worse baseline is accepted")
    if given["reason"] is not None and not update:
        raise pytest.UsageError("--perf-reason says why --perf-update accepts a worse baseline: give both")


_WITH_PATH = (
    "--perf-json",
    "--perf-report",
    "--perf-csv",
    "--perf-benchmark-json",
    "--perf-baselines",
    "--perf-against-python",
)


def _refuse_misleading_spaces(config: pytest.Config) -> None:
    """Refuses ``--perf-json PATH`` where pytest took an existing PATH for a test's when it looked for its root folder.

    It reads the command line before plugins have declared their options. With ``=`` it makes no such mistake.
    """
    here = config.invocation_params.dir
    args = [str(arg) for arg in config.invocation_params.args]
    for option, value in pairwise(args):
        if option in _WITH_PATH:
            place = Path(here, value)
            if place.exists() and not place.resolve().is_relative_to(here.resolve()):
                raise pytest.UsageError(
                    f"{option} {value}: pytest takes an existing path after a space for a test's and looks for the "
                    f"configuration there; write {option}={value}"
                )


def baseline_folder(config: Config, options: Options, rootdir: Path) -> Path:
    """Where baselines are kept."""
    return options.baselines or rootdir / config.baselines
