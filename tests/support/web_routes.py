"""Random handlers and their routes, as source, and what requests need to know of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random

from support import web_dependencies
from support.web_bodies import Body, body
from support.web_params import Declared, Hint, Place, model_parameter, parameter, path, signature
from support.web_returns import ERRORS, Return, ending


@dataclass(frozen=True, slots=True)
class Target:
    """What a client can ask for: ``path`` is a template whose parameters are among ``hints``."""

    path: str
    methods: tuple[str, ...] = ("GET",)
    hints: tuple[Hint, ...] = ()
    body: Body | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """Statements of an application that it could do without."""

    source: str
    targets: tuple[Target, ...] = ()


_METHODS = ("get", "get", "get", "get", "post", "put", "patch", "delete", "head", "options")


def route(rng: Random, owner: str, prefix: str, number: int) -> Piece:
    """A route of ``owner`` (a name in the source), which answers below ``prefix``."""
    template, declared = path(rng, number)
    declared = [*declared, *_parameters(rng)]
    definitions, wanted = "", None
    method = rng.choice(_METHODS)
    if (method in ("post", "put", "patch") and rng.random() < 0.85) or rng.random() < 0.03:
        definitions, inputs, wanted = body(rng, number)
        declared += inputs
    names = [one.name for one in declared]
    extras, lines = _extras(rng)
    end = ending(rng, names)
    body_lines = [f"note({', '.join([repr(f'handler_{number}'), *names])})", *lines, end.statement]
    if rng.random() < 0.04 and names:
        body_lines.insert(-1, f"if {names[0]}:\n        {rng.choice(ERRORS)}")
    is_async = rng.random() < 0.6
    if is_async:
        body_lines.insert(1, 'note("task", asyncio.current_task() is not None)')
    word = "async def" if is_async else "def"
    head = f"{word} handler_{number}({signature(rng, [*declared, *extras])}){end.annotation}:"
    if rng.random() < 0.04:
        head = f"@{rng.choice(('traced', 'traced_async') if is_async else ('traced',))}\n{head}"
    handler = "\n    ".join([head, *body_lines]) + "\n"
    methods, source = _register(rng, (owner, template, number), method, (handler, end))
    hints = (*(hint for one in declared for hint in one.hints), *web_dependencies.HINTS)
    return Piece(definitions + source, (Target(prefix + template, methods, hints, wanted),))


def _parameters(rng: Random) -> list[Declared]:
    declared: list[Declared] = []
    count = rng.choice((0, 0, 1, 1, 2, 3))
    places: tuple[Place, ...] = ("query", "query", "query", "query", "header", "cookie")
    for index in range(count):
        place = rng.choice(places)
        declared.append(parameter(rng, place, f"{place[0]}{'_x' if place == 'header' else ''}{index}"))
    taken = {hint.place for one in declared for hint in one.hints}
    for place in dict.fromkeys(places):
        if place not in taken and rng.random() < (0.06 if place == "query" else 0.02):
            declared.append(model_parameter(rng, place, f"model_{place}"))
    return declared


def _extras(rng: Random) -> tuple[list[Declared], list[str]]:
    """Parameters that are no input, and the lines that use them."""
    declared, lines = [], []
    if rng.random() < 0.35:
        for index in range(rng.choice((1, 1, 2))):
            use = rng.choice(web_dependencies.USES)
            declared.append(Declared(f"dep{index}", f"dep{index}={use}"))
            lines.append(f'note("dep", dep{index} if isinstance(dep{index}, (int, str, list)) else "object")')
            if "context" in use:
                lines.append('note("current", current.get())')
    if rng.random() < 0.12:
        declared.append(Declared("request", "request: Request"))
        lines.append(rng.choice(_REQUEST_LINES))
    if rng.random() < 0.12:
        declared.append(Declared("response", "response: Response"))
        lines.append(rng.choice(_RESPONSE_LINES))
    if rng.random() < 0.1:
        declared.append(Declared("tasks", "tasks: BackgroundTasks"))
        lines.append(rng.choice(_TASK_LINES))
    return declared, lines


_REQUEST_LINES = (
    'note(str(request.url), str(request.base_url), request.method)', 'note(sorted(request.headers.items()))',
    'note(request.client.host, request.scope["path"], request.scope["raw_path"], request.scope["root_path"])',
    'note(request.path_params, request.query_params.multi_items())', 'note(request.cookies)',
    'note(sorted(vars(request.state).get("_state", {})), request.scope["type"], request.scope["http_version"])',
    'note(request.scope["headers"])', 'note(request.scope["query_string"], request.scope["scheme"])',
    'note(getattr(request.scope.get("route"), "path", None), request.scope["endpoint"].__name__)',
    'note(request.scope["client"][0], request.scope["server"][0], request.scope["method"])',
    'note(request.url.include_query_params(a=1).path, request.url.query)',
)  # fmt: skip

_RESPONSE_LINES = (
    'response.headers["x-set"] = "by the handler"', 'response.set_cookie("c", "1"); response.set_cookie("d", "2")',
    "response.status_code = 202", 'response.status_code = 204', 'response.headers["content-type"] = "text/odd"',
    'response.headers.append("x-m", "1"); response.headers.append("X-M", "2")', 'response.delete_cookie("gone")',
    'response.headers["cache-control"] = "no-store"; response.status_code = 299',
)  # fmt: skip

_TASK_LINES = (
    'tasks.add_task(later, "sync")', 'tasks.add_task(later_async, "async")', 'tasks.add_task(later, "failing", True)',
    'tasks.add_task(later, "first"); tasks.add_task(later_async, "second"); tasks.add_task(later, "third", fails=True)',
)  # fmt: skip


def _register(
    rng: Random, where: tuple[str, str, int], method: str, what: tuple[str, Return]
) -> tuple[tuple[str, ...], str]:
    """The handler with its decorator, or with a call. Returns the methods too."""
    (owner, template, number), (handler, end) = where, what
    options = list(end.options)
    if rng.random() < 0.1:
        use = rng.choice(web_dependencies.USES)
        options.append(f"dependencies=[{use}]")
    if rng.random() < 0.1:
        options.append('tags=["t"], summary="s", deprecated=True')
    style = rng.random()
    if style < 0.8:
        return (method.upper(),), f"@{owner}.{method}({', '.join([repr(template), *options])})\n{handler}"
    methods = tuple({method.upper(): None, rng.choice(("GET", "POST", "PUT", "HEAD", "PURGE")): None})
    options.append(f"methods={list(methods)!r}")
    if style < 0.9:
        return methods, f"@{owner}.api_route({', '.join([repr(template), *options])})\n{handler}"
    endpoint = rng.choice((f"handler_{number}", f"handler_{number}", f"functools.partial(handler_{number})"))
    arguments = ", ".join([repr(template), endpoint, *options])
    return methods, f"{handler}\n{owner}.add_api_route({arguments})\n"


def literal_twin(rng: Random, owner: str, target: Target, prefix: str, number: int) -> Piece:
    """A literal route that a template also matches; the order of the two decides."""
    own = target.path.removeprefix(prefix)
    plain = re.sub(r"\{[^}]*\}", lambda match: "12" if ":int" in match[0] or ":float" in match[0] else "abc", own)
    method = rng.choice((target.methods[0], "GET")).lower()
    if method not in ("get", "post", "put", "patch", "delete", "head", "options"):
        method = "get"
    source = f'@{owner}.{method}({plain!r})\nasync def twin_{number}():\n    note("twin")\n    return "twin"\n'
    return Piece(source, (Target(prefix + plain, (method.upper(),)),))
