"""The measuring step of the action: its inputs become a pytest run.

Inputs come as environment variables, never as text of a script. The step has no token: the code under test runs in it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_fastr.errors import ConfigError, ResultError
from pytest_fastr.github.decision import PytestOutcome
from pytest_fastr.report.json_value import JsonValue
from pytest_fastr.report.result_reader import read_result

_MOST_FAILED = 100_000


@dataclass(frozen=True, slots=True)
class Measurement:
    """Where a measuring step leaves what it found."""

    folder: Path

    @property
    def result(self) -> Path:
        return self.folder / "result.json"

    @property
    def outcome(self) -> Path:
        return self.folder / "pytest.json"

    def clear(self) -> None:
        """Makes the folder, and takes away what an earlier step may have left: it must not pass for this one's."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in (self.result, self.outcome):
            path.unlink(missing_ok=True)


def pytest_command(env: Mapping[str, str], result: Path) -> list[str]:
    """The command of the inputs: `FASTR_TESTS`, `FASTR_ARGS` and so on. Raises ConfigError naming the input."""
    mode = env.get("FASTR_MODE") or "paired"
    if mode not in ("paired", "stored", "both"):
        raise ConfigError("the input `mode` must be paired, stored or both")
    against = [] if mode == "stored" else [f"--perf-against={env.get('FASTR_AGAINST') or 'merge-base'}"]
    app, baselines = env.get("FASTR_APP"), env.get("FASTR_BASELINES")
    return [
        sys.executable,
        "-m",
        "pytest",
        "--perf",
        f"--perf-json={result}",
        f"--perf-mode={mode}",
        *against,
        *([f"--perf-app={app}"] if app else []),
        *([f"--perf-baselines={baselines}"] if baselines else []),
        *_words(env, "FASTR_ARGS", "args"),
        *_words(env, "FASTR_TESTS", "tests"),
    ]


def measure(env: Mapping[str, str], measurement: Measurement) -> int:
    """Runs pytest. Returns 0 where there is a result for the report to judge, else the code to end with."""
    command = pytest_command(env, measurement.result)
    measurement.clear()
    child = {name: value for name, value in os.environ.items() if name != "GITHUB_TOKEN"}
    code = subprocess.run(command, env=child, check=False).returncode
    there_is = measurement.result.exists()
    failed = read_result(measurement.result).session.failed if there_is else ()
    measurement.outcome.write_text(json.dumps({"exit_code": code, "failed": failed}), encoding="utf-8")
    if not there_is:
        return code or 1
    return 0 if code in (0, 1) else code


def read_outcome(path: Path) -> PytestOutcome:
    """How the run ended. Raises ResultError where that is not known."""
    try:
        document = JsonValue(json.loads(path.read_text(encoding="utf-8")), "the document", str(path))
    except (OSError, ValueError) as error:
        raise ResultError(f"cannot read {path}, which says how pytest ended: was it ended from outside?") from error
    code = document.member("exit_code").value
    if type(code) is not int:
        document.member("exit_code").refuse("is no exit code")
    failed = frozenset(one.text() for one in document.member("failed").items(_MOST_FAILED))
    return PytestOutcome(code, failed)


def folder_of(env: Mapping[str, str], name: str) -> Path:
    """The folder of a report's files, in the runner's own temporary one."""
    return Path(
        env.get("RUNNER_TEMP") or tempfile.gettempdir(), re.sub(r"[^A-Za-z0-9_.-]", "-", f"pytest-fastr-{name}")
    )


def _words(env: Mapping[str, str], variable: str, name: str) -> list[str]:
    try:
        return shlex.split(env.get(variable, ""), comments=False)
    except ValueError as error:
        raise ConfigError(f"the input `{name}` has a quote that is not closed") from error
