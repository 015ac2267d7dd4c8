"""``FastrAPI``: FastAPI whose routes are served from native lanes where the answer is the same."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from pytest_fastr._native import Metrics
from pytest_fastr.web.app_scope import STACK, opened
from pytest_fastr.web.layers import arranged
from pytest_fastr.web.native import METRICS, reports
from pytest_fastr.web.routes import RouteOptions, RouteReport, app_scoped_values

Run = Literal["trial", "pool", "inline"]
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


class FastrAPI(FastAPI):
    """FastAPI, and all of it: an ASGI application that uvicorn and TestClient run as well.

    On pytest-fastr's own server its routes are compiled. Two options of a route decide how; ``get``, ``post`` and the
    others take them beside FastAPI's own, and :func:`options` marks the handlers of an ``APIRouter``.

    * ``run``: where a handler that is no coroutine function runs. ``"trial"``, the default: in FastAPI's thread pool,
      or, if its code alone tells that it never waits, on the event loop's thread once it has been short. ``"inline"``:
      on the event loop's thread, which must not wait. ``"pool"``: in the engine's own pool of threads.
    * ``cache_response=True``: the first answer is every answer. For routes without parameters that return a constant.

    ``layers``: Starlette's middleware in the one order that works, whatever the order they are named in. From the
    handler outwards: ``sessions``, ``gzip``, then what ``add_middleware`` adds, ``cors``, ``trusted_hosts``. Each is
    given the options of its class: ``layers={"gzip": {"minimum_size": 1000}, "cors": {"allow_origins": ["*"]}}``.

    ``metrics=True`` has the engine count how long requests take, by route; ``metrics="/metrics"`` serves that, too.
    """

    def __init__(
        self,
        *args: Any,
        layers: Mapping[str, Mapping[str, Any]] | None = None,
        metrics: bool | str = False,
        **kwargs: Any,
    ) -> None:
        self._inside, self._outside = arranged(layers or {})
        super().__init__(*args, **kwargs)
        if metrics:
            setattr(self, METRICS, Metrics())
        if isinstance(metrics, str):
            self.add_route(metrics, self._serve_metrics, include_in_schema=False)
        inside = self.router.lifespan_context

        @asynccontextmanager
        async def lifespan(app: Any) -> AsyncIterator[Any]:
            async with inside(app) as state, opened(app_scoped_values(self)) as stack:
                setattr(self, STACK, stack)
                try:
                    yield state
                finally:
                    setattr(self, STACK, None)

        self.router.lifespan_context = lifespan

    def build_middleware_stack(self) -> ASGIApp:
        """The layers, with the application's own middleware between them."""
        added = self.user_middleware
        self.user_middleware = [*self._outside, *added, *self._inside]
        try:
            return super().build_middleware_stack()
        finally:
            self.user_middleware = added

    @property
    def metrics(self) -> Metrics:
        """What pytest-fastr's engine has counted; ``metrics.text()`` is what Prometheus reads. Another server counts
        nothing, and neither does ``mount="asgi"``. Raises RuntimeError for an application made without ``metrics``."""
        metrics: Metrics | None = getattr(self, METRICS, None)
        if metrics is None:
            raise RuntimeError("nothing is counted: make the application with metrics=True")
        return metrics

    async def _serve_metrics(self, request: Request) -> Response:
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    def lanes(self) -> list[RouteReport]:
        """The lane of every HTTP route, and why it has no better one."""
        return reports(self)

    if TYPE_CHECKING:
        # With two keywords more than FastAPI's; the others are those of its method of that name.
        def _route(
            self, path: str, *, run: Run = "trial", cache_response: bool = False, **options: Any
        ) -> Callable[[Endpoint], Endpoint]: ...

        get = put = post = delete = options = head = patch = trace = api_route = _route


def options(*, run: Run = "trial", cache_response: bool = False) -> Callable[[Endpoint], Endpoint]:
    """Marks a handler with the options of its route, see :class:`FastrAPI`. Put it below the route's decorator."""
    if run not in ("trial", "pool", "inline"):
        raise ValueError(f'run={run!r}: it is "trial", "pool" or "inline"')

    def mark(endpoint: Endpoint) -> Endpoint:
        RouteOptions(run, cache_response).mark(endpoint)
        return endpoint

    return mark


def _with_options(method: str) -> Any:
    original: Callable[..., Any] = getattr(FastAPI, method)

    def register(
        self: FastrAPI, path: str, *args: Any, run: Run = "trial", cache_response: bool = False, **kwargs: Any
    ) -> Callable[[Endpoint], Endpoint]:
        mark = options(run=run, cache_response=cache_response)
        decorate = original(self, path, *args, **kwargs)

        def decorator(endpoint: Endpoint) -> Endpoint:
            if run != "trial" or cache_response:
                mark(endpoint)
            decorate(endpoint)
            return endpoint

        return decorator

    own = inspect.signature(register).parameters
    given = inspect.signature(original)
    parameters = [*given.parameters.values(), own["run"], own["cache_response"]]
    register.__name__, register.__doc__ = method, original.__doc__
    register.__signature__ = given.replace(parameters=parameters)  # type: ignore[attr-defined]
    return register


if not TYPE_CHECKING:  # checkers see FastAPI's signatures
    for _method in ("get", "put", "post", "delete", "options", "head", "patch", "trace", "api_route"):
        setattr(FastrAPI, _method, _with_options(_method))
