"""Everything that pytest-fastr raises on purpose, in one tree.

A message says what was refused and names the option, key or file to change. The server process sends these
over its ready pipe by class name, so every class is made from one message.
"""

from __future__ import annotations


class FastrError(Exception):
    """The root: catch this to catch all of them."""


class ConfigError(FastrError):
    """When `[tool.pytest-fastr]`, an option or a marker says something that cannot be followed."""


class MountError(FastrError):
    """When an app cannot be made into a server under test."""


class AppImportError(MountError):
    """When `module:attr` cannot be imported, does not exist, or is no app."""


class StartupError(MountError):
    """When the server process died, failed its lifespan start-up, or was not ready in time."""


class PortInUseError(MountError):
    """When the server's port is taken by somebody else."""


class ForkError(MountError):
    """When an app object cannot be forked into a process of its own: running threads would not survive."""


class LoadError(FastrError):
    """When a load plan cannot be carried out: a bad request, an unreachable server, an exhausted resource."""


class BaselineError(FastrError):
    """When stored baselines cannot be read, understood or written. Never means "there is no baseline"."""


class RefError(FastrError):
    """When another git ref cannot be found, checked out or prepared, or is not what runs."""


class MeasurementError(FastrError):
    """When a measurement yields no number to trust: nothing was answered, or a counter is missing."""


class ReportError(FastrError):
    """When a result cannot be written where it was asked for."""


class ResultError(FastrError):
    """When a result file is missing, empty, unreadable, or no result of this schema."""


class HistoryError(FastrError):
    """When the history cannot be read or written: it is damaged, locked, something else, or of another schema."""
