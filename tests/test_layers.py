"""The house holds: layers look down only, no import hides in a function, and the exports are those meant."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest_fastr

PACKAGE = Path(pytest_fastr.__file__).parent

# Lower first. A module may import its own layer and lower ones.
LAYERS = (
    ("errors", "pool"),
    ("keys",),
    ("apps",),
    ("config", "_native", "root_folder"),
    ("web",),
    ("mount",),
    ("load",),
    ("gate",),
    ("history",),
    ("report",),
    ("github",),
    ("options", "state"),
    ("perf_load", "sources"),
    ("fixtures",),
    ("benchmarked",),
    ("output_files",),
    (
        "baseline_command",
        "compare_command",
        "export_command",
        "github_command",
        "history_command",
        "load_command",
        "routes_command",
        "selftest_command",
    ),
    ("plugin", "cli", "serve", ""),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}

# A child process forked from a running event loop leaves it; the private module is needed nowhere else. SQLite comes
# with the history's store, and applications are forked from pytest's process.
IMPORTS_INSIDE_FUNCTIONS = {
    ("history/keep.py", "pytest_fastr.history.store"),
    ("mount/process.py", "asyncio"),
    ("mount/lanes.py", "fastapi"),
    ("mount/lanes.py", "pytest_fastr.web"),
}


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text())


def layer(path: str) -> str:
    name = path.removesuffix(".py").partition("/")[0]
    return "" if name == "__init__" else name


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "pytest_fastr":
            parts = node.module.split(".")
            yield from [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("pytest_fastr."))


def test_layers_only_look_down() -> None:
    up = [
        f"{path} imports {name}"
        for path, tree in modules()
        for name in imported(tree)
        if RANK[name] > RANK[layer(path)]
    ]
    assert up == []


def test_imports_stand_at_the_top() -> None:
    hidden = {
        (path, node.module or "" if isinstance(node, ast.ImportFrom) else node.names[0].name)
        for path, tree in modules()
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert hidden == IMPORTS_INSIDE_FUNCTIONS


def test_nothing_below_the_border_names_python() -> None:
    native = PACKAGE.parent / "native"
    for crate in ("stats", "loadgen", "engine"):
        assert "pyo3" not in (native / crate / "Cargo.toml").read_text()


def test_the_exports_are_those_meant() -> None:
    assert pytest_fastr.__all__ == [
        "AppImportError", "BaselineError", "ConfigError", "FastrError", "ForkError", "LoadError", "MeasurementError",
        "MountError", "Perf", "PerfResult", "PortInUseError", "ReportError", "Server", "StartupError", "__version__",
    ]  # fmt: skip
    for name in pytest_fastr.__all__:
        assert getattr(pytest_fastr, name) is not None


def test_a_server_process_loads_no_test_framework() -> None:
    modules = "pytest_fastr.serve, pytest_fastr.gate.reference"
    code = f"import sys, {modules}; print('pytest' in sys.modules, 'rich' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
