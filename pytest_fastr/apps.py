"""What can be under test besides an application of this interpreter: a command that serves one, or a URL that is served
already. Both are tables (`app = { command = "..." }`), in the configuration, the marker and the fixture alike."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pytest_fastr.errors import ConfigError
from pytest_fastr.keys import Key, fields, parse_count, parse_duration, refusal, text_like

STOP_SECONDS = 5.0
"""How long a command may take to stop unless told otherwise: nothing is in flight when it is asked to."""

_EXAMPLE = '"module:attr", { command = "gunicorn shop.main:app -b {host}:{port}" } or { url = "http://127.0.0.1:8000" }'
_COMMAND_EXAMPLE = '"gunicorn shop.main:app -b {host}:{port}"'
_URL_EXAMPLE = '"http://127.0.0.1:8000"'


@dataclass(frozen=True, slots=True)
class CommandApp:
    """A command that serves the application on ``{host}`` and ``{port}``, started without a shell.

    ``{root}`` in it is the folder of the configuration (on the other side of a pair, that of the checkout), and
    ``{python}`` the interpreter.
    """

    argv: tuple[str, ...]
    ready: str | None = None
    """The path that must answer below 500 before the server counts as ready; None: ``/``, with whatever status."""
    cwd: str = "."
    """The folder it runs in, relative to that of the configuration."""
    stop_timeout_s: float = STOP_SECONDS
    """How long it may take to stop before it is killed (key `stop_timeout`)."""

    def __str__(self) -> str:
        return shlex.join(self.argv)


@dataclass(frozen=True, slots=True)
class UrlApp:
    """A server that runs already. It is neither started nor stopped.

    ``pid``: the root of the processes whose CPU time and memory are its cost. ``against``: another server, which this
    one is compared with in the same run.
    """

    url: str
    pid: int | None = None
    against: str | None = None
    against_pid: int | None = None

    @property
    def other(self) -> UrlApp | None:
        """The server that this one is compared with."""
        return None if self.against is None else UrlApp(self.against, self.against_pid)

    def __str__(self) -> str:
        return self.url


def parse_app(value: object, what: str) -> str | CommandApp | UrlApp:
    """A name as it is, a table as what it describes. ``what`` names the value in messages. Raises ConfigError."""
    if isinstance(value, str):
        return text_like('"shop.main:app"')(value, what)
    if not isinstance(value, Mapping):
        raise refusal(value, what, _EXAMPLE)
    if "command" in value and "url" in value:
        raise ConfigError(f"{what} has both `command` and `url`: a command is started, a URL runs already; keep one")
    if "command" in value:
        return CommandApp(**fields(value, _COMMAND_KEYS, what))
    if "url" in value:
        return _url_app(UrlApp(**fields(value, _URL_KEYS, what)), what)
    raise ConfigError(f"{what} is a table without `command` or `url`; write {_EXAMPLE}")


def _url_app(app: UrlApp, what: str) -> UrlApp:
    if app.against_pid is not None and app.against is None:
        raise ConfigError(f"{what}: `against_pid` belongs to `against`, which is missing: give the other server's URL")
    if app.against == app.url:
        raise ConfigError(f"{what}: `against` is the same URL as `url`; give another server's, or leave it out")
    if app.pid is not None and app.pid == app.against_pid:
        raise ConfigError(f"{what}: `pid` and `against_pid` are the same; give each server its own, or leave both out")
    return app


def _command(value: object, what: str) -> tuple[str, ...]:
    text = text_like(_COMMAND_EXAMPLE)(value, what)
    try:
        argv = tuple(shlex.split(text))
    except ValueError as error:
        raise ConfigError(f"{what} is {text!r}, which cannot be split into words ({error}): mend its quotes") from None
    if "{port}" not in text:
        raise ConfigError(
            f"{what} is {text!r}, without {{port}}: a free port is chosen for every start, so write where it goes, as "
            f"in {_COMMAND_EXAMPLE}"
        )
    if re.fullmatch(r"\w+=.*", argv[0]):
        raise ConfigError(
            f"{what} begins with {argv[0]!r}: there is no shell that sets variables; write them into `env`, or put "
            f"the program `env` in front"
        )
    return argv


def _path(value: object, what: str) -> str:
    path = text_like('"/health"')(value, what)
    if not path.startswith("/") or not path.isascii() or not path.isprintable() or " " in path:
        raise refusal(value, what, 'a path as it is requested, such as "/health"')
    return path


def _folder(value: object, what: str) -> str:
    folder = text_like('"backend"')(value, what)
    if ".." in Path(folder).parts:
        raise refusal(value, what, 'a folder below that of the configuration, such as "backend"')
    return folder


def _url(value: object, what: str) -> str:
    url = text_like(_URL_EXAMPLE)(value, what).rstrip("/")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"{what} is {url!r}, which is no URL ({error}); write one such as {_URL_EXAMPLE}") from None
    if parts.scheme == "https":
        raise ConfigError(
            f"{what} is {url!r}: https is not measured here; give the http address of the server behind it, or load it "
            "with `pytest-fastr load`"
        )
    if parts.scheme != "http" or not host:
        raise refusal(value, what, f"an http URL, such as {_URL_EXAMPLE}")
    if parts.path or parts.query or parts.fragment or parts.username is not None:
        raise ConfigError(f"{what} is {url!r}: give scheme, host and port only; paths stand in the tests")
    return url


_COMMAND_KEYS = (
    Key("command", "argv", _command),
    Key("ready", "ready", _path),
    Key("cwd", "cwd", _folder),
    Key("stop_timeout", "stop_timeout_s", parse_duration),
)

_URL_KEYS = (
    Key("url", "url", _url),
    Key("pid", "pid", parse_count),
    Key("against", "against", _url),
    Key("against_pid", "against_pid", parse_count),
)
