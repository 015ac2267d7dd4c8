"""A server that somebody else runs: it is looked up, and neither started nor stopped."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
from urllib.parse import urlsplit

from pytest_fastr import _native
from pytest_fastr.apps import UrlApp
from pytest_fastr.errors import ConfigError, LoadError, StartupError
from pytest_fastr.load.url import parse_target
from pytest_fastr.mount import ServerProcess
from pytest_fastr.mount.handshake import Ready
from pytest_fastr.mount.runtime import Address

CONNECT_SECONDS = 5.0


class AttachedServer:
    """Has the face of a :class:`ServerProcess` for those who measure. Of its life and its output nothing is known.

    Raises ConfigError for a URL or a process that cannot be measured, StartupError where nobody answers.
    """

    def __init__(self, app: UrlApp) -> None:
        host, port = _resolved(app.url)
        _refuse_nobody(app, host, port)
        _refuse_no_process(app)
        self.url = app.url
        self.address = Address(urlsplit(app.url).hostname or host, port)
        self.shared: tuple[str, ...] = ()
        self.pids = () if app.pid is None else (app.pid,)
        self.ready = Ready(
            host=host, port=port, pid=app.pid or 0, app_file=None, tracing=None, debug_build=_native.DEBUG_BUILD
        )

    def exit_code(self) -> int | None:
        """None: it counts as running. Requests fail where it is not."""
        return None

    def ended_within(self, seconds: float) -> bool:
        """Not known, so False."""
        return False

    def log_bytes(self) -> int:
        """Its output goes elsewhere."""
        return 0

    def log_tail(self, since: int = 0) -> str:
        """Its output goes elsewhere."""
        return ""

    def stop(self) -> None:
        """It is not ours."""


AnyServer = ServerProcess | AttachedServer


def _resolved(url: str) -> tuple[str, int]:
    try:
        target = parse_target(url, allow_remote=True)
    except LoadError as error:
        raise ConfigError(str(error)) from None
    assert target.port is not None  # the configuration takes http only
    if not ipaddress.ip_address(target.address.partition("%")[0]).is_loopback:
        raise ConfigError(
            f"{url} is another machine: what is compared must run on this one, beside the generator; "
            "`pytest-fastr load --allow-remote` loads others"
        )
    return target.address, target.port


def _refuse_nobody(app: UrlApp, host: str, port: int) -> None:
    try:
        socket.create_connection((host, port), CONNECT_SECONDS).close()
    except OSError as error:
        raise StartupError(
            f"nobody answers at {app.url} ({error.strerror or error}): start the server before the tests, or give its "
            "`command` instead of the `url`"
        ) from None


def _refuse_no_process(app: UrlApp) -> None:
    if app.pid is None:
        return
    try:
        with contextlib.suppress(PermissionError):  # somebody else's, but there
            os.kill(app.pid, 0)
    except (ProcessLookupError, OverflowError):
        raise ConfigError(
            f"there is no process {app.pid}, which is called the server at {app.url}: give its pid as it is now, or "
            "leave `pid` out and do without CPU time and memory"
        ) from None
