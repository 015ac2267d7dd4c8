"""The command pytest-fastr."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pytest_fastr.cli import main


def test_profile_prints_the_name_of_the_baseline_folder_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "--slug"]) == 0
    (slug,) = capsys.readouterr().out.splitlines()
    assert main(["profile"]) == 0
    assert slug in capsys.readouterr().out


@pytest.mark.parametrize("args", [[], ["profil"], ["profile", "--slog"]])
def test_a_mistake_is_a_usage_error(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(args)
    assert raised.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("pytest-fastr")
    assert line.endswith("--help")


def test_the_module_runs_as_the_command_does() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest_fastr.cli", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("pytest-fastr ")
