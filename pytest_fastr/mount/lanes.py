"""Native lanes of an application: whether it is served from them, and which lane each of its routes has. FastAPI is
needed only for that."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

from pytest_fastr.errors import ConfigError
from pytest_fastr.mount.lane_table import LaneTable, RouteLane

if TYPE_CHECKING:
    from pytest_fastr.mount.asgi import RequestRunner
    from pytest_fastr.mount.runtime import ServeOptions
    from pytest_fastr.web.native import NativeSide
    from pytest_fastr.web.routes import RouteReport


def native_side(
    app: Any, options: ServeOptions, runner: RequestRunner, loop: asyncio.AbstractEventLoop
) -> NativeSide | None:
    """The native side of an application that is to have one. Raises ConfigError where it cannot have one."""
    if options.mount == "asgi" or (options.mount == "auto" and not _is_fastrapi(app)):
        return None
    web = _web_for(app, 'mount = "native"', 'use mount = "asgi"')
    side: NativeSide = web.NativeSide(app, runner, loop, options.root_path, options.threads)
    return side


def route_reports(app: Any, name: str) -> list[RouteReport]:
    """The lanes of an application's routes. Raises ConfigError for what is not FastAPI's."""
    reports: list[RouteReport] = _web_for(app, f"`routes {name}`", "only FastAPI's routes are compiled").reports(app)
    return reports


def is_fastapi(app: Any) -> bool:
    """Whether it is an application of FastAPI's. Nothing is imported for that: whoever made one has done so."""
    kind = getattr(sys.modules.get("fastapi"), "FastAPI", None)
    return isinstance(kind, type) and isinstance(app, kind)


def lane_table(app: Any) -> LaneTable | str | None:
    """The lanes of a FastAPI application that is about to be served; None for any other. Where they cannot be told,
    the reason in words: it keeps no server from starting."""
    if not is_fastapi(app):
        return None
    try:
        reports: list[RouteReport] = _web_for(app, "the lanes of routes", "do without").reports_of_served(app)
        routes = [RouteLane(one.methods, one.path, one.lane, one.reasons, one.pattern) for one in reports]
        return LaneTable(tuple(routes), str(app.root_path))
    except Exception as error:
        return f"{type(error).__name__}: {error}".partition("\n")[0]


def _web_for(app: Any, what: str, otherwise: str) -> Any:
    """The module that compiles routes."""
    try:
        from fastapi import FastAPI

        from pytest_fastr.web import native
    except ImportError as error:
        raise ConfigError(
            f"{what} needs FastAPI, which cannot be imported: {error}; "
            f'install it (pip install "pytest-fastr[web]"), or {otherwise}'
        ) from error
    if not isinstance(app, FastAPI):
        kind = f"{type(app).__module__}.{type(app).__qualname__}"
        raise ConfigError(f"{what} needs a FastAPI application, and this one is a {kind}; {otherwise}")
    return native


def _is_fastrapi(app: Any) -> bool:
    # Whoever made one has imported it.
    module = sys.modules.get("pytest_fastr.web.fastrapi")
    return module is not None and isinstance(app, module.FastrAPI)
