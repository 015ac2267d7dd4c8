"""The engine's events as records of Python's logging, and lines of them for people and for machines."""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime, timezone
from typing import Any, Literal

from pytest_fastr import _native

LogFormat = Literal["text", "json"]

_ALL = logging.getLogger("pytest_fastr")
_ENGINE = logging.getLogger("pytest_fastr.engine")
_ACCESS = logging.getLogger("pytest_fastr.access")

# Where a record keeps what its event says beside its message.
_FIELDS = "fastr_fields"


def forward_events() -> None:
    """Has the engine's events logged, at the levels that their loggers have now.

    ``pytest_fastr.engine`` tells of connections (DEBUG), of requests that the engine refuses (INFO) and of what keeps
    it from accepting any (WARNING). ``pytest_fastr.access`` tells of every request that was answered (INFO), if it has
    a level of its own: an application that logs much is not asked to pay for that too.
    """
    access = _ACCESS.level or logging.CRITICAL
    _native.forward_logs(_emit, _ENGINE.getEffectiveLevel(), access)


def log_to_stderr(level: str | None, kind: LogFormat, access: bool) -> None:
    """Has the server's records written to standard error, whatever the application does with its own.

    ``level``: debug, info, warning or error; None: info. ``access``: a line for every request that was answered.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if kind == "json" else _Text())
    _ALL.handlers[:] = [handler]
    _ALL.propagate = False
    _ALL.setLevel((level or "info").upper())
    if access:
        _ACCESS.setLevel(logging.INFO)
    for logger in (_ALL, _ENGINE, _ACCESS, logging.getLogger("pytest_fastr.server")):
        logger.disabled = False  # `logging.config` disables what it was not told of


def _emit(level: int, name: str, message: str, fields: dict[str, Any]) -> None:
    logger = logging.getLogger(name)
    if logger.isEnabledFor(level):
        logger.log(level, "%s", message, extra={_FIELDS: fields})


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")


class _Json(logging.Formatter):
    """One object a line: time, level, logger, message, what the event says, and a traceback as ``exception``."""

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, Any] = getattr(record, _FIELDS, {})
        line = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in said.items() if name not in line}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class _Text(logging.Formatter):
    """Time, level, logger, message, and what the message does not say."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = getattr(record, _FIELDS, {})
        if record.name == _ACCESS.name:
            said = f"{fields['duration_ms']:.1f} ms {fields['client']}" if fields else ""
        else:
            said = " ".join(f"{name}={value}" for name, value in fields.items())
        line = f"{_time(record)} {record.levelname:<7} {record.name} {record.getMessage()} {said}".rstrip()
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line
