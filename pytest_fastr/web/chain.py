"""A route's dependencies as one list of calls, in FastAPI's order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any, Literal

from fastapi.dependencies.models import Dependant
from starlette.concurrency import run_in_threadpool

from pytest_fastr.web import known
from pytest_fastr.web.app_scope import AppScoped
from pytest_fastr.web.parameters import Argument

SOURCES = ("path", "query", "header", "cookie")
INJECTED = ("request", "http_connection", "websocket", "response", "background_tasks", "security_scopes")

Describe = Callable[[Any, str], Argument]

# What an argument of a step is: something given with the request, or what an earlier step returned.
Input = tuple[str, Literal["given", "result"], Any]


@dataclass(frozen=True)
class Step:
    """One call."""

    call: Callable[..., Any]
    is_async: bool
    inputs: tuple[Input, ...]

    def arguments(self, given: Mapping[str, Any], results: Sequence[Any]) -> dict[str, Any]:
        """By name."""
        return {name: given[key] if kind == "given" else results[key] for name, kind, key in self.inputs}


@dataclass(frozen=True)
class SyncChain:
    """All calls block: they run one after the other, each in a context of its own, as in FastAPI's thread pool."""

    steps: tuple[Step, ...]

    def __call__(self, **given: Any) -> Any:
        results: list[Any] = []
        for step in self.steps:
            results.append(copy_context().run(step.call, **step.arguments(given, results)))
        return results[-1]


@dataclass(frozen=True)
class AsyncChain:
    """Some calls are coroutines: all run in one task, those that block in FastAPI's thread pool."""

    steps: tuple[Step, ...]

    async def __call__(self, **given: Any) -> Any:
        results: list[Any] = []
        for step in self.steps:
            arguments = step.arguments(given, results)
            if step.is_async:
                results.append(await step.call(**arguments))
            else:
                results.append(await run_in_threadpool(step.call, **arguments))
        return results[-1]


@dataclass
class Plan:
    """What is read from the request, by the names that the steps know it by, and the steps; the last is the handler."""

    arguments: list[Argument] = field(default_factory=list)
    fixed: dict[str, AppScoped[Any]] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)

    @property
    def chain(self) -> SyncChain | AsyncChain:
        """The steps as one handler."""
        kind = AsyncChain if any(step.is_async for step in self.steps) else SyncChain
        return kind(tuple(self.steps))

    @property
    def names(self) -> list[str]:
        """Of the handler's arguments: the fixed ones, then those that are read."""
        return [*self.fixed, *(f"read{number}" for number in range(len(self.arguments)))]


class _NotFlatError(Exception):
    """A dependency that only FastAPI can solve."""


def flatten(root: Dependant, describe: Describe, body: str) -> Plan | None:
    """The plan of a route; None when one of its dependencies has more to it. ``describe``: reads a field of a source.
    ``body``: the handler's argument for it, empty when it has none."""
    plan = Plan()
    try:
        _visit(root, plan, describe, {}, body)
    except _NotFlatError:
        return None
    return plan


def _visit(
    dependant: Dependant, plan: Plan, describe: Describe, known_results: dict[Any, int], body: str | None
) -> int:
    """Adds the steps of a dependency, or of the handler (``body`` is a text). Returns where the result is."""
    inputs: list[Input] = []
    for one in dependant.dependencies:
        if isinstance(one.call, AppScoped):
            plan.fixed[f"fixed{id(one.call)}"] = one.call
            value: Input = (one.name or "", "given", f"fixed{id(one.call)}")
        else:
            value = (one.name or "", "result", _visit(one, plan, describe, known_results, None))
        if one.name is not None:
            inputs.append(value)
    if body is None and (not _is_plain(dependant) or dependant.body_params):
        raise _NotFlatError
    if body is None and dependant.use_cache and dependant.call in known_results:
        return known_results[dependant.call]
    for source in SOURCES:
        for one_field in getattr(dependant, f"{source}_params"):
            argument = describe(one_field, source)
            if argument.native is None:
                raise _NotFlatError
            inputs.append((argument.name, "given", f"read{len(plan.arguments)}"))
            plan.arguments.append(argument)
    if body:
        inputs.append((body, "given", "body"))
    assert dependant.call is not None
    plan.steps.append(Step(dependant.call, known.is_coroutine_callable(dependant), tuple(inputs)))
    known_results.setdefault(dependant.call, len(plan.steps) - 1)
    return len(plan.steps) - 1


def _is_plain(dependant: Dependant) -> bool:
    """Whether a dependency is a call that gets parameters and returns a value."""
    return not (
        any(getattr(dependant, f"{kind}_param_name", None) for kind in INJECTED)
        or known.is_generator(dependant)
        or getattr(dependant, "concurrency", None) is not None
        or getattr(dependant, "own_oauth_scopes", None)
        or getattr(dependant, "security_requirements", None)
        or getattr(dependant, "security_scopes", None)
    )
