"""What sources of generated applications may name. A source contains only the blocks whose names it uses."""

from __future__ import annotations

import re

PRELUDE = """\
import asyncio, collections, contextlib, contextvars, dataclasses, datetime, decimal, enum, functools, ipaddress
import json, os, tempfile, time, uuid
from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import Annotated, Any, Generic, Literal, Optional, TypeVar, Union

import fastapi
from typing_extensions import TypedDict
from fastapi import (
    APIRouter, BackgroundTasks, Body, Cookie, Depends, FastAPI, File, Form, Header, HTTPException, Path, Query, Request,
    Response, Security, UploadFile,
)
from fastapi.exceptions import RequestValidationError, ResponseValidationError
from fastapi.responses import (
    FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, StreamingResponse,
)
from fastapi.security import (
    APIKeyCookie, APIKeyHeader, APIKeyQuery, HTTPBasic, HTTPBasicCredentials, HTTPBearer, OAuth2PasswordBearer,
    SecurityScopes,
)
from fastapi.staticfiles import StaticFiles
from pydantic import (
    AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, RootModel, computed_field, field_serializer,
    field_validator, model_serializer, model_validator,
)
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.routing import Mount, Route, Router

journal = []


def note(*what):
    journal.append(" ".join(one if isinstance(one, str) else repr(one) for one in what))
"""

BLOCKS: dict[str, str] = {
    "Color": """\
class Color(str, enum.Enum):
    red = "red"
    blue = "blue"
""",
    "Level": """\
class Level(enum.IntEnum):
    low = 1
    high = 2
""",
    "Plain": """\
class Plain(enum.Enum):
    a = "A"
    b = 3
""",
    "Even": """\
def check_even(value: int) -> int:
    if value % 2:
        raise ValueError("odd")
    return value

Even = Annotated[int, AfterValidator(check_even)]
""",
    "Point": """\
@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.5
    label: str | None = None
""",
    "Item": """\
class Item(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    name: str
    price: float = 1.5
    tags: list[str] = []
    note: str | None = Field(default=None, alias="noteAlias")
""",
    "Secret": """\
class Secret(Item):
    secret: str = "hidden"
""",
    "Shown": """\
class Shown(BaseModel):
    id: int
    when: datetime.datetime = datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.timezone.utc)
    cost: decimal.Decimal = decimal.Decimal("1.10")
    item: Item | None = None

    @computed_field
    @property
    def double(self) -> int:
        return self.id * 2

    @field_serializer("cost")
    def show_cost(self, value: decimal.Decimal) -> str:
        return f"{value} EUR"
""",
    "Wrapped": """\
class Wrapped(BaseModel):
    inner: int

    @model_serializer
    def show(self) -> dict[str, Any]:
        return {"wrapped": self.inner}
""",
    "Numbers": """\
class Numbers(RootModel[list[int]]):
    pass
""",
    "Strict": """\
class Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    count: int
    name: str = "n"
    ratio: float | None = None
""",
    "Filter": """\
class Filter(BaseModel):
    model_config = ConfigDict(extra="forbid")
    limit: int = Field(10, gt=0, le=100)
    order: Literal["up", "down"] = "up"
    tags: list[str] = []
""",
    "Loose": """\
class Loose(BaseModel):
    x_token: str | None = None
    number: int = 3
""",
    "Tree": """\
class Tree(BaseModel):
    value: int
    children: list["Tree"] = []
""",
    "Checked": """\
class Checked(BaseModel):
    low: int = 0
    high: int = 10

    @field_validator("low", mode="before")
    @classmethod
    def from_word(cls, value: Any) -> Any:
        return 1 if value == "one" else value

    @model_validator(mode="after")
    def in_order(self) -> "Checked":
        if self.low > self.high:
            raise ValueError("low is above high")
        return self
""",
    "Cat": """\
class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 9
""",
    "Dog": """\
class Dog(BaseModel):
    kind: Literal["dog"]
    good: bool = True
""",
    "Typed": """\
class Typed(TypedDict, total=False):
    a: int
    b: str
""",
    "Named": """\
Named = collections.namedtuple("Named", ["first", "second"])
""",
    "Custom": """\
class Custom:
    def __init__(self):
        self.a = 1
        self._hidden = 2
""",
    "Opaque": """\
class Opaque:
    __slots__ = ()
""",
    "Teapot": """\
class Teapot(Exception):
    pass
""",
    "current": """\
current = contextvars.ContextVar("current", default="unset")
""",
    "FOLDER": """\
FOLDER = tempfile.TemporaryDirectory()
_contents = {"note.txt": b"0123456789" * 30, "page.html": b"<p>page</p>", "big.bin": bytes(200_000),
             "sub/index.html": b"<p>index</p>", "404.html": b"lost", "d\\u00e9j\\u00e0 vu.json": b"{}"}
for _name, _content in _contents.items():
    _file = FilePath(FOLDER.name, _name)
    _file.parent.mkdir(exist_ok=True)
    _file.write_bytes(_content)
    os.utime(_file, (1_700_000_000, 1_700_000_000))
""",
    "later": """\
def later(what, fails=False):
    note("background", what)
    if fails:
        raise RuntimeError("background")
""",
    "later_async": """\
async def later_async(what):
    await asyncio.sleep(0)
    note("background async", what, asyncio.current_task() is not None)
""",
    "pieces": """\
async def pieces():
    for number in range(3):
        await asyncio.sleep(0)
        yield f"piece {number}\\n"
    note("pieces done")
""",
    "broken_pieces": """\
def broken_pieces():
    yield b"first"
    raise RuntimeError("broken stream")
""",
    "OwnJSON": """\
class OwnJSON(JSONResponse):
    media_type = "application/own+json"

    def render(self, content):
        note("render")
        return json.dumps(content, indent=1, default=lambda one: type(one).__name__).encode()
""",
    "OwnApp": """\
class OwnApp(FastAPI):
    async def __call__(self, scope, receive, send):
        note("OwnApp", scope["type"])
        await super().__call__(scope, receive, send)
""",
    "OwnRouterApp": """\
class OwnRouterApp(FastAPI):
    def setup(self):
        super().setup()
        inner = self.router.app

        async def routed(scope, receive, send):
            note("routed", scope["type"])
            await inner(scope, receive, send)

        self.router.middleware_stack = routed
""",
    "TimedRoute": """\
class TimedRoute(fastapi.routing.APIRoute):
    def get_route_handler(self):
        original = super().get_route_handler()

        async def handler(request):
            note("TimedRoute", request.url.path)
            response = await original(request)
            response.headers["x-timed"] = "1"
            return response

        return handler
""",
    "traced": """\
def traced(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        note("traced", sorted(kwargs))
        return function(*args, **kwargs)
    return wrapper
""",
    "traced_async": """\
def traced_async(function):
    @functools.wraps(function)
    async def wrapper(*args, **kwargs):
        note("traced_async", len(args))
        return await function(*args, **kwargs)
    return wrapper
""",
    "with_cookies": """\
def with_cookies(response):
    response.set_cookie("b", "2", httponly=True, path="/x")
    response.set_cookie("a", "1 ;\\"\\u00e9".encode("unicode_escape").decode(), max_age=5)
    response.delete_cookie("c")
    response.headers["X-Twice"] = "1"
    response.headers.append("x-twice", "2")
    return response
""",
}

_WORD = re.compile(r"[A-Za-z_]\w*")


def complete(source: str, blocks: dict[str, str]) -> str:
    """Puts the prelude and the needed blocks, in their order, before a source."""
    needed: set[str] = set()
    unread = [source]
    while unread:
        names = set(_WORD.findall(unread.pop())) & blocks.keys() - needed
        needed |= names
        unread += [blocks[name] for name in names]
    parts = [PRELUDE, *(block for name, block in blocks.items() if name in needed), source]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"
