"""Dependencies of every kind, as blocks of source, and what requests say to them."""

from __future__ import annotations

from support.web_kinds import SCALARS, Kind
from support.web_params import Hint

_NUMBER = SCALARS[1]
_WORD = SCALARS[5]

BLOCKS: dict[str, str] = {
    "plain_dep": """\
def plain_dep(skip: int = 0):
    note("plain_dep", skip)
    return skip
""",
    "async_dep": """\
async def async_dep(request: Request, x_token: Annotated[str | None, Header()] = None):
    note("async_dep", request.url.path, x_token, asyncio.current_task() is not None)
    return x_token
""",
    "nested_dep": """\
def nested_dep(first=Depends(plain_dep), second=Depends(async_dep), third=Depends(plain_dep)):
    note("nested_dep", first, second, third)
    return [first, second, third]
""",
    "uncached_dep": """\
async def uncached_dep(a=Depends(plain_dep, use_cache=False), b=Depends(plain_dep, use_cache=False)):
    note("uncached_dep")
    return a, b
""",
    "ClassDep": """\
class ClassDep:
    def __init__(self, size: Annotated[int, Query(ge=1)] = 3, word: str | None = None):
        note("ClassDep", size, word)
        self.size = size
""",
    "Caller": """\
class Caller:
    def __init__(self, word):
        self.word = word

    async def __call__(self, skip: int = 1):
        note("Caller", self.word, skip)
        return self.word
""",
    "yield_dep": """\
def yield_dep(skip: int = 0):
    note("yield_dep enter", skip)
    try:
        yield skip
    except BaseException as error:
        note("yield_dep error", type(error).__name__)
        raise
    finally:
        note("yield_dep exit")
""",
    "ayield_dep": """\
async def ayield_dep(outer=Depends(yield_dep)):
    note("ayield_dep enter", outer)
    try:
        yield outer
    except Exception as error:
        note("ayield_dep error", type(error).__name__)
        raise
    finally:
        note("ayield_dep exit")
""",
    "through": """\
def through(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)
    return wrapper
""",
    "through_dep": """\
@through
def through_dep(skip: int = 0):
    note("through_dep enter", skip)
    yield skip
    note("through_dep exit")
""",
    "through_caller_dep": """\
class ThroughCaller:
    @through
    def __call__(self, skip: int = 0):
        note("through_caller_dep enter", skip)
        yield skip
        note("through_caller_dep exit")

through_caller_dep = ThroughCaller()
""",
    "function_dep": """\
async def function_dep():
    note("function_dep enter")
    yield "function"
    note("function_dep exit")
""",
    "swallowing_dep": """\
async def swallowing_dep():
    try:
        yield "swallows"
    except Exception as error:
        note("swallowing_dep", type(error).__name__)
""",
    "translating_dep": """\
async def translating_dep():
    try:
        yield "translates"
    except RuntimeError:
        note("translating_dep")
        raise HTTPException(418, "translated", headers={"x-translated": "yes"})
""",
    "late_error_dep": """\
def late_error_dep():
    yield 1
    note("late_error_dep")
    raise RuntimeError("teardown")
""",
    "refusing_dep": """\
def refusing_dep(skip: int = 0):
    note("refusing_dep", skip)
    if skip > 3:
        raise HTTPException(status_code=403, detail={"why": "skip"}, headers={"x-refused": "1"})
    if skip < 0:
        raise RuntimeError("dependency")
""",
    "context_dep": """\
async def context_dep(skip: int = 0):
    current.set(f"set {skip}")
""",
    "sync_context_dep": """\
def sync_context_dep(skip: int = 0):
    current.set(f"sync set {skip}")
""",
    "yield_context_dep": """\
async def yield_context_dep(skip: int = 0):
    token = current.set(f"yield set {skip}")
    yield
    note("yield_context_dep", current.get())
    current.reset(token)
""",
    "body_dep": """\
async def body_dep(item: Item):
    note("body_dep", item)
    return item.name
""",
    "response_dep": """\
def response_dep(response: Response, tasks: BackgroundTasks, skip: int = 0):
    response.headers["x-dep"] = str(skip)
    response.set_cookie("dep", str(skip))
    tasks.add_task(later, "from a dependency")
    if skip == 2:
        response.status_code = 203
""",
    "raw_body_dep": """\
async def raw_body_dep(request: Request):
    body = await request.body()
    note("raw_body_dep", len(body))
    request.state.size = len(body)
    return len(body)
""",
    "bearer": "bearer = HTTPBearer()\n",
    "soft_bearer": "soft_bearer = HTTPBearer(auto_error=False)\n",
    "basic": "basic = HTTPBasic(realm='shop')\n",
    "oauth": "oauth = OAuth2PasswordBearer(tokenUrl='token', scopes={'read': 'r'})\n",
    "key_header": "key_header = APIKeyHeader(name='x-key')\n",
    "key_query": "key_query = APIKeyQuery(name='key', auto_error=False)\n",
    "key_cookie": "key_cookie = APIKeyCookie(name='key')\n",
    "scoped_dep": """\
async def scoped_dep(scopes: SecurityScopes, token=Depends(oauth)):
    note("scoped_dep", scopes.scopes, token)
    return token
""",
}

# How a handler asks for each, and which of them give nothing worth returning.
USES: tuple[str, ...] = (
    *(f"Depends({name})" for name in BLOCKS if name.endswith("_dep") and name not in ("body_dep", "raw_body_dep")),
    "Depends(ClassDep)", 'Depends(Caller("w"))', "Depends(function_dep, scope='function')",
    "Depends(yield_dep, scope='request')", "Depends(nested_dep, use_cache=False)", "Depends(ayield_dep)",
    *(f"Depends({name})" for name in ("bearer", "soft_bearer", "basic", "oauth", "key_header", "key_query",
                                       "key_cookie")),
    'Security(scoped_dep, scopes=["read", "write"])', "Depends(body_dep)", "Depends(raw_body_dep)",
)  # fmt: skip

_SKIP = Hint("query", "skip", _NUMBER, required=False)

HINTS: tuple[Hint, ...] = (
    _SKIP,
    Hint("header", "x-token", _WORD, required=False),
    Hint("query", "size", _NUMBER, required=False),
    Hint("query", "key", _WORD, required=False),
    Hint("header", "x-key", _WORD, required=False),
    Hint("cookie", "key", _WORD, required=False),
    Hint("header", "authorization", Kind("", ("Bearer token", "Basic dTpw"), (), ""), required=False),
)
