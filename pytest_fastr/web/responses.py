"""What becomes of a handler's result, as far as it can be known beforehand."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import fastapi.routing
from fastapi.datastructures import DefaultPlaceholder
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from pydantic import BaseModel
from pydantic_core import SchemaSerializer

from pytest_fastr.web.parameters import validator

# Responses of exactly these classes have all their bytes when they are returned.
PLAIN_RESPONSES: tuple[type[Response], ...] = (
    Response,
    JSONResponse,
    HTMLResponse,
    PlainTextResponse,
    RedirectResponse,
)

_BODYLESS = (204, 205, 304)
# FastAPI writes a response model's JSON by pydantic, without a detour over Python objects.
_DUMPS_JSON = "dump_json" in inspect.signature(fastapi.routing.serialize_response).parameters

Native = tuple[str, Callable[..., Any] | None, Callable[..., Any] | None]


@dataclass(frozen=True)
class Answer:
    """``respond``, ``status`` and ``media_type`` are what the engine is told."""

    respond: Native
    status: int
    media_type: str | None


def describe(handler: Mapping[str, Any]) -> Answer | str:
    """From the variables of FastAPI's request handler. A text says what only FastAPI can make a response of."""
    given = handler["response_class"]
    by_default = isinstance(given, DefaultPlaceholder)
    response_class = given.value if by_default else given
    status = handler["status_code"] or 200
    if status < 200 or status in _BODYLESS:
        return f"status {status}"
    field = handler["response_field"]
    if response_class is JSONResponse:
        if field is None:
            return Answer(("json", None, None), status, _content_type(response_class))
        dump = _dump(field, _options(handler), by_default)
        return Answer(("model", validator(field), dump), status, _content_type(response_class))
    if response_class in (Response, HTMLResponse, PlainTextResponse):
        if field is not None and field.field_info.annotation is not str:
            return str(response_class.__name__)
        return Answer(("text", None, None), status, _content_type(response_class))
    return str(getattr(response_class, "__name__", response_class))


def _content_type(response_class: type[Response]) -> str | None:
    media_type = response_class.media_type
    if media_type is not None and media_type.startswith("text/") and "charset=" not in media_type.lower():
        return f"{media_type}; charset={response_class.charset}"
    return media_type


def _options(handler: Mapping[str, Any]) -> dict[str, Any]:
    names = ("include", "exclude", "by_alias", "exclude_unset", "exclude_defaults", "exclude_none")
    return {name: handler[f"response_model_{name}"] for name in names}


def _dump(field: Any, options: dict[str, Any], by_default: bool) -> Callable[[Any], bytes]:
    if not (_DUMPS_JSON and by_default):
        return partial(_dump_through_python, field, options)
    serializer = field._type_adapter.serializer
    if type(serializer) is SchemaSerializer:
        return partial(serializer.to_json, **options)
    return partial(field.serialize_json, **options)


def _dump_through_python(field: Any, options: dict[str, Any], value: Any) -> bytes:
    # Starlette's rendering makes no use of the response that it is a method of.
    return JSONResponse.render(None, field.serialize(value, **options))  # type: ignore[arg-type]


def dump_model(model: BaseModel) -> Any:
    """A model as ``jsonable_encoder`` dumps it, to plain values."""
    return model.model_dump(
        mode="json", include=None, exclude=None, by_alias=True, exclude_unset=False, exclude_none=False,
        exclude_defaults=False,
    )  # fmt: skip
