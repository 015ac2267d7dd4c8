"""Whether FastAPI is as the compiler of routes knows it: what is not understood is served by FastAPI itself."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any

import fastapi
import fastapi._compat
import fastapi.dependencies.models
import fastapi.dependencies.utils
import fastapi.routing
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from fastapi.routing import APIRouter
from starlette.applications import Starlette

# What decides on the answers of a route, over the versions of FastAPI since 0.115. A parameter that is not listed may
# change them in a way that the compiler does not know.
HANDLER_PARAMETERS = frozenset({
    "dependant", "body_field", "status_code", "response_class", "response_field", "response_model_include",
    "response_model_exclude", "response_model_by_alias", "response_model_exclude_unset",
    "response_model_exclude_defaults", "response_model_exclude_none", "dependency_overrides_provider",
    "embed_body_fields", "strict_content_type", "stream_item_field", "is_json_stream", "form_limits",
})  # fmt: skip
# Those that a handler always has at hand.
HANDLER_VARIABLES = frozenset({
    "dependant", "body_field", "status_code", "response_class", "response_field", "is_coroutine", "embed_body_fields",
    "response_model_include", "response_model_exclude", "response_model_by_alias", "response_model_exclude_unset",
    "response_model_exclude_defaults", "response_model_exclude_none",
})  # fmt: skip
DEPENDANT_FIELDS = frozenset({
    "path_params", "query_params", "header_params", "cookie_params", "body_params", "dependencies", "name", "call",
    "request_param_name", "websocket_param_name", "http_connection_param_name", "response_param_name",
    "background_tasks_param_name", "security_scopes_param_name", "own_oauth_scopes", "parent_oauth_scopes",
    "security_requirements", "security_scopes", "use_cache", "path", "scope", "concurrency", "cache_key",
})  # fmt: skip

# Where tools that watch an application put themselves in between: owner, name, and the modules of the original.
_UNTOUCHED: tuple[tuple[Any, str, str], ...] = (
    (FastAPI, "__call__", "fastapi.applications"),
    (Starlette, "__call__", "starlette.applications"),
    (fastapi.routing, "get_request_handler", "fastapi.routing"),
    (fastapi.routing, "request_response", "fastapi.routing starlette.routing"),
    (fastapi.routing, "run_endpoint_function", "fastapi.routing"),
    (fastapi.routing, "serialize_response", "fastapi.routing"),
    (fastapi.routing, "jsonable_encoder", "fastapi.encoders"),
    (fastapi.routing, "solve_dependencies", "fastapi.dependencies.utils"),
    (JSONResponse, "render", "starlette.responses"),
    (APIRouter, "__call__", "starlette.routing"),
)


def _annotation_check(name: str) -> Callable[[Any], bool] | None:
    """One of FastAPI's checks of annotations, from the module in which this version has it."""
    places = (fastapi._compat, getattr(fastapi._compat, "shared", None), fastapi.dependencies.utils)
    return next((getattr(place, name) for place in places if hasattr(place, name)), None)


_IS_SCALAR = _annotation_check("field_annotation_is_scalar")
_IS_SEQUENCE = _annotation_check("field_annotation_is_sequence")
_IS_SCALAR_SEQUENCE = _annotation_check("field_annotation_is_scalar_sequence")


def is_sequence(annotation: Any) -> bool:
    """Whether FastAPI reads a parameter as the list of all its values."""
    return _IS_SEQUENCE is not None and _IS_SEQUENCE(annotation)


def is_text(annotation: Any) -> bool:
    """Whether FastAPI reads a parameter as one text, or as a list of texts."""
    checks = (_IS_SCALAR, _IS_SCALAR_SEQUENCE)
    return any(check is not None and check(annotation) for check in checks)


def objection() -> str | None:
    """Why no route can be compiled with this FastAPI; None when nothing stands against it."""
    parameters = set(inspect.signature(fastapi.routing.get_request_handler).parameters)
    if unknown := parameters - HANDLER_PARAMETERS:
        return f"FastAPI {fastapi.__version__} has {_list(unknown)}, which this version of pytest-fastr does not know"
    fields = {field.name for field in dataclasses.fields(fastapi.dependencies.models.Dependant)}
    if unknown := fields - DEPENDANT_FIELDS:
        return f"FastAPI {fastapi.__version__} has {_list(unknown)}, which this version of pytest-fastr does not know"
    if None in (_IS_SCALAR, _IS_SEQUENCE, _IS_SCALAR_SEQUENCE):
        return f"FastAPI {fastapi.__version__} reads parameters in a way that pytest-fastr does not know"
    for owner, name, modules in _UNTOUCHED:
        function = getattr(owner, name, None)
        if getattr(function, "__module__", None) not in modules.split() or hasattr(function, "__wrapped__"):
            return f"{owner.__name__}.{name} is replaced by another tool ({getattr(function, '__module__', '?')})"
    return None


def _list(names: set[str]) -> str:
    return ", ".join(sorted(names))


def closure(function: Any) -> dict[str, Any]:
    """The variables that a function has from where it was defined; empty for what is no such function."""
    cells = getattr(function, "__closure__", None)
    code = getattr(function, "__code__", None)
    if not cells or code is None:
        return {}
    values = {}
    for name, cell in zip(code.co_freevars, cells, strict=True):
        try:
            values[name] = cell.cell_contents
        except ValueError:  # not set yet
            continue
    return values


def is_defined_in(function: Any, qualified_name: str) -> bool:
    """Whether this is an inner function of that name of FastAPI's, or of Starlette's where FastAPI takes that."""
    return (
        getattr(function, "__module__", None) in ("fastapi.routing", "starlette.routing")
        and getattr(function, "__qualname__", None) == qualified_name
    )


def is_coroutine_callable(dependant: Any) -> bool:
    """Whether FastAPI awaits a dependency's call, instead of running it in a thread."""
    return _asked("is_coroutine_callable", dependant)


def is_generator(dependant: Any) -> bool:
    """Whether a dependency's call makes a generator, in either colour, to FastAPI or by itself."""
    if _asked("is_gen_callable", dependant) or _asked("is_async_gen_callable", dependant):
        return True
    plain = inspect.unwrap(dependant.call)
    while isinstance(plain, functools.partial):
        plain = inspect.unwrap(plain.func)
    called = plain if inspect.isclass(plain) else getattr(plain, "__call__", None)  # noqa: B004
    return any(inspect.isgeneratorfunction(one) or inspect.isasyncgenfunction(one) for one in (plain, called))


def _asked(check: str, dependant: Any) -> bool:
    """What FastAPI itself says of a dependency's call: by a function, or in some versions by the dependant."""
    own = getattr(fastapi.dependencies.models, f"_{check}", None) or getattr(fastapi.dependencies.utils, check, None)
    return bool(getattr(dependant, check) if own is None else own(dependant.call))
