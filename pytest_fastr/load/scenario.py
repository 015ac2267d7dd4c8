"""What users do: requests, flows of them, and the values that go from one to the next. Plain values, checked when they
are made; during the load nothing of this is Python."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pytest_fastr import _native
from pytest_fastr.config import parse_duration
from pytest_fastr.errors import LoadError
from pytest_fastr.load import holes
from pytest_fastr.load.feed import Feed
from pytest_fastr.load.multipart import File, encode_multipart
from pytest_fastr.load.request import QueryValue, RequestSpec, build_request

HEAVIEST = 1_000_000


@dataclass(frozen=True, slots=True)
class Flow:
    """Requests that a user sends one after another, after a pause of the two seconds each but before the first.

    It ends when one of them fails.
    """

    name: str
    requests: tuple[RequestSpec, ...]
    weight: int = 1
    pause_s: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Scenario:
    """Flows, chosen in proportion to their weights; requests that each user sends once before; and feeds of values."""

    name: str
    flows: tuple[Flow, ...]
    start: tuple[RequestSpec, ...] = ()
    feeds: tuple[Feed, ...] = ()
    cookies: bool = False

    @property
    def requests(self) -> tuple[RequestSpec, ...]:
        """Every request once, in the order of the flows, those of the start last."""
        steps = [request for flow in self.flows for request in flow.requests]
        return tuple(dict.fromkeys([*steps, *self.start]))

    @property
    def timeout_s(self) -> float:
        """Seconds after which a request counts as failed: the longest of all."""
        return max(request.timeout_s for request in self.requests)

    def native_for(self, host: str) -> tuple[list[_native.Request], _native.Scenario]:
        """The requests for a server that is known as ``host``, and who sends them. Raises ValueError for a pattern or a
        JSON pointer that is none."""
        requests = self.requests
        index = {request: number for number, request in enumerate(requests)}
        slots = {name: slot for slot, name in enumerate(self._names())}
        low, high = 0, 1
        flows = [
            (
                flow.name,
                flow.weight,
                [(index[request], flow.pause_s[low], flow.pause_s[high]) for request in flow.requests],
            )
            for flow in self.flows
        ]
        scenario = _native.Scenario(
            flows,
            start=[index[request] for request in self.start],
            feeds=[feed.native(slots) for feed in self.feeds],
            slots=len(slots),
            cookies=self.cookies,
        )
        return [request.native_for(host, slots) for request in requests], scenario

    def alone(self) -> Iterator[Scenario]:
        """Each flow as a scenario of its own."""
        for flow in self.flows:
            yield replace(self, name=flow.name, flows=(flow,))

    def _names(self) -> tuple[str, ...]:
        fed = [name for feed in self.feeds for name in feed.columns]
        captured = [name for request in self.requests for name, _ in request.captures]
        return tuple(dict.fromkeys([*fed, *captured]))


def request(
    method: str,
    path: str,
    *,
    params: Mapping[str, QueryValue] | None = None,
    headers: Mapping[str, str] | None = None,
    json: Any = None,
    data: Mapping[str, QueryValue] | bytes | str | None = None,
    files: Mapping[str, File] | None = None,
    auth: tuple[str, str] | None = None,
    expect: int | None = 200,
    check: Sequence[_native._Check] = (),
    capture: Mapping[str, _native._Source] | None = None,
    look_every: int = 1,
    name: str | None = None,
    timeout: str | float = 10.0,
) -> RequestSpec:
    """A request of a scenario. ``${name}`` in any text is a placeholder; ``$${`` is a plain ``${``.

    Args:
        path: as after the host, starting with ``/``.
        params: added to the query.
        json: the body, as JSON.
        data: the body: a mapping as a form (or, with ``files``, as parts of it), bytes or text as they are.
        files: parts of a multipart form: bytes, (filename, bytes) or (filename, bytes, content type).
        auth: user and password of HTTP Basic authentication.
        expect: the status that makes an answer good; None takes any from 200 to 399.
        check: what a good answer has besides (``load.contains``, ``load.json_is``, ...), all of it.
        capture: names, and where in a good answer their values are (``load.json_at``, ...).
        look_every: checks only every so-manieth answer.
        name: how reports call it; default ``METHOD /path``.
        timeout: seconds, or a text such as ``"500ms"``, after which a request counts as failed.

    Raises LoadError that names the argument to change.
    """
    marked_headers = dict(holes.mark(headers or {}))
    body = holes.mark(data)
    if files is not None:
        if json is not None or not (data is None or isinstance(data, Mapping)):
            raise LoadError("files= goes together with data= as a mapping, and with nothing else")
        body, kind = encode_multipart(body or {}, holes.mark(files))
        marked_headers["content-type"] = kind
    title = name or f"{method.upper()} {path}"
    built = build_request(
        method,
        holes.mark(path),
        params=holes.mark(params),
        headers=marked_headers,
        json=holes.mark(json, in_json=True),
        data=body,
        expect=expect,
        name=title,
        timeout_s=parse_duration(timeout, f"{title}: timeout"),
        checks=check,
    )
    if auth is not None and "authorization" in {field.lower() for field in marked_headers}:
        raise LoadError(f"{title}: give auth= or an Authorization header, not both")
    if not 1 <= look_every < 2**31:
        raise LoadError(f"{title}: look_every={look_every!r} must be 1 or more")
    for key in capture or {}:
        if not key.isidentifier() or not key.isascii():
            raise LoadError(f"{title}: capture {key!r} must be a name of letters, digits and underscores")
    return replace(
        built,
        auth=None if auth is None else holes.mark(":".join(auth)),
        captures=tuple((capture or {}).items()),
        look_every=look_every,
    )


def get(path: str, **options: Any) -> RequestSpec:
    """A GET request; options as for :func:`request`."""
    return request("GET", path, **options)


def head(path: str, **options: Any) -> RequestSpec:
    """A HEAD request."""
    return request("HEAD", path, **options)


def post(path: str, **options: Any) -> RequestSpec:
    """A POST request."""
    return request("POST", path, **options)


def put(path: str, **options: Any) -> RequestSpec:
    """A PUT request."""
    return request("PUT", path, **options)


def patch(path: str, **options: Any) -> RequestSpec:
    """A PATCH request."""
    return request("PATCH", path, **options)


def delete(path: str, **options: Any) -> RequestSpec:
    """A DELETE request."""
    return request("DELETE", path, **options)


def flow(*requests: RequestSpec, weight: int = 1, pause: str | float | None = None, name: str | None = None) -> Flow:
    """Requests that a user sends one after another. ``pause``: between them, ``"100ms"`` or ``"1s-3s"``."""
    if not requests:
        raise LoadError("a flow needs at least one request")
    for one in requests:
        if not isinstance(one, RequestSpec):
            raise LoadError(f"flow(...) takes requests such as load.get('/'), not {type(one).__name__}")
    title = name or " > ".join(one.name for one in requests)
    if isinstance(weight, bool) or not isinstance(weight, int) or not 1 <= weight <= HEAVIEST:
        raise LoadError(f"flow {title!r}: weight={weight!r} must be a whole number from 1 to {HEAVIEST:,}")
    return Flow(title, requests, weight, _pause(pause, f"flow {title!r}: pause"))


def _pause(given: str | float | None, where: str) -> tuple[float, float]:
    if given is None:
        return 0.0, 0.0
    low, dash, high = given.partition("-") if isinstance(given, str) else (given, "", "")
    shortest = parse_duration(low.strip() if isinstance(low, str) else low, where)
    longest = parse_duration(high.strip(), where) if dash else shortest
    if longest < shortest:
        raise LoadError(f"{where} {given!r}: the first time is longer than the second")
    return shortest, longest


def scenario(
    *flows: Flow | RequestSpec,
    start: Iterable[RequestSpec] = (),
    feeds: Iterable[Feed] = (),
    cookies: bool = False,
    name: str | None = None,
) -> Scenario:
    """What users do. Each time a user is free a flow is chosen, in exact proportion to the weights; a request alone is
    a flow of weight 1.

    ``start``: requests that each user sends once before the load begins, which nothing counts. ``feeds``: each flow
    that begins takes the next row of each. ``cookies``: users keep them. Raises LoadError for what cannot be played.
    """
    made = tuple(flow(one) if isinstance(one, RequestSpec) else one for one in flows)
    if not made:
        raise LoadError("a scenario needs at least one flow or request")
    for one in made:
        if not isinstance(one, Flow):
            raise LoadError(f"scenario(...) takes flows and requests, not {type(one).__name__}")
    title = name or (made[0].name if len(made) == 1 else f"{len(made)} flows")
    whole = Scenario(title, made, tuple(start), tuple(feeds), cookies)
    _check_names(whole)
    _check_placeholders(whole)
    try:
        whole.native_for("localhost")
    except ValueError as error:
        raise LoadError(f"scenario {title!r}: {error}") from None
    return whole


def _check_names(scenario: Scenario) -> None:
    seen: set[str] = set()
    for name in [column for feed in scenario.feeds for column in feed.columns]:
        if name in seen:
            raise LoadError(f"two feeds have a column {name!r}")
        seen.add(name)
    for what, names in (
        ("requests", [one.name for one in scenario.requests]),
        ("flows", [one.name for one in scenario.flows]),
    ):
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise LoadError(f"two different {what} are called {twice!r}: tell them apart by name=")


def _check_placeholders(scenario: Scenario) -> None:
    known = {name for feed in scenario.feeds for name in feed.columns}
    _check_sequence(scenario.start, known, "the start")
    for request in scenario.start:
        known |= {name for name, _ in request.captures}
    for flow in scenario.flows:
        _check_sequence(flow.requests, known, f"flow {flow.name!r}")


def _check_sequence(requests: Sequence[RequestSpec], known: set[str], where: str) -> None:
    held = set(known)
    for request in requests:
        for name in request.placeholders:
            if name not in held:
                near = difflib.get_close_matches(name, held, n=1)
                hint = f"; did you mean ${{{near[0]}}}?" if near else ""
                raise LoadError(
                    f"{request.name}: nothing provides ${{{name}}}: no feed, no start request, and no request before "
                    f"it in {where}{hint}"
                )
        held |= {name for name, _ in request.captures}
