"""Starlette's own middleware in front of native routes: what it adds to an answer is learned by running it.

CORS, trusted hosts, sessions and compression look at a few headers of the request, and add headers to the answer. For
each kind of request the middleware's own code is run once, around an application that answers as the route does. Where
it has work to do with an answer (a session's cookie, a body to compress, headers of the handler's own) it is run for
that answer. A preflight and a host that is refused go through the whole application.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

try:
    from starlette.middleware.sessions import SessionMiddleware
except ImportError:  # it needs itsdangerous
    SessionMiddleware = None  # type: ignore[assignment,misc]

Fields = list[tuple[bytes, bytes]]


def _options(layer: Any) -> dict[str, Any]:
    """A copy of what a layer was made with."""
    return {name: copy.copy(value) for name, value in vars(layer).items() if name not in ("app", "signer")}


def is_known(layer: Any) -> bool:
    """Whether a middleware is one of Starlette's that is understood here."""
    return type(layer) in (CORSMiddleware, GZipMiddleware, TrustedHostMiddleware) or (
        SessionMiddleware is not None and type(layer) is SessionMiddleware
    )


# By the names that they have as layers; from the handler outwards.
_INSIDE = {"sessions": SessionMiddleware, "gzip": GZipMiddleware}
_OUTSIDE = {"cors": CORSMiddleware, "trusted_hosts": TrustedHostMiddleware}


def arranged(layers: Mapping[str, Mapping[str, Any]]) -> tuple[list[Middleware], list[Middleware]]:
    """Layers as middleware, each from the outside in: those inside an application's own, and those outside of it.
    Raises TypeError for names and options that there are not."""
    known = _INSIDE | _OUTSIDE
    for name in layers:
        if name not in known:
            raise TypeError(f"layers: there is no {name!r}; there are {', '.join(known)}")
    inside, outside = (
        [_middleware(name, part[name], layers[name]) for name in reversed(part) if name in layers]
        for part in (_INSIDE, _OUTSIDE)
    )
    return inside, outside


def _middleware(name: str, layer: Any, options: Mapping[str, Any]) -> Middleware:
    if layer is None:
        raise TypeError(f"layers: {name!r} needs the package itsdangerous")
    try:
        inspect.signature(layer).bind(None, **options)
    except TypeError as error:
        raise TypeError(f"layers: {name!r}, which is a {layer.__name__}: {error}") from None
    return Middleware(layer, **options)


class LearnedLayers:
    """The layers of an application; the engine reads the attributes and calls :meth:`learn`."""

    def __init__(self, layers: Sequence[Any]) -> None:
        """``layers``: from the outside in, all of them known."""
        self._layers = layers
        self._options = [_options(layer) for layer in layers]
        self.session_cookies = [layer.session_cookie for layer in layers if hasattr(layer, "session_cookie")]
        sizes = [layer.minimum_size for layer in layers if isinstance(layer, GZipMiddleware)]
        self.gzip_from: int | None = max(min(sizes), 0) if sizes else None

    def are_unchanged(self) -> bool:
        """Whether the layers have the options that they had, lists of origins and hosts included."""
        return [_options(layer) for layer in self._layers] == self._options

    def learn(
        self, host: bytes | None, origin: bytes | None, accepts_gzip: bool, has_cookie: bool, status: int,
        headers: Fields, large: bool,
    ) -> Fields | None:  # fmt: skip
        """The headers that an answer with these has after the layers; None when they do not let the request through."""
        asked = [
            (b"host", host), (b"origin", origin), (b"accept-encoding", b"gzip" if accepts_gzip else None),
            (b"cookie", b"some=value" if has_cookie else None),
        ]  # fmt: skip
        body = bytes(self.gzip_from or 0) if large else b""
        given = [(name, value) for name, value in asked if value is not None]
        passed = self.apply("GET", given, status, headers, body)
        return passed[0] if passed is not None and passed[1] == body else None

    def apply(
        self, method: str, asked: Fields, status: int, headers: Fields, body: bytes
    ) -> tuple[Fields, bytes] | None:
        """Headers and body of an answer after the layers. None when they do not let it through as one that waits for
        nothing: the whole application is to serve it."""
        scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": method,
            "scheme": "http", "path": "/", "raw_path": b"/", "query_string": b"", "root_path": "", "state": {},
            "headers": asked, "client": None, "server": None,
        }  # fmt: skip
        sent: list[Any] = []
        reached = False

        async def answers(scope: Any, receive: Any, send: Any) -> None:
            nonlocal reached
            reached = True
            length = (b"content-length", str(len(body)).encode())
            await send({"type": "http.response.start", "status": status, "headers": [length, *headers]})
            await send({"type": "http.response.body", "body": body})

        async def keep(message: Any) -> None:
            sent.append(message)

        inner: Any = answers
        for layer in reversed(self._layers):
            outer = copy.copy(layer)
            outer.app = inner
            inner = outer
        call = inner(scope, None, keep)
        try:
            call.send(None)
        except StopIteration:
            pass
        else:  # it waits for something: a thread that compresses a large body
            call.close()
            return None
        if not reached or len(sent) != 2 or sent[0]["status"] != status or sent[1].get("more_body"):
            return None
        return [(bytes(name), bytes(value)) for name, value in sent[0]["headers"]], sent[1]["body"]
