"""pytest-fastr: performance tests for Python web apps that turn a slower API into a red build.

A server process imports this package as well, so what needs pytest is loaded when it is asked for.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from pytest_fastr.errors import (
    AppImportError,
    BaselineError,
    ConfigError,
    FastrError,
    ForkError,
    LoadError,
    MeasurementError,
    MountError,
    PortInUseError,
    ReportError,
    StartupError,
)
from pytest_fastr.mount import Server

if TYPE_CHECKING:
    from pytest_fastr.fixtures import Perf, PerfResult

__version__ = version("pytest-fastr")

__all__ = [
    "AppImportError",
    "BaselineError",
    "ConfigError",
    "FastrError",
    "ForkError",
    "LoadError",
    "MeasurementError",
    "MountError",
    "Perf",
    "PerfResult",
    "PortInUseError",
    "ReportError",
    "Server",
    "StartupError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name in ("Perf", "PerfResult"):
        return getattr(import_module("pytest_fastr.fixtures"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
