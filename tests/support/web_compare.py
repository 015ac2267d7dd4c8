"""One application twice: called by the oracle and served by the engine; whatever differs is a difference.

A case is source text and requests. Each side gets an execution of the source of its own, so that their journals (the
module's global list ``journal``, which handlers and dependencies write) can be compared as well as their answers.
"""

from __future__ import annotations

import contextlib
import gzip
import linecache
import logging
import os
import re
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from types import ModuleType, TracebackType
from typing import Any

import fastapi.routing

from pytest_fastr import Server
from pytest_fastr.errors import FastrError
from support.web_oracle import Oracle
from support.web_wire import Answer, Client, Request

MODULE_NAME = "generated_app"
JOURNAL_SECONDS = 3.0
POLL_SECONDS = 0.0005

# What the two sides may say differently: the clock, the engine's own name and the framing.
_IGNORED = {b"date", b"server", b"connection", b"transfer-encoding"}
_BOUNDARY = re.compile(rb"boundary=([0-9a-f]{26})")
_EXPIRES = re.compile(rb"expires=(\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT)")
# A session is signed with the second: "=data.timestamp.signature".
_SIGNED = re.compile(rb"(=[\w=-]*\.)[\w-]{6}\.[\w-]{27}")
_ADDRESS = re.compile(rb"0x[0-9a-f]{6,16}")
# Each side makes a folder for its files, whose name a traceback may quote.
_FOLDER = re.compile(re.escape(os.fsencode(os.path.join(tempfile.gettempdir(), "tmp"))) + rb"\w{8}")


def serve(app: Any, mount: str, root_path: str = "") -> Server:
    """The server under test. The one place that knows how a mount is chosen."""
    options: dict[str, Any] = {"root_path": root_path}
    if mount != "asgi":
        options["mount"] = mount
    return Server(app, **options)


def lane_counts(server: Server) -> dict[str, int]:
    """How many requests the native lanes of a server have answered so far; empty where it has none."""
    return server.native_counts()


@dataclass(frozen=True, slots=True)
class Seen:
    """What one side did with one request."""

    answer: Answer
    journal: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """The first request of a case whose two sides differ; ``requests`` end with it. Without any, it is the lifespan."""

    what: str
    source: str
    requests: tuple[Request, ...]
    expected: Seen
    got: Seen

    def render(self, seed: str) -> str:
        """All that is needed to repeat it by hand."""
        parts = [f"seed: {seed}", f"difference: {self.what}", "---- app", self.source]
        for request in self.requests:
            parts += ["---- request", *(f"{piece[:6000]!r}" for piece in request.wire()[:40])]
        for name, seen in (("expected (FastAPI alone)", self.expected), ("got (the engine)", self.got)):
            parts += [f"---- {name}", seen.answer.render(), "journal:", *(f"  {entry}" for entry in seen.journal)]
        return "\n".join(parts)


def load(source: str) -> ModuleType:
    """Executes an application's source as a module of its own."""
    module = ModuleType(MODULE_NAME)
    module.__file__ = f"<{MODULE_NAME}>"
    # pydantic and dataclasses look up names in the module of a class while they make it.
    sys.modules[MODULE_NAME] = module
    exec(compile(source, module.__file__, "exec"), module.__dict__)
    return module


def failing_line(source: str) -> int | None:
    """The line of a source at which its execution fails; None when it does not."""
    try:
        with quiet():
            module = load(source)
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if MODULE_NAME in frame.filename]
        return (lines[0] if lines else None) or 1_000_000
    if (folder := getattr(module, "FOLDER", None)) is not None:
        folder.cleanup()
    return None


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Errors of applications are expected, and neither warnings nor logs may change what an application does."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


class Pair:
    """Both sides of one application, while it serves. Entering raises what the source or its start-up raises."""

    def __init__(self, source: str, mount: str, tamper: Callable[[ModuleType], None] | None = None) -> None:
        self._source = source
        self._mount = mount
        self._tamper = tamper
        self._stack = contextlib.ExitStack()
        self._asked: list[Request] = []
        self._marks = [0, 0]
        self.last_status = 0

    def __enter__(self) -> Pair:
        with self._stack:
            self._stack.enter_context(quiet())
            # Keyed by id(), and FastAPI never forgets: a function of an earlier case may have had the same one.
            fastapi.routing._endpoint_context_cache.clear()
            lines = self._source.splitlines(keepends=True)
            linecache.cache[f"<{MODULE_NAME}>"] = (len(self._source), None, lines, f"<{MODULE_NAME}>")
            self._modules = []
            for _ in range(2):
                module = load(self._source)
                self._modules.append(module)
                if (folder := getattr(module, "FOLDER", None)) is not None:
                    self._stack.callback(folder.cleanup)
            if self._tamper is not None:
                self._tamper(self._modules[1])
            expected, got = self._modules
            root_path = getattr(expected, "ROOT_PATH", "")
            self._oracle = Oracle(expected.app, root_path)
            self._stack.callback(self._oracle.close)
            self.server = serve(got.app, self._mount, root_path)
            self._running = self._stack.enter_context(contextlib.ExitStack())
            self._running.enter_context(self.server)
            self._client = Client((self.server.host, self.server.port))
            self._running.callback(self._client.close)
            self._left = self._stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.close()

    def ask(self, request: Request) -> Difference | None:
        """Sends a request to both sides. Returns what differs."""
        self._asked.append(request)
        client = self._client.connect()
        expected = self._oracle.ask(request, client, (self.server.host, self.server.port))
        self.last_status = expected.status
        wanted = self._entries(0)
        got = self._client.ask(request)
        return self._compare(Seen(expected, wanted), got)

    def end(self) -> Difference | None:
        """Shuts both sides down and compares what they did meanwhile, or did too much before."""
        failures = [str(self._oracle.close() or ""), ""]
        try:
            self._running.close()
        except FastrError as error:
            failures[1] = str(error)
        expected, got = (Answer(200, (), b"", "failed" if failure else "") for failure in failures)
        return self._compare(Seen(expected, self._entries(0)), got)

    def _compare(self, expected: Seen, answer: Answer) -> Difference | None:
        seen = self._entries(1, len(expected.journal))
        got = Seen(answer, seen)
        self._marks = [len(module.journal) for module in self._modules]
        unordered = getattr(self._modules[0], "UNORDERED", False)
        what = answers_differ(expected.answer, answer) or journals_differ(expected.journal, seen, unordered)
        return Difference(what, self._source, tuple(self._asked), expected, got) if what else None

    def _entries(self, side: int, awaited: int = 0) -> tuple[str, ...]:
        """What a side has noted since the last request; what runs behind the response gets time to appear."""
        journal: list[str] = self._modules[side].journal
        deadline = time.monotonic() + JOURNAL_SECONDS
        while len(journal) - self._marks[side] < awaited and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        return tuple(journal[self._marks[side] :])


def answers_differ(expected: Answer, got: Answer) -> str:
    """In what two answers differ; empty when they are the same."""
    if (expected.status, expected.flaw) != (got.status, got.flaw):
        return f"status {expected.status} {expected.flaw}, not {got.status} {got.flaw}"
    # Of a 304 hyper sends no length of a body that is not there; HTTP leaves that to the server.
    unsaid = expected.header(b"content-length") is None or expected.status == 304
    ignored = _IGNORED | ({b"content-length"} if unsaid else set())
    wanted, seen = (
        sorted((name, timeless(value)) for name, value in one.headers if name not in ignored) for one in (expected, got)
    )
    if wanted != seen:
        return f"headers: missing {[one for one in wanted if one not in seen]}, " + (
            f"unexpected {[one for one in seen if one not in wanted]}"
        )
    cookies = [[timeless(value) for name, value in one.headers if name == b"set-cookie"] for one in (expected, got)]
    if cookies[0] != cookies[1]:
        return "the order of set-cookie"
    return "" if comparable_body(expected) == comparable_body(got) else "the body"


def timeless(value: bytes) -> bytes:
    """A header's value without what is new each time: a random boundary, and the present in a cookie that expires or
    is signed."""
    return _SIGNED.sub(rb"\1", _EXPIRES.sub(_now, _BOUNDARY.sub(b"boundary=b", value)))


def _now(match: re.Match[bytes]) -> bytes:
    moment = parsedate_to_datetime(match[1].decode("latin-1")).timestamp()
    return b"expires=now" if abs(moment - time.time()) < 60 else match[0]


def comparable_body(answer: Answer) -> bytes:
    """A body without what is new each time: gzip's clock, and addresses in tracebacks."""
    body = answer.body
    if answer.header(b"content-encoding") == b"gzip" and body and not answer.flaw:
        body = gzip.decompress(body)
    if (boundary := _BOUNDARY.search(answer.header(b"content-type") or b"")) is not None:
        body = body.replace(boundary[1], b"b")
    return _FOLDER.sub(b"FOLDER", _ADDRESS.sub(b"0x", body)) if answer.status == 500 else body


def journals_differ(expected: Sequence[str], got: Sequence[str], unordered: bool) -> str:
    """In what two journals differ; empty when they are the same."""
    same = sorted(expected) == sorted(got) if unordered else list(expected) == list(got)
    return "" if same else "the journal"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a case: its first difference, and how its requests were answered."""

    difference: Difference | None
    asked: int
    statuses: Counter[int]
    lanes: dict[str, int]


def run(
    source: str,
    requests: Sequence[Request],
    mount: str,
    *,
    tamper: Callable[[ModuleType], None] | None = None,
) -> Outcome:
    """Asks both sides everything, up to the first difference.

    ``tamper`` changes the module that is served.
    """
    statuses: Counter[int] = Counter()
    with Pair(source, mount, tamper) as pair:
        for request in requests:
            difference = pair.ask(request)
            statuses[pair.last_status] += 1
            if difference is not None:
                return Outcome(difference, statuses.total(), statuses, lane_counts(pair.server))
        lanes = lane_counts(pair.server)
        return Outcome(pair.end(), statuses.total(), statuses, lanes)
