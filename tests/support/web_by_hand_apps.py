"""Sources of the applications written by hand; ``web_by_hand.py`` says what they are asked."""

from __future__ import annotations

BACKGROUND = """
app = FastAPI()

@app.get("/many")
async def many(tasks: BackgroundTasks, dep=Depends(response_dep), held=Depends(ayield_dep)):
    tasks.add_task(later, "first")
    tasks.add_task(later_async, "second")
    note("handler")
    return "many"

@app.get("/failing")
def failing(tasks: BackgroundTasks):
    tasks.add_task(later, "fails", True)
    tasks.add_task(later, "never")

@app.get("/own")
def own(tasks: BackgroundTasks):
    tasks.add_task(later, "lost: the response has its own")
    return Response("own", background=BackgroundTask(later_async, "of the response"))

@app.get("/none", status_code=204)
async def none(tasks: BackgroundTasks):
    tasks.add_task(later, "behind a 204")

@app.get("/slow")
async def slow(tasks: BackgroundTasks):
    tasks.add_task(time.sleep, 0.05)
    tasks.add_task(later, "at last")

@app.get("/error")
async def error(tasks: BackgroundTasks):
    tasks.add_task(later, "not for an error")
    raise HTTPException(400)
"""

STREAMING = """
app = FastAPI()

@app.get("/sync")
def sync():
    return StreamingResponse((f"{n}\\n" for n in range(50)), media_type="text/plain")

@app.get("/broken")
def broken():
    return StreamingResponse(broken_pieces())

@app.get("/long")
async def long():
    async def body():
        for n in range(200):
            yield bytes([n]) * 5000
            if n % 50 == 0:
                await asyncio.sleep(0)
        note("all sent")
    return StreamingResponse(body(), background=BackgroundTask(later, "stream"))

@app.get("/held")
async def held(dep=Depends(ayield_dep)):
    async def body():
        note("streams while the dependency is open")
        yield "x"
    return StreamingResponse(body())

@app.get("/early")
async def early(dep=Depends(function_dep, scope="function")):
    async def body():
        note("streams")
        yield "x"
    return StreamingResponse(body())

@app.post("/echo")
async def echo(request: Request):
    size = 0
    async for piece in request.stream():
        size += len(piece)
    return {"size": size}

@app.get("/lines")
async def lines() -> fastapi.responses.StreamingResponse:
    return StreamingResponse(pieces())

@app.get("/empty")
def empty():
    return StreamingResponse(iter(()))

@app.get("/length")
def length():
    return StreamingResponse(iter([b"abc", b"def"]), headers={"content-length": "6"})

@app.api_route("/behind", methods=["GET", "HEAD"])
async def behind(status: int = 200):
    async def body():
        yield b"abc"
        await asyncio.sleep(0.001)
        note("behind the last byte")
    return StreamingResponse(body(), status, headers={"content-length": "3"} if status == 200 else None)
"""

LIFESPAN = """
@contextlib.asynccontextmanager
async def lifespan(app):
    note("up")
    app.state.ready = True
    yield {"pool": [], "word": "w"}
    note("down")

app = FastAPI(lifespan=lifespan)

@app.get("/state")
async def state(request: Request):
    request.state.word += "!"
    request.state.pool.append(1)
    return [request.state.word, len(request.state.pool), request.app.state.ready]

@app.get("/loop")
async def loop():
    task = asyncio.current_task()
    return [task is not None, asyncio.get_running_loop().is_running()]
"""

ERRORS = """
app = FastAPI()

@app.exception_handler(Exception)
async def on_any(request, error):
    note("on_any", type(error).__name__, request.url.path)
    return JSONResponse({"error": type(error).__name__}, 500, headers={"x-error": "1"})

@app.exception_handler(Teapot)
def on_teapot(request, error):
    note("on_teapot", str(error))
    return PlainTextResponse("teapot", 418)

@app.exception_handler(RequestValidationError)
async def on_invalid(request, error):
    return JSONResponse({"body": repr(error.body), "errors": repr(error.errors())}, 422)

@app.get("/bug")
def bug():
    raise KeyError("k")

@app.get("/teapot")
async def teapot(dep=Depends(yield_dep)):
    raise Teapot("short")

@app.get("/translated")
async def translated(dep=Depends(translating_dep)):
    raise RuntimeError

@app.get("/swallowed")
async def swallowed(dep=Depends(swallowing_dep)):
    raise RuntimeError

@app.get("/late")
async def late(dep=Depends(late_error_dep)):
    return "sent"

@app.get("/late-function")
async def late_function(dep=Depends(late_error_dep, scope="function")):
    return "not sent"

@app.get("/refused")
def refused(dep=Depends(refusing_dep)):
    return "in"

@app.get("/model", response_model=Item)
def model():
    return {"price": "x"}

@app.get("/json")
async def json():
    return JSONResponse({"nan": float("nan")})

@app.post("/typed")
async def typed(item: Item, n: int):
    return item

@app.get("/header")
async def header():
    return Response("x", headers={"x-bad": "a\\nb"})

@app.get("/length")
async def length():
    return Response("x", headers={"content-length": "2"})

@app.get("/after")
async def after():
    async def body():
        yield b"begun"
        raise Teapot("too late")
    return StreamingResponse(body())
"""

STATIC = """
app = FastAPI()
app.mount("/plain", StaticFiles(directory=FOLDER.name))
app.mount("/html", StaticFiles(directory=FOLDER.name, html=True))

@app.get("/file/{name:path}")
def file(name: str):
    return FileResponse(FilePath(FOLDER.name, name))
"""

MOUNTS = """
app = FastAPI(dependencies=[Depends(plain_dep)])
sub = FastAPI()
deep = FastAPI()

@sub.middleware("http")
async def tell(request, call_next):
    response = await call_next(request)
    response.headers["x-sub"] = request.scope["root_path"]
    return response

@sub.exception_handler(Teapot)
async def on_teapot(request, error):
    return Response("sub teapot", 418)

def add(owner):
    @owner.get("/where/{x}")
    async def where(x: int, request: Request):
        note("where", request.scope["path"], request.scope["root_path"], request.path_params)
        return [str(request.url), str(request.base_url), request.scope.get("app").title, x]

    @owner.get("/teapot")
    def teapot():
        raise Teapot("t")

for one in (app, sub, deep):
    add(one)
sub.title, deep.title = "sub", "deep"
sub.mount("/deep", deep)
app.mount("/sub", sub)
app.mount("/{tenant}/in", deep)

@app.get("/sub/never")
def never():
    return "the mount comes first"
UNORDERED = True
"""

CHANGES = """
app = FastAPI()

@app.get("/uses")
def uses(dep=Depends(plain_dep)):
    return dep

@app.get("/teapot")
def teapot():
    raise Teapot("t")

@app.get("/{word}")
def word(word: str):
    return word

@app.post("/change")
def change(what: str):
    if what == "override":
        app.dependency_overrides[plain_dep] = lambda: "overridden"
    elif what == "restore":
        app.dependency_overrides.clear()
    elif what == "route":
        app.add_api_route("/x/added", lambda: "added")
    elif what == "first":
        app.add_api_route("/uses", lambda: "first")
        app.router.routes.insert(0, app.router.routes.pop())
    elif what == "include":
        router = APIRouter(prefix="/late")
        router.add_api_route("/{n:int}", lambda n: n)
        app.include_router(router)
    elif what == "mount":
        app.mount("/mounted", PlainTextResponse("mounted"))
    elif what == "remove":
        del app.router.routes[0]
"""

CONTEXT = """
app = FastAPI(dependencies=[Depends(context_dep)])

@app.get("/async")
async def async_handler(a=Depends(yield_context_dep)):
    return [current.get(), asyncio.current_task() is not None]

@app.get("/sync")
def sync_handler(a=Depends(sync_context_dep)):
    return current.get()

@app.get("/cached")
async def cached(a=Depends(plain_dep), b=Depends(plain_dep), c=Depends(uncached_dep), d=Depends(nested_dep)):
    return [a, b]

@app.get("/torn")
async def torn(a=Depends(yield_dep), b=Depends(ayield_dep), c=Depends(function_dep, scope="function")):
    note("handler")
    return "x"
"""

ORDER = """
app = FastAPI()

@app.get("/a/{x}")
def template(x: int):
    return ["template", x]

@app.get("/a/literal")
def behind():
    return "never"

@app.get("/b/literal")
def before():
    return "literal"

@app.get("/b/{x}")
def after(x: str):
    return ["template", x]

@app.post("/b/literal")
def posted():
    return "posted"

@app.get("/c/{x:int}")
def number(x: int):
    return ["int", x]

@app.get("/c/{x}")
def word(x: str):
    return ["str", x]

@app.get("/d/")
def slash():
    return "slash"

@app.get("/f/{name}.json")
def named(name: str):
    return name

@app.get("/g/a-{x}-b/{y:path}")
def mixed(x: str, y: str):
    return [x, y]
"""
