"""pytest-fastr: performance tests for Python web apps that turn a slower API into a red build."""

from importlib.metadata import version

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
from pytest_fastr.fixtures import Perf, PerfResult
from pytest_fastr.mount import Server

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
