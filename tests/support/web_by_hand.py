"""Applications and requests written by hand: what has an order, a lifetime or a history."""

from __future__ import annotations

from support import web_by_hand_apps as apps
from support import web_dependencies, web_library
from support.web_wire import Fields, Request

Case = tuple[str, tuple[Request, ...]]


def _source(text: str) -> str:
    return web_library.complete(text.strip("\n"), {**web_library.BLOCKS, **web_dependencies.BLOCKS})


def _get(*targets: str, method: str = "GET", **headers: str) -> tuple[Request, ...]:
    fields: Fields = ((b"host", b"shop.example"),)
    fields += tuple((name.replace("_", "-").encode(), value.encode()) for name, value in headers.items())
    return tuple(Request(method, target, fields) for target in targets)


def _post(target: str, body: bytes, content_type: bytes = b"application/json", chunks: tuple[int, ...] = ()) -> Request:
    fields = ((b"host", b"shop.example"), (b"content-type", content_type))
    return Request("POST", target, fields, body, chunks, bursts=bool(chunks))


_CHANGE_STEPS = tuple(
    request
    for what in ("override", "restore", "route", "first", "include", "mount", "remove")
    for request in (
        Request("POST", f"/change?what={what}", body=b""),
        *_get("/uses", "/x/added", "/late/5", "/mounted", "/mounted/", "/word"),
    )
)

CASES: dict[str, Case] = {
    "background tasks": (_source(apps.BACKGROUND),
    _get("/many", "/failing", "/own", "/none", "/slow", "/error", "/many")),
    "streaming": (
        _source(apps.STREAMING),
        (
            *_get("/sync", "/broken", "/long", "/held", "/early", "/lines", "/empty", "/length"),
            *_get("/sync", "/long", "/length", "/behind", method="HEAD"),
            *_get("/behind", "/behind?status=204", "/behind?status=304", "/sync"),
            _post("/echo", bytes(300_000), chunks=(1000, 50_000)),
            _post("/echo", b"abc" * 50, chunks=(1,)),
            _post("/echo", b""),
        ),
    ),
    "lifespan": (_source(apps.LIFESPAN), _get("/state", "/state", "/loop")),
    "exception handlers": (
        _source(apps.ERRORS),
        (
            *_get("/bug", "/teapot", "/translated", "/swallowed", "/late", "/late-function", "/refused",
            "/refused?skip=4"),
            *_get("/refused?skip=-1", "/refused?skip=x", "/model", "/json", "/header", "/length", "/after", "/nowhere"),
            *_get("/bug", "/teapot", method="HEAD"),
            *(_post("/typed?n=1", body) for body in (b"{}", b'{"name": 1}', b'{"name": "n"}', b"{", b"\xff", b"")),
        ),
    ),
    "static files": (
        _source(apps.STATIC),
        (
            *_get("/plain/note.txt", "/plain/", "/plain/sub", "/plain/sub/", "/plain/none", "/plain/../note.txt"),
            *_get("/html/", "/html/sub", "/html/sub/", "/html/none", "/plain/d%C3%A9j%C3%A0%20vu.json", "/plain/%00"),
            *_get("/plain/note.txt", "/file/big.bin", "/file/note.txt", range="bytes=3-9"),
            *_get("/file/note.txt", range="bytes=0-1,5-6,290-"),
            *_get("/plain/big.bin", "/file/none", "/file/sub", "/plain/%2e%2e/x", "/plain//note.txt"),
            *_get("/plain/note.txt", "/file/note.txt", method="HEAD"),
            *_get("/plain/note.txt", if_modified_since="Wed, 21 Oct 2065 07:28:00 GMT"),
            *_get("/plain/note.txt", method="POST"),
        ),
    ),
    "mounted applications": (
        _source(apps.MOUNTS),
        _get(
            "/where/1", "/sub/where/2", "/sub/deep/where/3", "/t1/in/where/4", "/sub/where/x", "/teapot", "/sub/teapot",
            "/sub/deep/teapot", "/sub", "/sub/", "/sub/never", "/sub/nowhere", "/sub//where/1", "/sub/openapi.json",
            "/subway", "/t%201/in/where/5", "/sub/where/1/",
        ),
    ),
    "mounted applications behind a prefix": (
        _source('ROOT_PATH = "/api"\n' + apps.MOUNTS),
        _get("/where/1", "/sub/where/2", "/sub/deep/where/3", "/sub", "/api/where/1", "/t/in/where/4", "/where/1/"),
    ),
    "changes while serving": (_source(apps.CHANGES), _CHANGE_STEPS + _get("/teapot")),
    "context and dependencies": (
        _source(apps.CONTEXT),
        _get("/async", "/sync", "/cached", "/torn", "/async?skip=2", "/sync?skip=3", "/cached?skip=x", "/torn?skip=1"),
    ),
    "the order of routes": (
        _source(apps.ORDER),
        (
            *_get("/a/5", "/a/literal", "/b/literal", "/b/5", "/c/5", "/c/-5", "/c/x", "/c/007", "/d", "/d/", "/a/5/",
            "/d//"),
            *_get("/f/x.json", "/f/.json", "/f/x.json.json", "/f/x.jsonx", "/g/a-x-b/", "/g/a-x-b/y/z", "/g/a-a-b-b/y"),
            *_get("/b/literal", "/a/literal", "/c/5", method="POST"),
            *_get("/b/literal", "/c/5", method="HEAD"),
            *_get("/b/literal", "/c/5", method="OPTIONS"),
            *_get("/b/lit%65ral", "/c/%35", "/c/%D9%A5", "/b/%2F", "/b/a%2Fb", "/a/%20%35", "/b/%FF", "/c/5%0A",
            "/d/%0A"),
        ),
    ),
}  # fmt: skip
