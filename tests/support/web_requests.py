"""A seeded generator of requests for an application: valid, invalid and strange ones."""

from __future__ import annotations

import re
from random import Random
from typing import Any
from urllib.parse import quote, urlencode

from support.web_apps import App
from support.web_bodies import CONTENT_TYPES, ODD_BODIES, encode, mutate
from support.web_kinds import text
from support.web_params import Hint
from support.web_routes import Target
from support.web_wire import Fields, Request

# What may stand unescaped in a target, for a server that is strict about it.
_PATH_SAFE = "!$&'()*+,;=:@~-._/[]{}|^\\\""
_QUERY_SAFE = "!$'()*+,;:@~-._/?[]|^\\{}"

_PATHS = (
    "/", "//", "/nowhere", "/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect", "/common", "/common/",
    "/items/1",
    "/items/x/", "//items/1", "/./items/1", "/items/../items/1", "/items//1", "/%69tems/1", "/r1%2F2", "/r1", "/r2",
    "/r3/1",
    "/old/r1", "/proxied/r1", "/api/r1", "/r1/%2e%2e/r2", "/%", "/%zz", "/%00", "/*", "/;a=b", "/r1?", "/r1??a=b", "/?",
    "*",
    "http://other.example/items/1?skip=1", "http://other.example", "http://shop.example:81/r1", "http://h?skip=2",
)  # fmt: skip

_METHODS = (
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE", "get", "Post", "head", "QUERY",
)  # fmt: skip

_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"origin", b"https://shop.example"), (b"Origin", b"https://evil.example"), (b"accept-encoding", b"gzip, br"),
    (b"Access-Control-Request-Method", b"PUT"), (b"access-control-request-headers", b"x-token, X-Other"),
    (b"accept", b"text/html"), (b"user-agent", b"test/1.0"), (b"x-forwarded-for", b"10.0.0.1"),
    (b"range", b"bytes=2-7"),
    (b"range", b"bytes=0-1,5-6"), (b"range", b"bytes=-5"), (b"range", b"bytes=900-"), (b"range", b"items=1"),
    (b"if-none-match", b"*"), (b"if-modified-since", b"Wed, 21 Oct 2065 07:28:00 GMT"), (b"if-range", b'"x"'),
    (b"authorization", b"Bearer token"), (b"Authorization", b"bearer  two words"), (b"authorization", b"Basic dTpw"),
    (b"authorization", b"Basic !!!"), (b"authorization", b"Basic"), (b"authorization", b""), (b"x-key", b"k"),
    (b"x-token", b"caf\xe9"), (b"X-Token", b"  padded\t"), (b"x-token", b""), (b"x_token", b"under"),
    (b"x-other", b"\xc3\xa9"),
    (b"cookie", b"key=k; c0=1"), (b"cookie", b'c0="quoted \\"x\\""; c1="1'), (b"cookie", b"c0"),
    (b"cookie", b"=v;;c0=2;c0=3"),
    (b"cookie", b"c0=a=b; $Version=1; c1=%20"), (b"Cookie", b""), (b"cookie", b'c0="\\303\\251"; c1=caf\xe9'),
    (b"connection", b"close"), (b"x-long", b"v" * 3000),
)  # fmt: skip

_HOSTS = (
    b"shop.example",
    b"shop.example:8000",
    b"a.ok.example",
    b"evil.example",
    b"SHOP.EXAMPLE",
    b"api1.ok.example",
    b"[::1]:1",
)

_ODD_QUERIES = (
    "", "&", "&&", "=", "a", "a=", "=b", "a=1&a=2", "a&b", "a;b", "skip=1;skip=2", "skip=1&skip=2", "skip=%31",
    "sk%69p=1",
    "skip=1&&&", "skip", "skip=", "skip=+1", "skip=%2B1", "skip=%201", "a=%", "a=%zz&skip=%E2%82", "skip=%00",
    "%FF=%ff",
    "skip=1?skip=2", "a[b]=c", "limit=5&limit=x&order=up", "limit=0", "tags=a&tags=b&other=1", "q0=a%26b%3Dc",
    "q0=1&q0=2&q0=",
    "stop=1", "skip=5", "skip=-1", "skip=2", "key=k", "x" * 3000, "&".join(f"k{n}={n}" for n in range(300)), "fail=1",
)  # fmt: skip


def requests(seed: int, app: App, count: int) -> list[Request]:
    """The requests of a seed."""
    rng = Random(f"requests {seed}")
    targets = app.targets
    return [
        _stray(rng) if not targets or rng.random() < 0.06 else _aimed(rng, rng.choice(targets)) for _ in range(count)
    ]


def _stray(rng: Random) -> Request:
    """One that aims at nothing in particular."""
    return Request(rng.choice(("GET", "GET", *_METHODS)), rng.choice(_PATHS), _headers(rng, [], "odd"))


def _aimed(rng: Random, target: Target) -> Request:
    mood = rng.choice(("fine", "fine", "fine", "fine", "fine", "wrong", "wrong", "odd", "odd"))
    method = rng.choice(_METHODS) if rng.random() < (0.2 if mood == "odd" else 0.04) else rng.choice(target.methods)
    wire_path = _path(rng, target, mood)
    query = _query(rng, target.hints, mood)
    body, extra = _body(rng, target, method, mood)
    headers = _headers(rng, [*_fields(rng, target.hints, mood), *extra], mood)
    chunks: tuple[int, ...] = ()
    if body is not None and rng.random() < 0.2:
        chunks = rng.choice(((1,), (3, 7, 100), (len(body) or 1,), (4096,))) if len(body) < 500 else (1000, 30_000)
    version = "1.0" if not chunks and rng.random() < 0.02 else "1.1"
    return Request(method, wire_path + query, headers, body, chunks, rng.random() < 0.5, version)


def _path(rng: Random, target: Target, mood: str) -> str:
    kinds = {hint.name: hint.kind for hint in target.hints if hint.place == "path"}

    def fill(match: re.Match[str]) -> str:
        name, _, convertor = match[1].partition(":")
        kind = kinds.get(name)
        value = text(rng, kind, mood) if kind is not None else "abc"
        if convertor == "path" and rng.random() < 0.5:
            value += rng.choice(("/x/y", "/", "//", "/../z"))
        return _escape(rng, value, _PATH_SAFE if mood != "fine" else "", mood)

    path = "".join(
        fill(part) if isinstance(part, re.Match) else quote(part, safe=_PATH_SAFE) for part in _parts(target.path)
    )
    twist = rng.random() if mood == "odd" else 1.0
    if twist < 0.15:
        path = path.removesuffix("/") if path.endswith("/") and len(path) > 1 else path + "/"
    elif twist < 0.3:
        path = rng.choice(
            ("/" + path, path.replace("/", "//", 2), "/." + path, path + "/..", path + "%2F", path + ";x=1")
        )
    elif twist < 0.4:
        path = "".join(f"%{ord(one):02x}" if one.isalnum() and rng.random() < 0.3 else one for one in path)
        path = re.sub(r"%%[0-9a-f]{2}|%[0-9a-f]%[0-9a-f]{2}.", "%41", path)
    return path


def _parts(template: str) -> list[str | re.Match[str]]:
    parts: list[str | re.Match[str]] = []
    at = 0
    for match in re.finditer(r"\{([^}]*)\}", template):
        parts += [template[at : match.start()], match]
        at = match.end()
    return [*parts, template[at:]]


def _escape(rng: Random, value: str, safe: str, mood: str) -> str:
    """Percent-encoded, in lower case sometimes, and in an odd mood with bytes that are no UTF-8."""
    escaped = quote(value.encode("utf-8", "surrogatepass"), safe=safe)
    if mood == "odd" and rng.random() < 0.2:
        escaped += rng.choice(
            ("%FF", "%c3", "%E2%82", "%00", "%0A", "%", "%4", "%zz", "%2F", "%2f", "+", "%2B", "%20", "%25")
        )
    if rng.random() < 0.2:
        escaped = re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), escaped)
    return escaped


def _query(rng: Random, hints: tuple[Hint, ...], mood: str) -> str:
    if mood == "odd" and rng.random() < 0.3:
        return "?" + rng.choice(_ODD_QUERIES)
    items = [
        f"{quote(hint.name)}={_escape(rng, text(rng, hint.kind, mood), _QUERY_SAFE if mood == 'odd' else '', mood)}"
        for hint in hints
        if hint.place == "query" and _said(rng, hint, mood)
        for _ in range(rng.choice((1, 1, 2, 3)) if hint.kind.many or mood == "odd" else 1)
    ]
    if mood == "odd" and rng.random() < 0.5:
        items.insert(rng.randrange(len(items) + 1), rng.choice(_ODD_QUERIES[:30]))
    rng.shuffle(items)
    return "?" + "&".join(items) if items else ""


def _said(rng: Random, hint: Hint, mood: str) -> bool:
    return rng.random() < (1.0 if mood == "fine" else 0.85) if hint.required else rng.random() < 0.35


def _fields(rng: Random, hints: tuple[Hint, ...], mood: str) -> list[tuple[bytes, bytes]]:
    fields, cookies = [], []
    for hint in hints:
        if hint.place not in ("header", "cookie") or not _said(rng, hint, mood):
            continue
        value = re.sub(rb"[\x00-\x1f\x7f]", b"", text(rng, hint.kind, mood).encode("utf-8", "replace"))
        if hint.place == "cookie":
            cookies.append(hint.name.encode() + b"=" + value)
            continue
        name = hint.name if rng.random() < 0.7 else hint.name.title()
        fields += [(name.encode(), value)] * (2 if hint.kind.many or (mood == "odd" and rng.random() < 0.3) else 1)
    if cookies:
        fields.append((b"cookie", b"; ".join(cookies)))
    return fields


def _headers(rng: Random, fields: list[tuple[bytes, bytes]], mood: str) -> Fields:
    host = rng.choice(_HOSTS) if rng.random() < 0.08 else b"shop.example"
    many = rng.choice((0, 0, 1) if mood == "fine" else (0, 1, 2, 4))
    fields = [*fields, *rng.sample(_HEADERS, many)]
    rng.shuffle(fields)
    return ((b"host" if rng.random() < 0.8 else b"Host", host), *fields)


def _body(rng: Random, target: Target, method: str, mood: str) -> tuple[bytes | None, list[tuple[bytes, bytes]]]:
    if target.body is None:
        unasked = method in ("POST", "PUT", "PATCH") or rng.random() < 0.05
        return (rng.choice((b"", b"unasked", b"{}")) if unasked and rng.random() < 0.8 else None), []
    content_type = rng.choice(CONTENT_TYPES) if mood == "odd" or rng.random() < 0.05 else b"application/json"
    if mood == "odd" and rng.random() < 0.5:
        body = rng.choice(ODD_BODIES)
    else:
        value = target.body.make(rng)
        if target.body.form:
            return _form(rng, value, mood)
        if mood != "fine":
            value = mutate(rng, value)
        body = encode(rng, value).encode("utf-8", "surrogatepass")
        if rng.random() < 0.02:
            body = b"\xef\xbb\xbf" + body
    return body, [] if content_type is None else [(b"content-type", content_type)]


def _form(rng: Random, value: dict[str, Any], mood: str) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    if rng.random() < 0.5:
        return urlencode(value).encode(), [(b"content-type", b"application/x-www-form-urlencoded")]
    parts = []
    for name, content in value.items():
        file = '; filename="f.txt"\r\ncontent-type: text/plain' if name == "upload" else ""
        parts.append(f'--b\r\ncontent-disposition: form-data; name="{name}"{file}\r\n\r\n{content}\r\n')
    body = "".join(parts).encode() + (b"--b--\r\n" if mood == "fine" or rng.random() < 0.5 else b"--b")
    return body, [(b"content-type", b"multipart/form-data; boundary=b")]
