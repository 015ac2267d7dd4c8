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
class Tls:
    """Who an https server must prove to be, and by which certificates: the PEM text ``roots``, or what this machine
    trusts."""

    name: str
    roots: bytes | None
    verify: bool


@dataclass(frozen=True, slots=True)
class LoadTarget:
    """A server and a path on it.

    ``host`` is the value of the Host header. ``address`` is an IP address, or the path of a Unix socket where ``port``
    is None. ``pids``: the processes whose CPU time and memory, with those of their descendants, are the server's cost;
    without any it is not known.
    """

    url: str
    host: str
    path: str
    address: str
    port: int | None
    tls: Tls | None = None
    pids: tuple[int, ...] = ()

    @property
    def transport(self) -> str:
        """``tcp``, ``tls`` or ``unix``."""
        if self.port is None:
            return "unix"
        return "tcp" if self.tls is None else "tls"

    def native(self) -> _native.Target:
        """For the generator. Raises ValueError for certificates that are none."""
        if self.port is None:
            return _native.Target.unix(self.address, self.pids)
        if self.tls is None:
            return _native.Target(self.address, self.port, self.pids)
        tls = self.tls
        return _native.Target.tls(self.address, self.port, self.pids, name=tls.name, roots=tls.roots, verify=tls.verify)


def parse_target(
    url: str, allow_remote: bool = False, *, roots: bytes | None = None, verify: bool = True, pids: tuple[int, ...] = ()
) -> LoadTarget:
    """Checks and resolves a URL. Raises LoadError that names what to change.

    Only loopback addresses and Unix sockets are loaded without ``allow_remote``. ``roots``: the PEM text of the
    certificates to trust, instead of those that this machine trusts; without ``verify`` an https server may be anyone.
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
        return _unix(url, unquote(parts.netloc), path, pids)
    if parts.scheme not in ("http", "https"):
        raise LoadError(f"{url!r}: the scheme {parts.scheme!r} cannot be loaded; write a URL {_EXAMPLE}")
    if not parts.hostname:
        raise LoadError(f"{url!r} names no host; write a URL {_EXAMPLE}")
    tls = Tls(parts.hostname, roots, verify) if parts.scheme == "https" else None
    if port is None:
        port = 80 if tls is None else 443
    address = _resolve(parts.hostname, port)
    if not allow_remote and not ipaddress.ip_address(address.partition("%")[0]).is_loopback:
        raise LoadError(
            f"{parts.hostname} ({address}) is another machine: loading it may harm its owner; --allow-remote says that "
            "you may"
        )
    return LoadTarget(url, parts.netloc, path, address, port, tls, pids)


def _unix(url: str, socket_path: str, path: str, pids: tuple[int, ...]) -> LoadTarget:
    if not socket_path.startswith("/"):
        raise LoadError(f"{url!r}: {socket_path!r} is no absolute path of a socket; write a URL {_EXAMPLE}")
    return LoadTarget(url, "localhost", path, socket_path, None, pids=pids)


def _resolve(host: str, port: int) -> str:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise LoadError(f"the host {host!r} cannot be resolved: {reason}") from None
    # IPv4 first: development servers listen on 127.0.0.1 far more often than on ::1.
    found.sort(key=lambda one: one[0] != socket.AF_INET)
    return str(found[0][4][0])
