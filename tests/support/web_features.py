"""Parts of applications that are no random handlers: middlewares, mounts, handlers of errors, changes on the way."""

from __future__ import annotations

from importlib.util import find_spec
from random import Random

from support.web_kinds import SCALARS, Kind
from support.web_params import Hint
from support.web_routes import Piece, Target, route

_FILES = Kind("", ("note.txt", "page.html", "big.bin", "sub/", "sub", "", "d\u00e9j\u00e0 vu.json", "none"), (), "")

MIDDLEWARES: tuple[str, ...] = (
    'app.add_middleware(CORSMiddleware, allow_origins=["https://shop.example"], allow_methods=["GET", "PUT"])',
    'app.add_middleware(CORSMiddleware, allow_origins=["*"], allow_credentials=True, allow_headers=["x-token"])',
    "app.add_middleware(GZipMiddleware, minimum_size=20)",
    'app.add_middleware(TrustedHostMiddleware, allowed_hosts=["shop.example", "*.ok.example"])',
    """
@app.middleware("http")
async def around(request, call_next):
    note("around", request.method, request.url.path)
    response = await call_next(request)
    response.headers["x-around"] = str(response.status_code)
    return response

UNORDERED = True
""",
    """
class Counting(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        if request.query_params.get("stop"):
            return PlainTextResponse("stopped", 429)
        request.state.counted = True
        return await call_next(request)

app.add_middleware(Counting)
UNORDERED = True
""",
    """
class Pure:
    def __init__(self, app, word):
        self.app = app
        self.word = word

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        note("pure enter", scope["path"])

        async def tell(message):
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], (b"x-pure", self.word.encode())]}
            await send(message)

        await self.app(scope, receive, tell)
        note("pure exit")

app.add_middleware(Pure, word="p")
""",
    """
class Rewriting:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http" and scope["path"].startswith("/old"):
            scope = {**scope, "path": scope["path"][4:] or "/"}
        await self.app(scope, receive, send)

app.add_middleware(Rewriting)
""",
)
if find_spec("itsdangerous") is not None:
    MIDDLEWARES += (
        """
from starlette.middleware.sessions import SessionMiddleware
app.add_middleware(SessionMiddleware, secret_key="s")
""",
    )

HANDLERS: tuple[str, ...] = (
    """
@app.exception_handler(Exception)
async def on_any(request, error):
    note("on_any", type(error).__name__)
    return JSONResponse({"any": type(error).__name__}, 500)
""",
    """
@app.exception_handler(RequestValidationError)
async def on_invalid(request: Request, error: RequestValidationError):
    note("on_invalid", [one["type"] for one in error.errors()], type(error.body).__name__)
    return JSONResponse({"errors": fastapi.encoders.jsonable_encoder(error.errors()), "text": str(error)}, 422)
""",
    """
@app.exception_handler(RequestValidationError)
def on_invalid_sync(request, error):
    note("on_invalid_sync", repr(error.body)[:200])
    return PlainTextResponse("invalid", status_code=400)
""",
    """
@app.exception_handler(HTTPException)
async def on_http(request, error):
    note("on_http", error.status_code, error.detail)
    return JSONResponse({"http": error.status_code}, error.status_code, headers=error.headers)
""",
    """
@app.exception_handler(404)
async def on_404(request, error):
    return HTMLResponse(f"<p>{request.method}</p>", 404)
""",
    """
@app.exception_handler(405)
def on_405(request, error):
    note("on_405")
    allowed = sorted(error.headers["Allow"].split(", "))
    return PlainTextResponse("other method", 405, headers={"x-allow": "/".join(allowed)})
""",
    """
@app.exception_handler(Teapot)
async def on_teapot(request, error):
    note("on_teapot", str(error))
    return Response("teapot", 418)
""",
    """
@app.exception_handler(ResponseValidationError)
async def on_refused(request, error):
    note("on_refused", len(error.errors()))
    return JSONResponse({"refused": [one["loc"] for one in error.errors()]}, 500)
""",
    """
@app.exception_handler(ValueError)
async def on_value(request, error):
    note("on_value", type(error).__name__)
    raise RuntimeError("in the handler")
""",
    """
@app.exception_handler(RuntimeError)
async def on_runtime(request, error):
    note("on_runtime")
    return Response("runtime", background=BackgroundTask(later, "of an error"))
""",
    """
@app.exception_handler(500)
def on_500(request, error):
    note("on_500", type(error).__name__)
    return PlainTextResponse("five hundred", 500)
""",
)

_PLAIN = Kind("", ("x", "a b", "7"), (), "")


def static(rng: Random, number: int) -> Piece:
    """Files below a prefix."""
    html = rng.random() < 0.5
    source = f'app.mount("/files{number}", StaticFiles(directory=FOLDER.name, html={html}), name="files{number}")\n'
    hint = Hint("path", "file", _FILES, required=True)
    return Piece(source, (Target(f"/files{number}/{{file}}", ("GET", "HEAD"), (hint,)),))


def starlette_routes(rng: Random, number: int) -> Piece:
    """Routes that FastAPI does not know as its own."""
    source = f"""
async def plain_{number}(request):
    note("plain", request.path_params, request.scope["root_path"])
    return JSONResponse({{"path": request.path_params, "body": len(await request.body())}})

def plain_sync_{number}(request):
    note("plain sync", dict(request.query_params))
    if request.query_params.get("fail"):
        raise HTTPException(409)
    return PlainTextResponse(request.url.path)

app.add_route("/plain{number}/{{x}}", plain_{number}, methods=["GET", "POST"])
app.router.routes.append(Route("/plain-sync{number}", plain_sync_{number}))
app.mount("/inner{number}", Router([Route("/{{x:int}}", plain_{number}), Mount("/deep", routes=[
    Route("/", plain_sync_{number})])]))
app.mount("/star{number}", Starlette(routes=[Route("/a", plain_sync_{number}), Route("/{{x:path}}", plain_{number})]))
"""
    hints = (Hint("path", "x", _PLAIN, required=True), Hint("query", "fail", SCALARS[1], required=False))
    paths = (
        f"/plain{number}/{{x}}", f"/plain-sync{number}", f"/inner{number}/{{x}}", f"/inner{number}/deep/",
        f"/star{number}/a", f"/star{number}/{{x}}",
    )  # fmt: skip
    return Piece(source, tuple(Target(path, ("GET", "POST"), hints) for path in paths))


def bare_asgi(rng: Random, number: int) -> Piece:
    """An application that speaks ASGI itself."""
    source = f"""
async def bare_{number}(scope, receive, send):
    body = await Request(scope, receive).body()
    note("bare", scope["method"], scope["path"], scope["root_path"], len(body))
    headers = [(b"X-Bare", b"1"), (b"set-cookie", b"a=1")]
    await send({{"type": "http.response.start", "status": 200, "headers": headers}})
    await send({{"type": "http.response.body", "body": scope["path"].encode("utf-8", "replace"), "more_body": True}})
    {rng.choice(("pass", 'raise RuntimeError("in the middle")', "return"))}
    await send({{"type": "http.response.body", "body": b"!"}})

app.mount("/bare{number}", bare_{number})
"""
    hints = (Hint("path", "x", _PLAIN, required=True),)
    return Piece(source, (Target(f"/bare{number}/{{x}}", ("GET", "POST", "PURGE"), hints),))


def group(rng: Random, number: int) -> Piece:
    """A router with routes, perhaps with another router inside, included or mounted."""
    name, prefix = f"router_{number}", rng.choice(("", f"/g{number}", f"/g{number}", "/{tenant}"))
    nested = rng.random() < 0.4
    inner = "/n" if nested else ""
    options = [f"prefix={prefix!r}"] if prefix and not nested else []
    if rng.random() < 0.3:
        options.append(rng.choice(("dependencies=[Depends(plain_dep)]", "dependencies=[Depends(yield_dep)]")))
    if rng.random() < 0.15:
        options.append("default_response_class=PlainTextResponse")
    if rng.random() < 0.1:
        options.append("route_class=TimedRoute")
    full = prefix + inner
    routes = [route(rng, name, full, number * 100 + index) for index in range(rng.randrange(1, 4))]
    lines = [f"{name} = APIRouter({', '.join(options)})", *(one.source for one in routes)]
    if nested:
        lines += [f"outer_{number} = APIRouter()", f"outer_{number}.include_router({name}, prefix={inner!r})"]
        dependency = ", dependencies=[Depends(async_dep)]" if rng.random() < 0.3 else ""
        lines.append(f"app.include_router(outer_{number}, prefix={prefix!r}{dependency})")
    else:
        lines.append(f"app.include_router({name})")
    return Piece("\n\n".join(lines) + "\n", _with_tenant([target for one in routes for target in one.targets]))


def _with_tenant(targets: list[Target]) -> tuple[Target, ...]:
    tenant = Hint("path", "tenant", _PLAIN, required=True)
    return tuple(Target(one.path, one.methods, (*one.hints, tenant), one.body) for one in targets)


def sub_app(rng: Random, number: int) -> Piece:
    """A FastAPI application mounted in another one."""
    name, prefix = f"sub_{number}", rng.choice((f"/m{number}", f"/m{number}", f"/m{number}/{{tenant}}"))
    routes = [route(rng, name, prefix, number * 100 + index) for index in range(rng.randrange(1, 4))]
    lines = [f"{name} = FastAPI({rng.choice(('', 'dependencies=[Depends(plain_dep)]', 'redirect_slashes=False'))})"]
    lines += [one.source for one in routes]
    lines.append(f"app.mount({prefix!r}, {name})")
    return Piece("\n\n".join(lines) + "\n", _with_tenant([target for one in routes for target in one.targets]))


def changes(rng: Random, number: int) -> Piece:
    """Requests that change the application while it serves."""
    source = f"""
@app.get("/change/override")
def change_override():
    def instead(skip: int = 5):
        note("instead", skip)
        return "instead"
    app.dependency_overrides[plain_dep] = instead
    return len(app.dependency_overrides)


@app.get("/change/restore")
async def change_restore():
    app.dependency_overrides = {{}}


@app.get("/change/add")
async def change_add():
    count = len(app.router.routes)

    @app.get(f"/added/{{count}}", status_code=201)
    async def added(x: int = 1, dep=Depends(plain_dep)):
        note("added", x, dep)
        return {{"added": x}}

    app.router.routes.insert(0, Route("/added/first", lambda request: PlainTextResponse("first")))
    return count


@app.get("/change/remove")
async def change_remove():
    app.router.routes[:] = [one for one in app.router.routes if getattr(one, "path", "") != "/uses"]


@app.get("/change/handler")
def change_handler():
    app.add_exception_handler(Teapot, lambda request, error: Response(status_code=418))
    app.state.changed = True


@app.get("/uses")
async def uses(dep=Depends({rng.choice(("plain_dep", "nested_dep", "yield_dep"))})):
    note("uses", dep)
    return {{"dep": dep if isinstance(dep, int | str) else "other"}}
"""
    targets = [Target(f"/change/{one}") for one in ("override", "restore", "add", "add", "remove", "handler")]
    hint = Hint("query", "skip", SCALARS[1], required=False)
    targets += [Target("/uses", ("GET",), (hint,))] * 3 + [Target(f"/added/{number}") for number in range(4, 12)]
    return Piece(source, (*targets, Target("/added/first")))


def host_route(rng: Random, number: int) -> Piece:
    """Class-based endpoints and routes by host."""
    source = f"""
from starlette.endpoints import HTTPEndpoint

class Endpoint{number}(HTTPEndpoint):
    async def get(self, request):
        note("endpoint get")
        return PlainTextResponse("got")

    def put(self, request):
        return Response(status_code=204)

app.add_route("/endpoint{number}", Endpoint{number})
app.host("api{number}.ok.example", Router([Route("/", Endpoint{number})]))
"""
    return Piece(source, (Target(f"/endpoint{number}", ("GET", "PUT", "HEAD", "OPTIONS")),))


def streams(rng: Random, number: int) -> Piece:
    """Handlers that yield."""
    source = f"""
from fastapi.sse import EventSourceResponse

@app.get("/stream{number}", response_class=StreamingResponse)
async def stream_{number}(count: int = 2, dep=Depends(yield_dep)):
    for index in range(min(count, 5)):
        note("stream", index)
        yield f"{{index}};"

@app.get("/lines{number}")
def lines_{number}(count: int = 2):
    for index in range(min(count, 5)):
        yield {{"index": index}}

@app.get("/events{number}", response_class=EventSourceResponse)
async def events_{number}(count: int = 2):
    for index in range(min(count, 5)):
        yield {{"index": index}}
"""
    hint = Hint("query", "count", Kind("int", ("0", "1", "3"), (), ""), required=False)
    return Piece(source, tuple(Target(f"/{one}{number}", ("GET",), (hint,)) for one in ("stream", "lines", "events")))


FEATURES = (static, starlette_routes, bare_asgi, group, group, group, sub_app, sub_app, changes, host_route, streams)
