"""What users do: requests, flows of them, and the values that go from one to the next. Plain values, checked when they
are made; during the load nothing of this is Python."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pytest_fastr import _native
from pytest_fastr.errors import LoadError
from pytest_fastr.keys import parse_duration
from pytest_fastr.load import holes
from pytest_fastr.load.check import sources
from pytest_fastr.load.feed import Feed
from pytest_fastr.load.multipart import File, encode_multipart
from pytest_fastr.load.request import Pairs, RequestSpec, build_request
from pytest_fastr.load.shape import parse_pause

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
        """The requests for a server that is known as ``host``, and who sends them."""
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
    params: Pairs | None = None,
    headers: Mapping[str, str] | None = None,
    json: Any = None,
    data: Pairs | bytes | str | None = None,
    files: Mapping[str, File] | None = None,
    auth: tuple[str, str] | None = None,
    expect: int | None = 200,
    check: _native._Check | Sequence[_native._Check] = (),
    capture: Mapping[str, _native._Source] | None = None,
    look_every: int = 1,
    name: str | None = None,
    timeout: str | float = 10.0,
) -> RequestSpec:
    """A request of a scenario. ``${name}`` in any text or bytes is a placeholder; ``$${name}`` is plain ``${name}``.

    Args:
        path: as after the host, starting with ``/``; or a single placeholder, whose value is a link to follow.
        params: added to the query.
        json: the body, as JSON.
        data: the body: a mapping as a form (or, with ``files``, as parts of it), bytes or text as they are.
        files: parts of a multipart form: bytes, (filename, bytes) or (filename, bytes, content type).
        auth: user and password of HTTP Basic authentication.
        expect: the status that makes an answer good; None takes any from 200 to 399.
        check: what a good answer has besides (``load.contains``, ``load.json_is``, ...), all of it.
        capture: names, and where in a good answer their values are (``load.from_json``, ...).
        look_every: checks only every so-manieth answer.
        name: how reports call it; default ``METHOD /path``.
        timeout: seconds, or a text such as ``"500ms"``, after which a request counts as failed.

    Raises LoadError that names the argument to change.
    """
    title = name or f"{method.upper()} {path}"
    marked_headers = {field: holes.mark(value, "field") for field, value in (headers or {}).items()}
    given = {field.lower(): value for field, value in marked_headers.items()}
    body = holes.mark(data, _form_of(data, str(given.get("content-type", ""))))
    if files is not None:
        if json is not None or not (data is None or isinstance(data, Mapping)):
            raise LoadError(f"{title}: files= goes together with data= as a mapping, and with nothing else")
        if "content-type" in given:
            raise LoadError(f"{title}: leave the header content-type out: files= needs one of its own")
        body, marked_headers["content-type"] = encode_multipart(data or {}, files)
    if auth is not None and "authorization" in given:
        raise LoadError(f"{title}: give auth= or an Authorization header, not both")
    if not isinstance(look_every, int) or not 1 <= look_every < 2**31:
        raise LoadError(f"{title}: look_every={look_every!r} must be 1 or more")
    try:
        built = build_request(
            method,
            holes.mark_path(path),
            params=holes.mark(params, "url"),
            headers=marked_headers,
            json=holes.mark(json, "json_text"),
            data=body,
            expect=expect,
            name=name,
            timeout_s=parse_duration(timeout, f"{title}: timeout"),
            checks=check,
        )
    except LoadError as error:
        raise LoadError(holes.shown(str(error))) from None
    return replace(
        built,
        name=holes.shown(built.name),
        auth=None if auth is None else _user_and_password(auth, title),
        captures=sources({} if capture is None else capture, title),
        look_every=look_every,
    )


def _form_of(data: object, content_type: str) -> holes.Form:
    """How values are written into ``data``. Text and bytes are what their content type says."""
    kind = content_type.partition(";")[0].strip().lower()
    if isinstance(data, Mapping) or kind == "application/x-www-form-urlencoded":
        return "form"
    return "json_text" if kind == "application/json" or kind.endswith("+json") else "text"


def _user_and_password(auth: tuple[str, str], title: str) -> str:
    pair = auth if isinstance(auth, tuple) and [type(one) for one in auth] == [str, str] else None
    if pair is None or ":" in pair[0]:
        raise LoadError(f"{title}: auth= takes (user, password), two texts, the first without a colon")
    return str(holes.mark(":".join(pair), "text"))


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
    pause_s = (0.0, 0.0) if pause is None else parse_pause(pause, f"flow {title!r}: pause")
    return Flow(title, requests, weight, pause_s)


def scenario(
    *flows: Flow | RequestSpec,
    start: RequestSpec | Iterable[RequestSpec] = (),
    feeds: Feed | Iterable[Feed] = (),
    cookies: bool = False,
    name: str | None = None,
) -> Scenario:
    """What users do. Each time a user is free a flow is chosen, in exact proportion to the weights; a request alone is
    a flow of weight 1.

    ``start``: requests that each user sends once before the load begins, which nothing counts. ``feeds``: each flow
    that begins takes the next row of each, or each user one for good (``per_user=True``). ``cookies``: users keep them.
    Raises LoadError for what cannot be played.
    """
    made = tuple(flow(one) if isinstance(one, RequestSpec) else one for one in flows)
    if not made:
        raise LoadError("a scenario needs at least one flow or request")
    for one in made:
        if not isinstance(one, Flow):
            raise LoadError(f"scenario(...) takes flows and requests, not {type(one).__name__}")
    first = (start,) if isinstance(start, RequestSpec) else tuple(start)
    if not all(isinstance(one, RequestSpec) for one in first):
        raise LoadError(f"start= takes requests such as load.get('/'), not {start!r}")
    fed = (feeds,) if isinstance(feeds, Feed) else tuple(feeds)
    if not all(isinstance(one, Feed) for one in fed):
        raise LoadError(f"feeds= takes feeds such as load.csv('users.csv'), not {feeds!r}")
    title = name or (made[0].name if len(made) == 1 else f"{len(made)} flows")
    whole = Scenario(title, made, first, fed, cookies)
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
    fed = {name for feed in scenario.feeds for name in feed.columns}
    kept = {name for feed in scenario.feeds if feed.per_user for name in feed.columns}
    captured: set[str] = set()
    for request in scenario.start:
        early = next((name for name in request.placeholders if name in fed - kept - captured), None)
        if early is not None:
            raise LoadError(
                f"{request.name}: takes ${{{early}}} from a feed whose rows belong to flows, and start requests come "
                "before any flow: give the feed per_user=True, or make it the first request of a flow"
            )
        captured |= {name for name, _ in request.captures}
    _check_sequence(scenario.start, kept, "the start")
    for flow in scenario.flows:
        _check_sequence(flow.requests, fed | captured, f"flow {flow.name!r}")


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
