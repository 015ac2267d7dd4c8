"""pytest-fastr baseline: what a person types and reads, and the exit codes that scripts go by."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pytest_fastr import baseline_command
from pytest_fastr.cli import main, parser
from pytest_fastr.gate.baseline import BaselineStore
from pytest_fastr.gate.baseline_diff import diff_of
from pytest_fastr.gate.profile import HardwareProfile
from pytest_fastr.gate.snapshot import ProfileSnapshot
from pytest_fastr.gate.stored_test import StoredTest
from pytest_fastr.github.baseline_page import diff_page
from pytest_fastr.root_folder import root_folder
from support.baselines import ERA, LOAD, NODE, OTHER, PROFILE, days_of, session, snapshots, store
from support.repository import git

EVIL = "t.py::test_[\x1b[31m`|@everyone<img src=x>\n\u202e]"


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the baselines of this machine (two days) and of another one, committed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(baseline_command, "detect", lambda version: PROFILE)
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n[tool.pytest-fastr]\nbaselines = 'stored'\n")
    store(store(tmp_path / "stored", [1, 2]), [3], profile=OTHER)
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "baselines")
    return tmp_path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run_it(*args: str) -> Ran:
        try:
            code = main(["baseline", *args])
        except SystemExit as error:
            code = int(error.code or 0)
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run_it


def evil(root: Path, profile: HardwareProfile = PROFILE) -> None:
    BaselineStore(root, profile).append(EVIL, {**LOAD, "request": EVIL}, session(), replace(ERA, reason=EVIL))


def test_show_has_this_machine_s_levels_in_eighty_columns(project: Path, run: Run) -> None:
    shown = run("show")
    assert shown.code == 0
    assert shown.out.splitlines()[:8] == [
        f"profile {PROFILE.slug} (this machine)",
        "  Xeon, 2 cores, x86_64, linux, cpython 3.11",
        "",
        NODE,
        "  2 sessions, 2025-01-01 to 2025-01-02; GET /items, 20 users, mount asgi",
        "  metric      level           a further session",
        "  cpu         202 us/request  [-6.9, +7.5] %",
        "  throughput  5,000 rps       [-6.9, +7.5] %",
    ]
    assert max(map(len, shown.out.splitlines())) <= 80


def test_show_takes_profiles_and_parts_of_node_ids(project: Path, run: Run) -> None:
    assert OTHER.slug in run("show", "--all-profiles").out
    assert PROFILE.slug not in run("show", "--profile", OTHER.slug).out
    for named in (NODE, "tests/perf/test_shop.py", "tests/perf/", "tests"):
        assert NODE in run("show", named).out
    for wrong in ("tests/perf/test_sh", f"{NODE}s"):
        refused = run("show", wrong)
        assert (refused.code, refused.out) == (2, "")
        assert NODE in refused.err
    only_there = store(project / "stored", [3], "t.py::test_there", OTHER)
    assert OTHER.slug in run("show", "t.py", "--baselines", str(only_there)).err
    assert f"did you mean `{OTHER.slug}`" in run("show", "--profile", OTHER.slug[:-1]).err


def test_show_is_there_for_programs(project: Path, run: Run) -> None:
    evil(project / "stored")
    document = json.loads(run("show", "--json", NODE).out)
    ((test,),) = ([*profile["tests"]] for profile in document["profiles"])
    assert (document["here"], test["nodeid"], test["load"]) == (PROFILE.slug, NODE, LOAD)
    assert [one["recorded"][:10] for one in test["sessions"]] == ["2025-01-01", "2025-01-02"]
    assert test["metrics"]["cpu"]["unit"] == "us/request"
    assert test["metrics"]["cpu"]["low"] < 0 < test["metrics"]["cpu"]["high"]


def test_show_says_where_there_is_nothing_and_what_is_damaged(project: Path, run: Run) -> None:
    nothing = run("show", "--baselines", "elsewhere")
    assert nothing.code == 0
    assert "no baselines for this hardware" in nothing.out
    (project / "stored" / PROFILE.slug / "broken.json").write_text("<<<<<<< HEAD\n")
    damaged = run("show")
    assert damaged.code == 2
    assert NODE in damaged.out
    assert "broken.json is not a baseline file" in damaged.err
    (project / "file").write_text("")
    assert "is no folder" in run("show", "--baselines", "file").err


def test_diff_compares_folders_and_refs(project: Path, run: Run) -> None:
    assert run("diff").out == "nothing differs\n"
    store(project / "stored", [5])
    (changed, row, *_) = run("diff").out.splitlines()
    assert changed == f"profile {PROFILE.slug}: changed"
    assert row == f"  {NODE}: 1 session more"
    store(project / "copy", [1, 2])
    assert f"{OTHER.slug}: removed" in run("diff", "main", "copy").out
    assert run("diff", "stored", "copy").out.splitlines()[1] == f"  {NODE}: 1 session dropped"
    assert run("diff", "nosuch").code == 2


def test_nothing_in_a_file_reaches_the_terminal_or_github_as_it_is(project: Path, run: Run) -> None:
    evil(project / "stored")
    for args in (["show"], ["diff"], ["diff", "--markdown"]):
        shown = run(*args).out
        assert "\x1b" not in shown
        assert "\u202e" not in shown
    # In Markdown each stands in a code span; a bar ends no cell.
    page = run("diff", "--markdown").out
    for line in page.splitlines():
        assert "@everyone" not in line or line.count("``") >= 2
    (row,) = (line for line in page.splitlines() if line.startswith("| ") and "everyone" in line)
    assert "\\x7c@everyone" in row


def test_a_complaint_about_a_file_is_no_command_to_the_terminal(project: Path, run: Run) -> None:
    evil(project / "stored")
    for path in (project / "stored" / PROFILE.slug).glob("t.py.json"):
        path.write_text(path.read_text().replace('"se": 0.004', '"se": -1'))
    for args in (["show"], ["diff"], ["import", "stored"]):
        complained = run(*args)
        assert complained.code == 2
        assert "negative" in complained.err
        assert "\x1b" not in complained.err


def test_a_page_has_no_more_than_github_takes_and_counts_the_rest() -> None:
    tests = {f"t.py::test_{number:04}": StoredTest(LOAD, (session(),)) for number in range(2000)}
    from_nothing = diff_of([], [ProfileSnapshot(PROFILE.slug, "here", PROFILE, tests)])
    page = diff_page(from_nothing)
    assert 50_000 < len(page.encode()) <= 60_000
    assert "more lines have no room here" in page
    assert diff_page([]) == "No baseline differs.\n"


def test_prune_needs_a_reason_and_only_says_what_it_would_do(project: Path, run: Run) -> None:
    assert "--gone, --older-than AGE, --void" in run("prune").err
    for wrong in ("180", "0d", "-1d", "1y", "999999d"):
        assert run("prune", f"--older-than={wrong}").code == 2
    said = run("prune", "--older-than", "2w", "--dry-run")
    assert said.out.count("would remove") == 2
    assert days_of(project / "stored") == [1, 2]
    assert run("prune", "--older-than", "2w").out.count("removed profile") == 2
    assert list((project / "stored").iterdir()) == []
    assert run("prune", "--older-than", "2w").out.startswith("nothing to remove")


def test_import_brings_a_branch_together_and_says_what_it_cannot(project: Path, run: Run) -> None:
    git(project, "switch", "-q", "-c", "branch")
    store(project / "stored", [7])
    git(project, "commit", "-q", "-a", "-m", "more")
    git(project, "switch", "-q", "main")
    store(project / "stored", [8])
    brought = run("import", "--ref", "branch")
    assert (brought.code, "1 session imported" in brought.out) == (0, True)
    assert days_of(project / "stored") == [1, 2, 7, 8]
    conflict = run("import", str(store(project / "theirs", [9], users=7)))
    assert (conflict.code, "users was 20 and is 7" in conflict.out) == (1, True)
    assert days_of(project / "stored") == [1, 2, 7, 8]
    for wrong in ([], ["theirs", "--ref", "main"], ["nosuch"], [".git"]):
        assert run("import", *wrong).code == 2


def test_a_mistake_is_one_line(run: Run) -> None:
    for wrong in (["shwo"], ["diff", "a", "b", "c"], ["show", "--jsn"], []):
        mistaken = run(*wrong)
        assert mistaken.code == 2
        assert mistaken.err.endswith("--help\n")
        assert len(mistaken.err.splitlines()) == 1


def test_update_leaves_to_pytest_what_is_pytest_s() -> None:
    args = parser().parse_args(["baseline", "update", "t/a.py", "-k", "x", "--sessions", "2", "--", "--reason"])
    assert (args.sessions, args.reason, args.pytest_args) == (2, None, ["t/a.py", "-k", "x", "--reason"])


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--sessions", "0"], "must be 1 to 20"),
        (["--sessions", "21"], "must be 1 to 20"),
        (["--reason", " "], "--reason is empty"),
        (["--perf-baselines=x"], "it has --baselines"),
        (["--", "--perf-update"], "it has --baselines"),
    ],
)
def test_update_refuses_what_it_cannot_do_before_it_measures(
    project: Path, run: Run, args: list[str], words: str
) -> None:
    refused = run("update", *args)
    assert (refused.code, refused.out) == (2, "")
    assert words in refused.err


@pytest.mark.parametrize("codes", [[0, 0, 0], [0, 3], [130]])
def test_update_stops_at_the_first_failure_and_says_what_was_stored(
    project: Path, run: Run, monkeypatch: pytest.MonkeyPatch, codes: list[int]
) -> None:
    commands = []

    def measure(command: list[str]) -> int:
        commands.append(command)
        store(project / "stored", [10 + len(commands)])
        return codes[len(commands) - 1]

    monkeypatch.setattr(baseline_command, "_run", measure)
    ran = run("update", "--reason", "a new\ncodec", "tests/perf", "-k", "x")
    assert ran.code == codes[-1]
    assert len(commands) == len(codes)
    assert commands[0][1:] == [
        "-m", "pytest", "--perf", "--perf-update", f"--perf-baselines={project / 'stored'}",
        "--perf-reason=a new\ncodec", "tests/perf", "-k", "x",
    ]  # fmt: skip
    ends = {0: "", 3: "; the next one failed with pytest's exit code 3", 130: "; the next one was interrupted"}
    assert f"{codes.count(0)} of 3 sessions complete{ends[codes[-1]]}\n" in ran.out
    assert f"stored in {project / 'stored'}: {len(codes)} result" in ran.out
    assert f"{NODE}: {len(codes)} session" in ran.out


WAITING = """
import os, signal
def pytest_sessionstart():
    open({fifo!r}, "w").close()
    signal.pause()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_update_that_is_interrupted_ends_with_pytest(tmp_path: Path, number: int) -> None:
    fifo = tmp_path / "started"
    os.mkfifo(fifo)
    (tmp_path / "conftest.py").write_text(WAITING.format(fifo=str(fifo)))
    env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "-p pytest_fastr.plugin"}
    command = [sys.executable, "-m", "pytest_fastr.cli", "baseline", "update"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, start_new_session=True, text=True
    )  # fmt: skip
    fifo.read_text()  # until pytest has opened it
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.terminate()
    out, _ = process.communicate()
    assert process.returncode == (130 if number == signal.SIGINT else 128 + number)
    assert "0 of 3 sessions complete" in out
    assert "nothing" in out


@pytest.mark.parametrize(
    ("files", "here", "args", "root"),
    [
        ({"pyproject.toml": "[tool.pytest.ini_options]", "sub/pyproject.toml": "[project]"}, "sub", [], "."),
        ({"pyproject.toml": "[tool.pytest.ini_options]", "sub/pytest.ini": ""}, "sub", [], "sub"),
        ({"sub/pyproject.toml": "[tool.pytest.ini_options]", "sub/t/x": ""}, ".", ["sub/t"], "sub"),
        ({"sub/pyproject.toml": "[tool.pytest.ini_options]", "sub/t/x": ""}, ".", ["-k", "sub::x"], "sub"),
        ({"setup.cfg": "[tool:pytest]", "sub/x": ""}, "sub", ["x::test"], "."),
        ({"tox.ini": "[tox]", "sub/pyproject.toml": ""}, "sub", [], "sub"),
        ({"pyproject.toml": "broken [", "sub/x": ""}, "sub", [], "."),
    ],
)
def test_the_root_is_the_one_that_pytest_takes(
    tmp_path: Path, files: dict[str, str], here: str, args: list[str], root: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert root_folder(tmp_path / here, args) == (tmp_path / root).resolve()


def test_snapshots_are_what_the_store_has_written(project: Path) -> None:
    here = next(one for one in snapshots(project / "stored") if one.slug == PROFILE.slug)
    assert here.profile == PROFILE
    assert here.tests[NODE] == BaselineStore(project / "stored", PROFILE).load(NODE)
