"""What the engine asks of Python to serve native routes, and how their requests come back to FastAPI."""

from __future__ import annotations

import asyncio
import copy
import gc
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Protocol

import fastapi.routing
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.middleware.gzip import GZipMiddleware

from pytest_fastr import _native
from pytest_fastr.pool import HandlerPool
from pytest_fastr.web import known
from pytest_fastr.web.layers import LearnedLayers, is_known
from pytest_fastr.web.responses import PLAIN_RESPONSES, dump_model
from pytest_fastr.web.routes import OUTCOME, CompiledRoutes, RouteInfo, RouteReport, compile_routes
from pytest_fastr.web.watched import WatchedRoutes

if TYPE_CHECKING:
    from pytest_fastr._native import Engine, Receive, Send

Scope = dict[str, Any]

# The attribute of an application that wants its requests counted.
METRICS = "_fastr_metrics"


class Runner(Protocol):
    """Makes tasks of requests."""

    tasks: set[asyncio.Task[None]]

    def start_app(self, app: Any, scope: Scope, receive: Receive, send: Send) -> None: ...


# What FastAPI itself puts around its router; by name, since the private ones come and go.
_OWN_LAYERS = frozenset({
    "starlette.middleware.errors.ServerErrorMiddleware",
    "starlette.middleware.exceptions.ExceptionMiddleware",
    "fastapi.middleware.asyncexitstack.AsyncExitStackMiddleware",
    "fastapi._body_limit.AppBodyLimitMiddleware",
    "fastapi.telemetry._asgi.ExceptionTelemetryMiddleware",
    "fastapi.telemetry._runtime.ExceptionTelemetryMiddleware",
    "fastapi.telemetry._api.ExceptionTelemetryMiddleware",
})  # fmt: skip


def stack_of(app: FastAPI) -> list[Any]:
    """The objects of the middleware stack, from the outside in, without the router."""
    if app.middleware_stack is None:
        app.middleware_stack = app.build_middleware_stack()
    stack: list[Any] = []
    layer: Any = app.middleware_stack
    while layer is not None and layer is not app.router and len(stack) < 100:
        stack.append(layer)
        layer = getattr(layer, "app", None)
    return stack if layer is app.router else [*stack, None]


def objections(app: FastAPI) -> list[tuple[str, str]]:
    """What stands against native lanes in all of an application, as facts for the classifier."""
    if reason := known.objection():
        return [("unknown", reason)]
    if type(app).__call__ is not FastAPI.__call__:
        return [("unknown", f"{type(app).__name__} has a __call__ of its own")]
    if type(app.router) is not fastapi.routing.APIRouter or "app" in vars(app.router):
        return [("unknown", "the app has a router of its own kind")]
    found: list[tuple[str, str]] = []
    compressed = False
    for layer in stack_of(app):
        name = f"{type(layer).__module__}.{type(layer).__qualname__}"
        if layer is None:
            found.append(("middleware", "that hides what is inside it"))
        elif name not in _OWN_LAYERS:
            # Which of two compressions has changed an answer cannot be told from its size.
            known_layer = is_known(layer) and not (type(layer) is GZipMiddleware and compressed)
            compressed = compressed or type(layer) is GZipMiddleware
            found.append(("known_layer" if known_layer else "middleware", type(layer).__name__))
        elif getattr(layer, "debug", False):
            found.append(("observer", "debug on: error pages show the frames of the whole stack"))
    router_stack = getattr(app.router, "middleware_stack", None)
    if router_stack != app.router.app:
        found.append(("middleware", "of its router"))
    found = list(dict.fromkeys(found))
    if getattr(app, "max_body_size", None) is not None:
        found.append(("observer", "a limit for bodies"))
    if _has_telemetry(app):
        found.append(("observer", "OpenTelemetry"))
    return found


def _has_telemetry(app: FastAPI) -> bool:
    telemetry = getattr(app, "_native_telemetry", None)
    return telemetry is not None and bool(telemetry.enabled())


def reports(app: FastAPI) -> list[RouteReport]:
    """The lane of every HTTP route, and why it has no better one."""
    stack = app.middleware_stack
    try:
        return compile_routes(app, stack_objections=objections(app), root_path=app.root_path).reports
    finally:
        app.middleware_stack = stack  # building it ends the time in which middleware may be added


def reports_of_served(app: FastAPI) -> list[RouteReport]:
    """As :func:`reports`, for an application whose start-up is over: the stack that is built for it is the one that it
    keeps, since middleware that is made twice may not bear it."""
    return compile_routes(app, stack_objections=objections(app), root_path=app.root_path).reports


class NativeSide:
    """One application's native routes; the engine reads the attributes and calls the methods that are named here."""

    response_base = PLAIN_RESPONSES[0]
    plain_responses = PLAIN_RESPONSES
    model_base = BaseModel
    dump_model = staticmethod(dump_model)

    def __init__(
        self, app: FastAPI, runner: Runner, loop: asyncio.AbstractEventLoop, root_path: str, threads: int | None
    ) -> None:
        self.app = app
        self.router = app.router
        self._runner = runner
        self._engine: Engine | None = None
        self._server_root = root_path
        self._pool = HandlerPool(threads)
        self._lists: list[WatchedRoutes] = []
        self._changed = False
        self.event_loop = loop
        self.set_running_loop = asyncio._set_running_loop
        self.submit = self._pool.submit
        self.compiled = self._compile()
        self.routes = self.compiled.native

    def attach(self, engine: Engine) -> None:
        """The engine that later routes are given to."""
        self._engine = engine
        gc.callbacks.append(_native.note_collection)

    @property
    def pending(self) -> int:
        """Calls in the pool, waiting or running."""
        return self._pool.pending

    def close(self) -> None:
        """Ends the threads, and listens to the application no more."""
        self._pool.close()
        for routes in self._lists:
            routes.listeners.remove(self._on_change)
        self._lists.clear()
        if _native.note_collection in gc.callbacks:
            gc.callbacks.remove(_native.note_collection)

    def _compile(self) -> CompiledRoutes:
        app = self.app
        found = objections(app)
        own_root = app.root_path
        if self._server_root and own_root not in ("", self._server_root):
            found.append(("unknown", "the server and the app have different root paths"))
        self._changed = False
        self._watch()
        self.stack = app.middleware_stack
        self._layers = stack_of(app)
        # Where FastAPI looks for what closes files: the name depends on its version.
        self._files = next((one.context_name for one in self._layers if hasattr(one, "context_name")), "")
        in_front = [layer for layer in self._layers if is_known(layer)]
        self.layers = LearnedLayers(in_front) if in_front else None
        self._handlers = next((one for one in self._layers if isinstance(one, ExceptionMiddleware)), None)
        self._outermost = self._copy_of_stack()
        return compile_routes(
            app,
            stack_objections=found,
            root_path="" if self._server_root else own_root,
            metrics=getattr(app, METRICS, None),
        )

    def _on_change(self) -> None:
        """A list of routes is about to change."""
        self._changed = True
        self.compiled.native.invalidate()

    def _watch(self) -> None:
        """Has every list of routes tell when it is changed."""
        waiting, known_routers = [self.app.router], set()
        while waiting:
            router = waiting.pop()
            if id(router) in known_routers:
                continue
            known_routers.add(id(router))
            # Another server of the same application may listen as well.
            if not isinstance(router.routes, WatchedRoutes):
                router.routes = WatchedRoutes(router.routes)
            if self._on_change not in router.routes.listeners:
                router.routes.listeners.append(self._on_change)
                self._lists.append(router.routes)
            waiting += [one.original_router for one in router.routes if hasattr(one, "original_router")]
        self.watched = self.app.router.routes

    def fresh(self) -> bool:
        """Whether the table is still that of the application. If not, another one has taken its place."""
        app = self.app
        if (
            not self._changed
            and app.middleware_stack is self.stack
            and app.router.routes is self.watched
            and not _has_telemetry(app)
            and (self.layers is None or self.layers.are_unchanged())
        ):
            return True
        self.compiled = self._compile()
        if self._engine is not None:
            self._engine.set_native_routes(self.compiled.native)
        return False

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Holds on to a task until it is done; the server's drain waits for it."""
        self._runner.tasks.add(task)
        task.add_done_callback(self._runner.tasks.discard)

    def replay(
        self, scope: Scope, receive: Receive, send: Send, info: RouteInfo, texts: list[str],
        value: Any, error: BaseException | None,
    ) -> None:  # fmt: skip
        """Has FastAPI make the response of a handler that has run already: of its result, or of what it raised."""
        self._prepare(scope, info, texts)
        scope[OUTCOME] = (value, error)
        self._runner.start_app(self._outermost, scope, receive, send)

    def direct(self, scope: Scope, receive: Receive, send: Send, info: RouteInfo, texts: list[str]) -> None:
        """Has FastAPI's application of one route serve a request, without what is around it."""
        try:
            self._prepare(scope, info, texts)
        except ValueError:  # a convertor's: an int of too many digits
            self._runner.start_app(self.app, scope, receive, send)
        else:
            self._runner.start_app(self._call_route, scope, receive, send)

    def _prepare(self, scope: Scope, info: RouteInfo, texts: list[str]) -> None:
        """Puts into the scope what application, middleware and router would have."""
        params = {
            name: convertor.convert(text)
            for (name, convertor), text in zip(info.convertors.items(), texts, strict=True)
        }
        if self.app.root_path:
            scope["root_path"] = self.app.root_path
        scope.update(info.scope, app=self.app, path_params=params)
        if info.fastapi_scope:
            scope["fastapi"] = dict(info.fastapi_scope)
        scope[_INFO] = info

    async def _call_route(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._handlers is not None:
            scope["starlette.exception_handlers"] = (
                self._handlers._exception_handlers,
                self._handlers._status_handlers,
            )
        try:
            async with AsyncExitStack() as stack:
                scope[self._files] = stack
                await scope[_INFO].app(scope, receive, send)
        except Exception as error:
            # What nobody inside has handled is for the layers outside, as if it came out of the router.
            scope[OUTCOME] = (None, error)
            scope[_INFO] = None
            scope[_STARTED] = send.started()
            await self._outermost(scope, receive, _nowhere if send.started() else send)

    def _copy_of_stack(self) -> Callable[..., Any]:
        """The application's own stack, around the outcome of a request instead of the router."""
        inner: Callable[..., Any] = _outcome
        for layer in reversed(self._layers):
            if layer is not None:
                outer = copy.copy(layer)
                outer.app = inner
                inner = outer
        return inner


_INFO = "pytest_fastr.route"
_STARTED = "pytest_fastr.response_started"


async def _nowhere(message: Any) -> None:
    """A ``send`` for layers that have nothing to send any more."""


async def _outcome(scope: Scope, receive: Receive, send: Send) -> None:
    """In the place of the router."""
    info: RouteInfo | None = scope[_INFO]
    if info is not None:
        await info.outcome(scope, receive, send)
        return
    if scope[_STARTED]:
        # The layers look at what passes through them to know whether they may still answer.
        await send({"type": "http.response.start", "status": 200, "headers": []})
    _, error = scope[OUTCOME]
    raise error
