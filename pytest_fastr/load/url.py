"""Where load goes: a URL, checked, resolved, and turned into what the generator connects to."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from pytest_fastr import _native
from pytest_fastr.errors import LoadError

_EXAMPLE = "such as http://127.0.0.1:8000/items, or http+unix://%2Frun%2Fapp.sock/items for a Unix socket"


@dataclass(frozen=True, slots=True)
class LoadTarget:
    """A server and a path on it.

    ``host`` is the value of the Host header. ``address`` is an IP address, or the path of a Unix socket where ``port``
    is None.
    """

    url: str
    host: str
    path: str
    address: str
    port: int | None

    @property
    def transport(self) -> str:
        """``tcp`` or ``unix``."""
        return "unix" if self.port is None else "tcp"

    def native(self) -> _native.Target:
        """For the generator. The server's processes are not known, so neither is what it costs."""
        if self.port is None:
            return _native.Target.unix(self.address, [])
        return _native.Target(self.address, self.port, [])


def parse_target(url: str, allow_remote: bool = False) -> LoadTarget:
    """Checks and resolves a URL. Raises LoadError that names what to change.

    Only loopback addresses and Unix sockets are loaded without ``allow_remote``.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise LoadError(f"{url!r} is no URL ({error}); write one {_EXAMPLE}") from None
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if parts.username is not None:
        raise LoadError(f"{parts.hostname}: a user in the URL is not sent; give --header 'Authorization: ...'")
    if parts.scheme == "http+unix":
        return _unix(url, unquote(parts.netloc), path)
    if parts.scheme == "https":
        raise LoadError(f"{url!r}: TLS is not there yet; load the server behind its TLS proxy by http")
    if parts.scheme != "http":
        raise LoadError(f"{url!r}: the scheme {parts.scheme!r} cannot be loaded; write a URL {_EXAMPLE}")
    if not parts.hostname:
        raise LoadError(f"{url!r} names no host; write a URL {_EXAMPLE}")
    address = _resolve(parts.hostname, 80 if port is None else port)
    if not allow_remote and not ipaddress.ip_address(address.partition("%")[0]).is_loopback:
        raise LoadError(
            f"{parts.hostname} ({address}) is another machine: loading it may harm its owner; --allow-remote says that "
            "you may"
        )
    return LoadTarget(url, parts.netloc, path, address, 80 if port is None else port)


def _unix(url: str, socket_path: str, path: str) -> LoadTarget:
    if not socket_path.startswith("/"):
        raise LoadError(f"{url!r}: {socket_path!r} is no absolute path of a socket; write a URL {_EXAMPLE}")
    return LoadTarget(url, "localhost", path, socket_path, None)


def _resolve(host: str, port: int) -> str:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise LoadError(f"the host {host!r} cannot be resolved: {reason}") from None
    # IPv4 first: development servers listen on 127.0.0.1 far more often than on ::1.
    found.sort(key=lambda one: one[0] != socket.AF_INET)
    return str(found[0][4][0])
