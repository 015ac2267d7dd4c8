"""An application's routes, compiled: which of them the engine serves, in which lane, and why the others are not.

The analysis is FastAPI's own. What a route does is read from the variables that FastAPI's request handler was made
with, so that nothing is understood twice, and what is not exactly as expected stays with FastAPI.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import fastapi.routing
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, APIRouter, APIWebSocketRoute
from starlette.convertors import CONVERTOR_TYPES, Convertor
from starlette.routing import Host, Mount, Route, WebSocketRoute

from pytest_fastr import _native
from pytest_fastr.web import known
from pytest_fastr.web.analysis import Analysis
from pytest_fastr.web.app_scope import AppScoped

# FastAPI keeps included routers as such, in newer versions.
_IncludedRouter: Any = getattr(fastapi.routing, "_IncludedRouter", ())

_CONVERTORS: dict[type[Convertor[Any]], str] = {
    type(convertor): name
    for name, convertor in CONVERTOR_TYPES.items()
    if name in ("str", "path", "int", "float", "uuid")
}


@dataclass(frozen=True)
class RouteOptions:
    """How a route is to be served natively; carried by its handler."""

    run: str = "trial"
    cache_response: bool = False

    def mark(self, endpoint: Any) -> None:
        """Puts the options on a handler."""
        setattr(endpoint, _OPTIONS, self)

    @classmethod
    def of(cls, endpoint: Any) -> RouteOptions:
        """The options of a handler."""
        found = getattr(endpoint, _OPTIONS, None)
        return found if isinstance(found, cls) else cls()


_OPTIONS = "_fastr_route_options"


@dataclass(frozen=True)
class RouteReport:
    """What became of a route. ``reasons``: why it has no better lane; empty in the best one. ``pattern``: the regular
    expression by which Starlette knows the paths that it takes; None: it may take any."""

    methods: tuple[str, ...]
    path: str
    lane: str
    reasons: tuple[str, ...]
    pattern: str | None = field(default=None, repr=False, compare=False)


@dataclass
class RouteInfo:
    """What is needed to hand a request of a route back to FastAPI.

    ``app``: the route's own ASGI application. ``scope``: what a router adds to the scope when it has matched the route.
    ``convertors``: of the path's parameters, from left to right. ``handler``: the variables of FastAPI's handler.
    """

    app: Callable[..., Any]
    scope: Mapping[str, Any]
    fastapi_scope: Mapping[str, Any]
    convertors: Mapping[str, Convertor[Any]]
    handler: Mapping[str, Any] = field(repr=False)

    @cached_property
    def outcome(self) -> Callable[..., Any]:
        """FastAPI's handler around a result that is there already. Most routes never need it, and it costs to make."""
        return _outcome_handler(self.handler)


@dataclass
class CompiledRoutes:
    """The table for the engine, and a report for each route."""

    native: _native.NativeRoutes
    reports: list[RouteReport] = field(default_factory=list)


@dataclass(frozen=True)
class _Candidate:
    """A route with what it is effectively: in an included router, path and dependencies are not its own.

    ``has_form_limits``: a router on the way to it limits forms.
    """

    route: Any
    effective: Any
    fastapi_scope: Mapping[str, Any] = field(default_factory=dict)
    has_form_limits: bool = False


def compile_routes(
    app: FastAPI,
    *,
    stack_objections: list[tuple[str, str]],
    root_path: str,
    metrics: _native.Metrics | None = None,
) -> CompiledRoutes:
    """``stack_objections``: facts about all of the application, as (fact, about) pairs. ``metrics``: what requests are
    counted in."""
    candidates = list(_candidates(app.router))
    compiled = CompiledRoutes(_native.NativeRoutes(len(candidates), root_path, metrics))
    for candidate in candidates:
        before = len(compiled.native)
        try:
            _add(app, candidate, compiled, stack_objections)
        except Exception as error:  # an oddity of one route is no reason not to start
            path = str(getattr(candidate.effective, "path", "?"))
            if len(compiled.native) == before:
                compiled.native.add(None, None, None, label=path)
            reason = f"cannot be compiled: {type(error).__name__}: {error}"
            _report(compiled, ("*",), path, [("unknown", reason)])
    return compiled


def _candidates(router: APIRouter) -> Iterator[_Candidate]:
    limits = bool(getattr(router, "form_limits", None))
    for route in router.routes:
        if _IncludedRouter and isinstance(route, _IncludedRouter):
            yield from _included(route, limits)
        else:
            yield _Candidate(route, route, has_form_limits=limits)


def app_scoped_values(app: FastAPI) -> list[AppScoped[Any]]:
    """The app-scoped values that the application's routes depend on, each once, in the order of the routes."""
    found: dict[int, AppScoped[Any]] = {}
    waiting = [getattr(one.effective, "dependant", None) for one in reversed(list(_candidates(app.router)))]
    while waiting:
        dependant = waiting.pop()
        if dependant is None:
            continue
        if isinstance(dependant.call, AppScoped):
            found.setdefault(id(dependant.call), dependant.call)
        waiting += reversed(dependant.dependencies)
    return list(found.values())


def _included(included: Any, limits: bool) -> Iterator[_Candidate]:
    """``limits``: a router around it limits forms."""
    if _is_own(type(included.original_router), APIRouter, ("matches", "handle", "app", "__call__")) is None:
        yield _Candidate(included, None)
        return
    limits = limits or bool(getattr(included.include_context, "form_limits", None))
    for candidate in included.effective_candidates():
        if isinstance(candidate, _IncludedRouter):
            yield from _included(candidate, limits)
        elif candidate.starlette_route is not None:
            yield _Candidate(candidate.starlette_route, candidate.starlette_route)
        else:
            scope = {"included_router": included, "effective_route_context": candidate}
            yield _Candidate(candidate.original_route, candidate, scope, limits)


def _is_own(kind: type, base: type, methods: tuple[str, ...]) -> type | None:
    """``kind``, if it is ``base`` or a subclass that has not changed these methods."""
    if not issubclass(kind, base):
        return None
    return kind if all(getattr(kind, name) is getattr(base, name) for name in methods) else None


def _add(app: FastAPI, candidate: _Candidate, compiled: CompiledRoutes, objections: list[tuple[str, str]]) -> None:
    """Puts a route into the table, native or not: one that is not keeps its requests from those behind it."""
    route, effective = candidate.route, candidate.effective
    add = compiled.native.add
    kind = type(route)
    if kind in (WebSocketRoute, APIWebSocketRoute):
        return  # takes no HTTP request
    if kind is Mount:
        label = f"{route.path}/..."
        add(route.path if _known_path(route) else None, None, None, label=label, below=True)
        _report(compiled, ("*",), label, [("foreign_route", "mounted application")], _pattern(route))
        return
    if kind is Host or effective is None:
        label = str(getattr(route, "path", "*"))
        add(None, None, None, label=label)
        _report(compiled, ("*",), label, [("foreign_route", kind.__name__)])
        return
    if _is_own(kind, APIRoute, ("matches", "handle", "get_route_handler", "__call__")):
        _add_api_route(app, candidate, compiled, objections)
        return
    if kind is Route:
        path = route.path if _known_path(route) else None
        add(path, None if route.methods is None else sorted(route.methods), None, label=route.path)
        facts = [("foreign_route", "Starlette route")]
        _report(compiled, tuple(sorted(route.methods or "*")), route.path, facts, _pattern(route))
        return
    label = str(getattr(effective, "path", "?"))
    add(None, None, None, label=label)
    _report(compiled, ("*",), label, [("foreign_route", kind.__name__)])


def _known_path(route: Any) -> bool:
    """Whether all convertors of a path are Starlette's own."""
    return all(type(convertor) in _CONVERTORS for convertor in route.param_convertors.values())


def _pattern(route: Any) -> str | None:
    """The regular expression of a route's path."""
    pattern = getattr(getattr(route, "path_regex", None), "pattern", None)
    return pattern if isinstance(pattern, str) else None


def _report(
    compiled: CompiledRoutes,
    methods: tuple[str, ...],
    path: str,
    facts: list[tuple[str, str]],
    pattern: str | None = None,
) -> None:
    compiled.reports.append(_classified(methods, path, facts, pattern))


def _classified(methods: tuple[str, ...], path: str, facts: list[tuple[str, str]], pattern: str | None) -> RouteReport:
    lane, reasons = _native.classify_route(facts)
    return RouteReport(methods, path, lane, tuple(reasons), pattern)


def _add_api_route(
    app: FastAPI, candidate: _Candidate, compiled: CompiledRoutes, objections: list[tuple[str, str]]
) -> None:
    effective = candidate.effective
    methods = tuple(sorted(effective.methods))
    facts = list(objections)
    path = effective.path if _known_path(effective) else None
    if path is None:
        facts.append(("path", "has a convertor of the application's own"))
    elif not _native.is_simple_path(path):
        facts.append(("path", "has a parameter beside other text"))
    handler = _handler_of(effective)
    if handler is None:
        facts.append(("unknown", "its handler is not FastAPI's own, or has a limit for bodies"))
    analysis = None
    if handler is not None:
        names = {name: _CONVERTORS.get(type(one), "") for name, one in effective.param_convertors.items()}
        analysis = Analysis(handler, names)
        facts += analysis.facts
        if analysis.has_form and candidate.has_form_limits:
            facts.append(("observer", "limits for forms"))
        if analysis.is_direct:
            facts += [("middleware", about) for fact, about in objections if fact == "known_layer"]
    report = _classified(methods, effective.path, facts, _pattern(effective))
    route: _native.NativeRoute | None = None
    if handler is not None and analysis is not None and report.lane != "asgi":
        info, options = _info(app, candidate, handler), RouteOptions.of(effective.endpoint)
        if analysis.is_direct:
            route = _native.NativeRoute.direct(info)
        else:
            route = analysis.compiled(info, options.run, options.cache_response)
    compiled.native.add(path, list(methods), route, label=effective.path)
    compiled.reports.append(report)


def _info(app: FastAPI, candidate: _Candidate, handler: Mapping[str, Any]) -> RouteInfo:
    route, effective = candidate.route, candidate.effective
    scope = {"router": app.router, "endpoint": effective.endpoint, "route": route}
    return RouteInfo(effective.app, scope, candidate.fastapi_scope, effective.param_convertors, handler)


def _handler_of(effective: Any) -> dict[str, Any] | None:
    """The variables of FastAPI's request handler of a route; None when there is something else in its place."""
    app = getattr(effective, "app", None)  # some versions make it anew for each request
    if not known.is_defined_in(app, "request_response.<locals>.app"):
        return None
    function = known.closure(app).get("f")
    if not known.is_defined_in(function, "get_request_handler.<locals>.app"):
        return None
    variables = known.closure(function)
    variables.setdefault("response_class", variables.get("actual_response_class"))
    dependant = variables.get("dependant")
    if known.HANDLER_VARIABLES - variables.keys() or not isinstance(dependant, Dependant):
        return None
    if dependant.call is not effective.endpoint:
        return None
    return variables


OUTCOME = "pytest_fastr.outcome"


def _outcome_handler(handler: Mapping[str, Any]) -> Callable[..., Any]:
    """FastAPI's handler with this route's response, around an endpoint that returns what another call returned."""
    original: Dependant = handler["dependant"]

    async def endpoint(request: Any) -> Any:
        value, error = request.scope[OUTCOME]
        if error is not None:
            raise error
        return value

    for name in ("__name__", "__qualname__", "__module__"):
        setattr(endpoint, name, getattr(original.call, name, getattr(endpoint, name)))
    # Where a response does not fit its model, FastAPI's message names the file and line of the endpoint.
    contexts = getattr(fastapi.routing, "_endpoint_context_cache", None)
    describe = getattr(fastapi.routing, "_extract_endpoint_context", None)
    if isinstance(contexts, dict) and describe is not None:
        contexts[id(endpoint)] = dict(describe(original.call))
    options = {
        name: handler[name]
        for name in known.HANDLER_PARAMETERS & handler.keys() - {"dependant", "body_field", "embed_body_fields"}
    }
    dependant = Dependant(call=endpoint, request_param_name="request", path=original.path)
    return fastapi.routing.request_response(fastapi.routing.get_request_handler(dependant=dependant, **options))
