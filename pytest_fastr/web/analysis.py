"""What a route asks of FastAPI: facts for the classifier, and what the engine needs to serve it without."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from fastapi import params
from fastapi.dependencies.models import Dependant

from pytest_fastr import _native
from pytest_fastr.web import known, parameters, responses
from pytest_fastr.web.app_scope import AppScoped
from pytest_fastr.web.chain import INJECTED, SOURCES, AsyncChain, Plan, flatten
from pytest_fastr.web.simple import never_waits

BODY = "body"


class Analysis:
    """Of one route. ``handler``: the variables of FastAPI's request handler. ``convertors``: the path's parameters and
    the names of their convertors, from left to right.
    """

    def __init__(self, handler: Mapping[str, Any], convertors: dict[str, str]) -> None:
        self._handler = handler
        self._dependant: Dependant = handler["dependant"]
        # Asked for twice, by the facts and by the plan. A field is hashed by its identity.
        self._describe = cache(lambda field, source: parameters.describe(field, source, convertors))
        self._answer = responses.describe(handler)
        self._body = self._json_body()
        self._plan = flatten(self._dependant, self._describe, self._body.name if self._body is not None else "")
        direct = list(self._what_fastapi_makes())
        self.facts = [*self._what_is_read(), *direct]
        not_there = self._plan is not None and any(not value.is_open for value in self._plan.fixed.values())
        self.is_direct = bool(direct) or self._plan is None or not_there

    @property
    def has_form(self) -> bool:
        """Whether FastAPI reads a form."""
        field = self._handler["body_field"]
        return field is not None and isinstance(field.field_info, params.Form)

    def _json_body(self) -> Any | None:
        """The field of the one JSON body, if that is all the body there is."""
        fields = self._dependant.body_params
        if self._handler["body_field"] is None or self.has_form or self._handler["embed_body_fields"]:
            return None
        if len(fields) != 1 or getattr(fields[0].field_info, "embed", None) or fields[0].field_info.validate_default:
            return None
        return fields[0]

    def _what_is_read(self) -> Iterator[tuple[str, str]]:
        dependant = self._dependant
        for source in SOURCES:
            for field in getattr(dependant, f"{source}_params"):
                yield self._describe(field, source).fact, repr(field.name)
        if self._body is not None:
            yield "json_body", ""
        for one in dependant.dependencies:
            if not isinstance(one.call, AppScoped):
                yield "dependency", str(getattr(one.call, "__name__", None) or type(one.call).__name__)

    def _what_fastapi_makes(self) -> Iterator[tuple[str, str]]:
        dependant = self._dependant
        for kind in INJECTED:
            if name := getattr(dependant, f"{kind}_param_name", None):
                yield "injected", repr(name)
        if self._handler["body_field"] is not None and self._body is None:
            yield "other_body", "a form" if self.has_form else "a body of several parts"
        if isinstance(self._answer, str):
            yield "response", self._answer
        elif known.is_generator(dependant):
            yield "response", "a stream"

    def compiled(self, info: Any, run: str, cache: bool) -> _native.NativeRoute:
        """The form that the engine serves, of a route that is not direct. ``run``: where a handler that blocks runs."""
        plan, answer = self._plan, self._answer
        assert plan is not None
        assert not isinstance(answer, str)
        call, names, is_async = self._call(plan, run)
        return _native.NativeRoute.compiled(
            call,
            info,
            # Without a first step that could suspend, a task would be made for nothing.
            run=run if not is_async else "one_step" if never_waits(call) else "async",
            names=tuple(names),
            fixed=[value.value for value in plan.fixed.values()],
            arguments=[one.native for one in plan.arguments if one.native is not None],
            body=None if self._body is None else parameters.validator(self._body),
            respond=answer.respond,
            status=answer.status,
            media_type=answer.media_type,
            cache=cache and not names and len(plan.steps) == 1,
            overridable=bool(self._dependant.dependencies),
        )

    def _call(self, plan: Plan, run: str) -> tuple[Callable[..., Any], list[str], bool]:
        """What is called, the names of its arguments, and whether it makes a coroutine.

        A handler that may block is called by FastAPI's own thread pool, unless the route says where it runs.
        """
        names = [*plan.names, BODY] if self._body is not None else plan.names
        blocking = [step for step in plan.steps if not step.is_async]
        is_async = len(blocking) < len(plan.steps)
        if not is_async and run == "trial" and not all(never_waits(step.call) for step in blocking):
            return AsyncChain(tuple(plan.steps)), names, True
        handler = plan.steps[-1]
        own = {key: name for name, kind, key in handler.inputs if kind == "given"}
        if len(plan.steps) == 1 and len(handler.inputs) == len(names) and own.keys() == set(names):
            return handler.call, [own[name] for name in names], is_async
        return plan.chain, names, is_async
