"""FastAPI's fields of parameters, as the engine reads them."""

from __future__ import annotations

import enum
import types
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Union, get_args, get_origin

import annotated_types
from fastapi import params
from fastapi.dependencies import utils
from pydantic_core import SchemaValidator

from pytest_fastr.web import known

# Larger bounds are left to pydantic.
MAX_BOUND = 2**62

_BOUNDS = {
    annotated_types.Ge: "ge",
    annotated_types.Gt: "gt",
    annotated_types.Le: "le",
    annotated_types.Lt: "lt",
    annotated_types.MinLen: "min_length",
    annotated_types.MaxLen: "max_length",
}
_SCALARS = {str: "str", int: "int", float: "float", bool: "bool"}
_CONVERTED = {"int": int, "float": float}

Reading = str | tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Argument:
    """A parameter of a handler: ``native`` is what the engine is told; None when FastAPI has to read it.

    ``fact``: the classifier's name for what it takes.
    """

    name: str
    fact: str
    native: tuple[str, Any, Reading, str, Any, Callable[..., Any] | None] | None


def describe(field: Any, source: str, convertors: dict[str, str]) -> Argument:
    """``convertors``: the names of the path's parameters, from left to right, and their convertors' names."""
    info = field.field_info
    alias = _only_alias(field)
    if alias is None or not isinstance(info, params.Param) or info.validate_default:
        return Argument(field.name, "other_param", None)
    key: Any = alias
    reading = _reading(field)
    if source == "path":
        if alias not in convertors:
            return Argument(field.name, "other_param", None)
        key = list(convertors).index(alias)
        reading = _path_reading(reading, convertors[alias])
    if reading is None:
        return Argument(field.name, "other_param", None)
    scalar = isinstance(reading, tuple)
    default = _default(field)
    native = (source, key, reading, *default, None if scalar else validator(field))
    return Argument(field.name, "scalar_param" if scalar else "validated_param", native)


def validator(field: Any) -> Callable[..., Any]:
    """What FastAPI calls to validate a field's value: ``validate(value, from_attributes=True)``."""
    adapter = field._type_adapter
    inner = adapter.validator
    return inner.validate_python if type(inner) is SchemaValidator else adapter.validate_python


def _only_alias(field: Any) -> str | None:
    """The one name under which a request has the parameter; None when there are several."""
    own = getattr(utils, "_get_param_aliases", None)
    if own is not None:
        aliases = {request for _, request in own(field)}
        return aliases.pop() if len(aliases) == 1 else None
    validation_alias = field.field_info.validation_alias
    return str(field.alias) if validation_alias in (None, field.alias) else None


def _reading(field: Any) -> Reading | None:
    info = field.field_info
    annotation = info.annotation
    if getattr(field, "config", None):
        return None
    optional = False
    members = get_args(annotation)
    if get_origin(annotation) in (Union, types.UnionType) and len(members) == 2 and type(None) in members:
        optional = True
        annotation = next(member for member in members if member is not type(None))
    scalar = _SCALARS.get(annotation) if isinstance(annotation, type) else None
    if scalar is not None:
        bounds = _bounds(scalar, info.metadata)
        if bounds is not None and not (optional and bounds):
            return scalar, bounds
        return "text"
    if not _is_plain(annotation):
        return None
    return "texts" if known.is_sequence(info.annotation) else "text"


def _is_plain(annotation: Any) -> bool:
    """Whether FastAPI reads the parameter as one text or a list of texts."""
    if get_origin(annotation) is Annotated:
        return _is_plain(get_args(annotation)[0])
    return known.is_text(annotation)


def _bounds(scalar: str, metadata: list[Any]) -> dict[str, Any] | None:
    """The bounds that the engine checks; None when there is more to it."""
    bounds: dict[str, Any] = {}
    for item in metadata:
        name = _BOUNDS.get(type(item))
        if name is None or name in bounds:
            return None
        value = getattr(item, name)
        length = name in ("min_length", "max_length")
        allowed = (int,) if length or scalar == "int" else (int, float)
        fits = length == (scalar == "str") and scalar != "bool"
        if not fits or type(value) not in allowed or not abs(value) < MAX_BOUND:
            return None
        bounds[name] = value
    return bounds


def _path_reading(reading: Reading | None, convertor: str) -> Reading | None:
    """A path's convertor comes before the validation, which must fit it."""
    if convertor in ("str", "path"):
        return reading if reading != "texts" else None
    if convertor in _CONVERTED and isinstance(reading, tuple) and reading[0] == convertor:
        return reading
    return None


def _default(field: Any) -> tuple[str, Any]:
    info = field.field_info
    if info.is_required():
        return "required", None
    if info.default_factory is None and _is_immutable(info.default):
        return "value", info.default
    return "factory", partial(_copy_of_default, field)


def _copy_of_default(field: Any) -> Any:
    return deepcopy(field.default)


def _is_immutable(value: Any) -> bool:
    return value is None or type(value) in (str, int, float, bool, bytes) or isinstance(value, enum.Enum)
