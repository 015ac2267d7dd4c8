"""The reference app: the fixed yardstick a stored baseline is measured against.

A baseline holds no absolute numbers. It holds the ratio of the app under test to this app, both loaded in
alternation on the same machine in the same seconds, so that what slows the whole machine down cancels out.
That only works while this app stays the same: **this file never changes without a new `REFERENCE_VERSION`,
which is a new version of the measuring protocol and makes every stored baseline void.** A test pins its
bytes.

It is an ASGI 3 application of the standard library alone, so that no dependency's release can move it. One
request (`GET /`) does what a request to a typical Python API does, in roughly 250 to 600 us of CPU on a
server core of the 2020s: it looks up headers, matches the bearer token, reads records from JSON, builds,
filters, sorts and groups objects, formats dates and prices, and writes JSON. Then it looks up prices all
over a table that no cache close to the core can hold. Applications touch much memory too, and where a
neighbour crowds the caches they slow down more than a small loop does: without the table, their ratio to
this app moved with the neighbours.

It is deterministic, builds no reference cycles, and always answers the same bytes, whatever the headers
say. All that it keeps between requests is its place in the table.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

REFERENCE_VERSION = 2
"""Part of the measuring protocol's version: raised with every change of this file."""

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

_PAGE_SIZE = 16
_OPENED = datetime(2024, 2, 29, 8, 30, tzinfo=timezone.utc)
_STATES = ("open", "paid", "packed", "shipped")
_FAMILIES = ("ABC", "KLM", "XYZ")
_COLOURS = ("red", "blue")
_BEARER = re.compile(r"^Bearer\s+(?P<token>[A-Za-z0-9._~+/-]{8,128})=*$")
_SKU = re.compile(r"^(?P<family>[A-Z]{3})-(?P<number>\d{4})(?:-(?P<colour>[a-z]+))?$")
_DEFAULT_TOKEN = "Bearer c2hvcC1yZWZlcmVuY2UtdG9rZW4"

# What a driver would hand over: rows as text, decoded anew by every request.
_ROWS = json.dumps(
    [
        {
            "id": 1000 + number,
            "sku": f"{_FAMILIES[number % 3]}-{(number * 37) % 10_000:04d}-{_COLOURS[number % 2]}",
            "cents": 250 + (number * 7919) % 9_000,
            "count": 1 + number % 5,
            "state": _STATES[number % 4],
            "minutes": (number * 977) % 20_000,
            "tags": ["gift", "fragile", "heavy"][: number % 4],
        }
        for number in range(30)
    ]
)


_TABLE_SIZE = 20_000
_LOOKUPS = 600
_KEYS = [f"sku-{(number * 7919) % _TABLE_SIZE:05d}" for number in range(_TABLE_SIZE)]
_TABLE = {
    f"sku-{number:05d}": (f"item {(number * 31) % 9973}", 250 + (number * 7919) % 9_000, number % 4)
    for number in range(_TABLE_SIZE)
}


class Walk:
    """Looks prices up in an order that never meets the same neighbourhood twice in a row."""

    def __init__(self) -> None:
        self._place = 0

    def total(self) -> int:
        """The sum over the next keys, of those that are not shipped."""
        start = self._place
        self._place = (start + _LOOKUPS) % _TABLE_SIZE
        total = 0
        for key in _KEYS[start : start + _LOOKUPS]:
            name, cents, state = _TABLE[key]
            if state != 3 and name:
                total += cents
        return total


_WALK = Walk()


@dataclass
class Line:
    """One line of an order, as a request handler holds it between the rows and the answer."""

    id: int
    family: str
    colour: str
    cents: int
    count: int
    state: str
    changed: datetime
    tags: list[str]

    @property
    def total(self) -> int:
        """Price of all pieces, in cents."""
        return self.cents * self.count


def _header(headers: Headers, name: bytes, default: str) -> str:
    for key, value in headers:
        if key == name:
            return value.decode("latin-1")
    return default


def _context(scope: Scope) -> dict[str, str]:
    """What middleware and dependencies take from a request before its handler runs."""
    headers: Headers = list(scope["headers"])
    context = {
        "host": _header(headers, b"host", "localhost"),
        "accept": _header(headers, b"accept", "*/*"),
        "encoding": _header(headers, b"accept-encoding", "identity"),
        "agent": _header(headers, b"user-agent", "-"),
        "request_id": _header(headers, b"x-request-id", "none"),
        "forwarded": _header(headers, b"x-forwarded-for", ""),
    }
    match = _BEARER.match(_header(headers, b"authorization", _DEFAULT_TOKEN))
    context["token"] = match.group("token") if match else "anonymous"
    context["log"] = (
        f"{context['host']} {scope['method']} {scope['path']} {context['agent']!r} {context['request_id']}"
    )
    return context


def _line(row: dict[str, Any]) -> Line:
    match = _SKU.match(row["sku"])
    family, colour = (match["family"], match["colour"]) if match else ("", "")
    changed = _OPENED + timedelta(minutes=row["minutes"])
    return Line(
        row["id"], family, colour, row["cents"], row["count"], row["state"], changed, list(row["tags"])
    )


def _money(cents: int) -> str:
    return f"{cents // 100:,}.{cents % 100:02d}"


def _shown(line: Line) -> dict[str, Any]:
    return {
        "id": line.id,
        "title": f"{line.family.lower()} in {line.colour}",
        "price": _money(line.cents),
        "count": line.count,
        "total": _money(line.total),
        "state": line.state,
        "changed": line.changed.isoformat(),
        "tags": sorted(tag.upper() for tag in line.tags),
    }


def _answer() -> bytes:
    lines = [_line(row) for row in json.loads(_ROWS)]
    active = [line for line in lines if line.state != "shipped" and line.total > 0]
    active.sort(key=lambda line: (-line.total, line.changed, line.id))
    totals: dict[str, int] = {}
    for line in lines:
        totals[line.state] = totals.get(line.state, 0) + line.total
    return json.dumps(
        {
            "version": REFERENCE_VERSION,
            "items": [_shown(line) for line in active[:_PAGE_SIZE]],
            "totals": {state: _money(totals[state]) for state in sorted(totals)},
            "page": {"size": _PAGE_SIZE, "count": len(active), "next": f"/?offset={_PAGE_SIZE}"},
        },
        separators=(",", ":"),
        ensure_ascii=False,
    ).encode("utf-8")


async def _respond(send: Send, status: int, body: bytes) -> None:
    headers: Headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode("ascii")),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await send({"type": "lifespan.shutdown.complete"})
            return


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """The ASGI application: `GET /` answers 200, another path 404, another method 405."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    if scope["type"] != "http":
        raise RuntimeError(f"the reference app speaks HTTP only, not {scope['type']}")
    _context(scope)  # for its work alone: the answer's bytes must not depend on what a client sends
    if scope["path"] != "/":
        await _respond(send, 404, b'{"detail":"not found"}')
    elif scope["method"] != "GET":
        await _respond(send, 405, b'{"detail":"method not allowed"}')
    else:
        _WALK.total()
        await _respond(send, 200, _answer())
