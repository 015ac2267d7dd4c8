"""The native border: engine, load generator, statistics.

Everything here is implemented in Rust (``native/python``), translates values and decides nothing. Times are integer
nanoseconds unless a name says otherwise; a *log ratio* is ``ln(B/A)`` with A the reference or baseline side and B the
candidate. Functions that load a server detach the interpreter and call their ``control`` back at most every 50 ms,
between slices; Ctrl-C ends them within 0.2 s.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, Literal, TypeAlias, final

__all__ = [
    "DEBUG_BUILD",
    "Answer",
    "CallDone",
    "ClientDisconnected",
    "Completed",
    "ConnectionPlan",
    "Engine",
    "EpochEstimate",
    "Feed",
    "Floor",
    "Generator",
    "HeldStep",
    "Histogram",
    "JudgeRule",
    "Judgement",
    "LoadResult",
    "Metrics",
    "NativeRoute",
    "NativeRoutes",
    "Pacing",
    "PairedResult",
    "PoolCall",
    "Progress",
    "Receive",
    "Request",
    "RequestResult",
    "Scenario",
    "Send",
    "SessionEstimate",
    "Side",
    "StartResponse",
    "Target",
    "Waiting",
    "WarmUpResult",
    "WebsocketSend",
    "WsgiInput",
    "WsgiWorkers",
    "classify_route",
    "eager_task",
    "end_family",
    "forward_logs",
    "is_simple_path",
    "judge_against_sessions",
    "judge_pair",
    "measure_floor",
    "note_collection",
    "once",
    "quantile_estimate",
    "read_json",
    "run_floor",
    "run_load",
    "run_paired",
    "session_estimate",
    "stretch_quantile_estimate",
    "student_t_quantile",
    "warm_up",
    "watch_lifeline",
    "write_json",
]

DEBUG_BUILD: Final[bool]
"""Compiled without optimisation: nothing that this build measures means anything."""

_CostMetric = Literal["cpu", "throughput"]

# ---- engine ---------------------------------------------------------------------------------------------------------

@final
class Engine:
    """An HTTP engine driven by one asyncio loop.

    Keyword arguments are limits: ``max_connections``, ``header_timeout``, ``body_timeout``, ``idle_timeout``,
    ``write_timeout`` (seconds), ``max_body_bytes``, ``max_head_bytes``, ``max_headers``, ``write_buffer_bytes``. Of
    websockets: ``max_message_bytes``, ``ping_interval``, ``ping_timeout`` (0: off), ``close_timeout`` (seconds).

    ``trusted_proxies``: addresses, networks (``10.0.0.0/8``) or ``*``, whose ``X-Forwarded-For`` and ``-Proto`` are
    believed. Raises ValueError for anything else.
    """

    def __new__(cls, *, trusted_proxies: Sequence[str] = ..., **limits_given: float) -> Engine: ...
    def bind(self, host: str, port: int) -> tuple[str, int]:
        """Binds without accepting. Returns the real address and port. Raises OSError (EADDRINUSE...)."""

    def mount_asgi(
        self,
        prefix: str,
        start: Callable[[dict[str, Any], Receive, Any], None],
        create_future: Callable[[], Any],
        template: dict[str, Any],
        state: dict[str, Any] | None = None,
        root_path: str = ...,
        websocket_template: dict[str, Any] | None = None,
        native: Any = None,
    ) -> None:
        """Sends everything at or below ``prefix`` to ``start(scope, receive, send)``, called between turns.

        ``template`` holds what every scope has in common, ``websocket_template`` what every scope of a websocket has
        (None: websockets are denied with 403); ``state`` is copied into each scope. ``send`` is a :class:`Send` or, of
        a websocket, a :class:`WebsocketSend`. ``native`` is a ``web.native.NativeSide``, whose routes are served
        without ``start``.
        """

    def native_counts(self) -> tuple[int, int, int, int] | None:
        """Requests on native routes: compiled, direct, passed to the application, replayed by it. None without any."""

    def set_native_routes(self, routes: NativeRoutes) -> None:
        """Has these routes take the place of those of the native side."""

    def bind_unix(self, path: str) -> None:
        """Binds a Unix socket, in place of :meth:`bind`. One that a server left behind is replaced. Raises OSError."""

    def adopt(self, fd: int) -> None:
        """Serves a connection that another process has accepted; the descriptor is the engine's from here on. After
        :meth:`listen`. Raises OSError."""

    def mount_wsgi(self, prefix: str, workers: WsgiWorkers) -> None:
        """Serves a WSGI application under a prefix; websockets are denied. Raises ValueError for one that is taken."""

    def add_constant(
        self, method: str, path: str, body: bytes, status: int = 200, headers: Sequence[tuple[bytes, bytes]] = ...
    ) -> None:
        """Answers this method and literal path natively. Raises ValueError for what HTTP cannot say."""

    def listen(self) -> None:
        """Starts to accept on the bound socket. Raises OSError."""

    def watch(self, fd: int) -> None:
        """Ends turns when ``fd``, asyncio's own epoll or kqueue, has events."""

    def turn(self, timeout: float | None, drained: bool) -> bool:
        """Runs the engine until asyncio has something to do. Returns whether the watched descriptor may have events.

        ``drained``: the descriptor had none left when it was last asked. Raises RuntimeError from a second thread.
        """

    def wake(self) -> None:
        """Ends the current or the next turn; from any thread."""

    def drain(self) -> None:
        """Stops accepting; connections close after the request that they serve."""

    def abort(self) -> None:
        """Closes every connection."""

    def open_connections(self) -> int:
        """Connections open now."""

    def close(self) -> None:
        """Frees everything. Turns raise RuntimeError afterwards."""

@final
class Receive:
    """ASGI's ``receive`` of one request or websocket."""

    def __call__(self) -> Waiting: ...

@final
class Send:
    """ASGI's ``send`` of one request."""

    def __call__(self, message: Any) -> Completed | Waiting:
        """Raises RuntimeError for messages out of order, TypeError for a body that is no bytes."""

    def started(self) -> bool:
        """Whether the application has tried to begin a response, with success or not."""

    def finish(self, failed: bool = False) -> str | None:
        """The application is done with this request. Returns what was wrong with its response, or None."""

@final
class WebsocketSend:
    """ASGI's ``send`` of one websocket."""

    def __call__(self, message: Any) -> Completed | Waiting:
        """Raises RuntimeError for messages out of order and what the protocol cannot say, TypeError for values of a
        wrong type, ClientDisconnected when the client is gone."""

    def finish(self, failed: bool = False) -> str | None:
        """The application is done: a websocket that is open is closed with 1000 (``failed``: 1011). Returns what was
        wrong, or None."""

class ClientDisconnected(OSError):
    """A websocket's client is gone: nothing can be sent to it."""

def forward_logs(emit: Callable[[int, str, str, dict[str, Any]], object], engine_level: int, access_level: int) -> None:
    """Has the engine's events given to ``emit(level, logger, message, fields)``, between two turns of any engine.

    The levels are those of Python's logging, for events of the engine and for those of requests that were answered. One
    for the process: the last call counts. 10,000 events may wait; of more, the oldest are lost and counted.
    """

@final
class Metrics:
    """How long the requests of an application took, by the path of the route that took them."""

    def __new__(cls) -> Metrics: ...
    def text(self) -> str:
        """Histograms in the text format that Prometheus reads, version 0.0.4."""

@final
class WsgiWorkers:
    """What a WSGI application (PEP 3333) is served by: threads that call :meth:`work`.

    ``template`` is what every environ has in common; ``complain(method, path, error)`` is called with what a request
    failed of.
    """

    def __new__(
        cls,
        app: Callable[..., Any],
        template: dict[str, Any],
        root_path: str,
        complain: Callable[[str, str, BaseException], object],
    ) -> WsgiWorkers: ...
    def work(self) -> None:
        """Serves one request after the other on the calling thread, until :meth:`close`."""

    def close(self) -> None:
        """Has the threads end after the requests that they are in. What waits is answered with 500."""

    @property
    def pending(self) -> int:
        """Requests that wait for a thread or have one."""

@final
class StartResponse:
    """``start_response``. Raises what PEP 3333 says: AssertionError for a second call without ``exc_info``, the error
    of ``exc_info`` once the head was sent; TypeError and ValueError for what is no status and no header."""

    def __call__(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
    ) -> Callable[[bytes], None]: ...
    def write(self, data: bytes) -> None: ...

@final
class WsgiInput:
    """``wsgi.input``. Reading waits for the client; raises ConnectionResetError when it goes away."""

    def read(self, size: int | None = None, /) -> bytes: ...
    def readline(self, size: int | None = None, /) -> bytes: ...
    def readlines(self, hint: int | None = None, /) -> list[bytes]: ...
    def __iter__(self) -> WsgiInput: ...
    def __next__(self) -> bytes: ...

@final
class NativeRoutes:
    """The routes of an application, in its order. ``root`` is taken off paths before they are looked up."""

    def __new__(cls, capacity: int, root: str, metrics: Metrics | None = None) -> NativeRoutes: ...
    def add(
        self,
        path: str | None,
        methods: Sequence[str] | None,
        route: NativeRoute | None,
        *,
        label: str,
        below: bool = False,
    ) -> None:
        """Adds a route behind all others; safe while requests are looked up.

        ``path`` has Starlette's syntax; None may take any request, and ``below`` takes what is under the path, as a
        mounted application. ``methods``: None for all. ``route``: None leaves its requests to the application, as do
        paths that are not simple. ``label``: what its requests are counted under. Raises ValueError for a path without
        a slash and for what is no method.
        """

    def invalidate(self) -> None:
        """The application has changed: every request asks ``fresh`` from now on."""

    def __len__(self) -> int: ...

_Argument: TypeAlias = tuple[str, str | int, str | tuple[str, dict[str, Any]], str, Any, Callable[..., Any] | None]

@final
class NativeRoute:
    """A route that the engine serves."""

    @staticmethod
    def compiled(
        endpoint: Callable[..., Any],
        info: Any,
        *,
        run: str,
        names: tuple[str, ...],
        fixed: Sequence[Any],
        arguments: Sequence[_Argument],
        body: Callable[..., Any] | None,
        respond: tuple[str, Callable[..., Any] | None, Callable[..., Any] | None],
        status: int,
        media_type: str | None,
        cache: bool,
        overridable: bool,
    ) -> NativeRoute:
        """A handler that the engine calls.

        ``run``: "async", "trial", "pool" or "inline". ``fixed``: arguments that never change. ``arguments``: (source,
        key, reading, default kind, default, validator) each. ``names`` has the names of both, and last that of the
        JSON body, which ``body`` validates.
        ``respond``: ("json", None, None), ("model", validate, dump) or ("text", None, None).
        ``cache``: the first answer is every answer. ``overridable``: left to the application while dependencies are
        overridden. ``info`` is handed to ``NativeSide.replay``. Raises ValueError.
        """

    @staticmethod
    def direct(info: Any) -> NativeRoute:
        """A route whose requests ``NativeSide.direct(scope, receive, send, info, texts)`` serves."""

@final
class PoolCall:
    """A handler's call for a thread."""

    def __call__(self) -> None: ...
    def drop(self) -> None:
        """It will not be called: the server stops."""

@final
class CallDone:
    """The callback of a handler's task."""

    def __call__(self, task: Any) -> None: ...

def classify_route(facts: Sequence[tuple[str, str]]) -> tuple[str, list[str]]:
    """The lane ("fast", "typed", "full", "asgi") that all facts allow, and the sentences of those that allow no better.

    Each fact is its name and what it is about. Raises ValueError for a name that is none.
    """

@final
class HeldStep:
    """Stands in for a loop's ``call_soon`` while a task is made, on Pythons without eager tasks."""

    def __call__(self, step: Callable[[], Any], **options: Any) -> None: ...

def eager_task(event_loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """A task that has run to its first suspension, in a context of its own; it may be done already.

    To be called on the loop's thread while no task runs. A task factory of the application's gets its way.
    """

def is_simple_path(path: str) -> bool:
    """Whether the engine can tell for certain which requests a route of this path takes."""

def note_collection(phase: str, _info: dict[str, Any]) -> None:
    """For ``gc.callbacks``: time in collections is not a handler's."""

def read_json(document: bytes) -> Any:
    """``json.loads``, for documents on which both agree for certain. Raises ValueError for others."""

def write_json(value: Any, model: type, dump: Callable[[Any], Any]) -> bytes:
    """FastAPI's JSON of plain values and of what ``dump`` makes of a ``model``. Raises ValueError for others."""

@final
class Completed:
    """An awaitable that is complete."""

    def __await__(self) -> Completed: ...
    def __iter__(self) -> Completed: ...
    def __next__(self) -> None: ...
    def send(self, _value: Any) -> None: ...
    def throw(self, kind: Any, value: Any = None, traceback: Any = None) -> None: ...
    def close(self) -> None: ...

@final
class Waiting:
    """An awaitable that waits for the client."""

    def __await__(self) -> Waiting: ...
    def __iter__(self) -> Waiting: ...
    def __next__(self) -> Any: ...
    def send(self, _value: Any) -> Any: ...
    def throw(self, kind: Any, value: Any = None, traceback: Any = None) -> Any: ...
    def close(self) -> None: ...

def watch_lifeline(fd: int, grace: float, mark: str = ...) -> None:
    """Waits in a native thread for the end of pipe ``fd``; then SIGTERM to this process, and after ``grace`` seconds
    :func:`end_family` and SIGKILL to its process group."""

def end_family(leader: int, mark: str = ...) -> None:
    """Kills what belongs to the server ``leader``, but neither it nor the caller: its descendants, the members of the
    group that it leads, and every process with ``mark`` (``NAME=value``) in the environment it was started with."""

# ---- load -----------------------------------------------------------------------------------------------------------

_Part = bytes | tuple[str, int] | tuple[Literal["base64"], Sequence[bytes | tuple[str, int]]]
"""A piece of a template: bytes as they are; a slot and how its value is written, which is ``text`` (as it is),
``field`` (a header field: control characters become spaces), ``url`` (percent-encoded), ``link`` (a
whole request target: path and query of a URL), ``form`` (as in a form),
``json_text`` (inside the quotes of a JSON string) or ``json_value`` (as JSON: text gets quotes, what was captured
from JSON keeps its type); or other parts, in base64."""

_Check = (
    tuple[Literal["contains"], bytes]
    | tuple[Literal["regex"], str]
    | tuple[Literal["json"], str, str | None]
    | tuple[Literal["header"], str, str | None]
    | tuple[Literal["sha256"], bytes]
    | tuple[Literal["length"], int]
)
"""What a good answer has, besides its status: a body that contains these bytes or matches a pattern, a JSON value (a
pointer as in RFC 6901, and the value as JSON text; None: any), a header (its whole value; None: any), a body of this
hash, or of so many bytes."""

_Source = tuple[Literal["json", "header", "regex"], str]
"""Where a value of an answer is: a JSON pointer, a header, or a pattern whose first group (or all of it) is the
value."""

_Capture = tuple[int, Literal["json", "header", "regex"], str]
"""The slot that a value of an answer goes to, and its source."""

@final
class Request:
    """One HTTP/1.1 request, as the bytes on the wire.

    ``status`` is the expected status code; None accepts 200-399. Every ``look_every``-th answer is checked.
    ``timeout``: seconds that its answer may take, instead of the plan's. Raises ValueError for a pattern or a pointer
    that is none.
    """

    def __new__(
        cls,
        name: str,
        wire: bytes,
        status: int | None,
        *,
        checks: Sequence[_Check] = ...,
        captures: Sequence[_Capture] = ...,
        look_every: int = 1,
        timeout: float | None = None,
    ) -> Request: ...
    @staticmethod
    def template(
        name: str,
        head: Sequence[_Part],
        body: Sequence[_Part] | None,
        status: int | None,
        *,
        checks: Sequence[_Check] = ...,
        captures: Sequence[_Capture] = ...,
        look_every: int = 1,
        timeout: float | None = None,
    ) -> Request:
        """A request that is put together when it is sent. ``head`` is the request line and the fields, each with its
        CRLF, without the empty line and without a content-length; that is added for a ``body`` that is not None. The
        first part of ``head`` is bytes that hold the method."""

@final
class Feed:
    """Rows of values. Each flow that begins takes the next one, or one by chance where it is ``shuffled``, and puts its
    columns into ``slots``; ``per_user``, each user takes one before everything else and keeps it. After the last row
    comes the first. Bytes are text, and a ``str`` is JSON. Raises ValueError without rows, and for a row of another
    width."""

    def __new__(
        cls,
        slots: Sequence[int],
        rows: Sequence[Sequence[bytes | str]],
        *,
        shuffled: bool = False,
        per_user: bool = False,
    ) -> Feed: ...

_Step = tuple[int, float, float]
"""The index of a request, and the least and the most seconds before it (after the answer to the step before)."""

@final
class Scenario:
    """What users do: ``flows`` have a name, a weight and steps. Each time a user is free a flow is chosen in exact
    proportion to the weights. ``start``: requests that each user sends once before the load begins; they are counted
    nowhere. ``slots``: how many values a user holds. ``cookies``: whether a user keeps cookies. Values and cookies stay
    from flow to flow. A flow ends when one of its requests fails."""

    def __new__(
        cls,
        flows: Sequence[tuple[str, int, Sequence[_Step]]],
        *,
        start: Sequence[int] = ...,
        feeds: Sequence[Feed] = ...,
        slots: int = 0,
        cookies: bool = False,
    ) -> Scenario: ...

@final
class Target:
    """A server: its address, and the processes whose CPU time and memory are its cost (with their descendants)."""

    def __new__(cls, host: str, port: int, pids: Sequence[int]) -> Target: ...
    @staticmethod
    def unix(path: str, pids: Sequence[int]) -> Target:
        """A server on a Unix socket."""

    @staticmethod
    def tls(
        host: str, port: int, pids: Sequence[int], *, name: str, roots: bytes | None = None, verify: bool = True
    ) -> Target:
        """A server behind TLS, which must prove to be ``name``: by certificates that this machine trusts, or only those
        of the PEM text ``roots``. Without ``verify`` it may be anyone. Raises ValueError for certificates or a name
        that are none."""

@final
class Progress:
    """How far a load has come."""

    @property
    def phase(self) -> Literal["warm-up", "slices", "stretch"]: ...
    @property
    def elapsed_ns(self) -> int: ...
    @property
    def planned_ns(self) -> int: ...
    @property
    def requests(self) -> int: ...
    @property
    def errors(self) -> int: ...
    @property
    def latest_ns(self) -> tuple[int, int] | None:
        """The median and the 99th percentile of the response times of the last second."""

_Control = Callable[[Progress], bool | None] | None
"""Is shown the progress about every 50 ms. What it raises ends the load; False ends a `run_load` with its result."""

_Stages = tuple[float, Sequence[tuple[float, float]]]
"""A starting value, and the seconds and the target of each stage."""

@final
class Pacing:
    """How load is offered. Raises ValueError, when it is used, for values that are no amounts."""

    @staticmethod
    def closed(*, users: _Stages | None = None, think: tuple[float, float] | None = None) -> Pacing:
        """Users who wait for each answer and then for a time between the two seconds of ``think``; as many as
        connections, or as ``users`` says."""

    @staticmethod
    def open(rate: _Stages, *, poisson: bool = False, most_queued: int | None = None) -> Pacing:
        """A schedule of ``rate`` requests a second. Beyond ``most_queued`` that are due and unsent, requests are
        dropped."""

@final
class Histogram:
    """Times in nanoseconds, to three significant digits."""

    @property
    def count(self) -> int: ...
    @property
    def mean_ns(self) -> float | None: ...
    @property
    def max_ns(self) -> int | None: ...
    def quantile_ns(self, q: float) -> int | None:
        """The time that a share ``q`` kept; None when fewer than ten lie beyond it."""

    def count_between(self, low_ns: int, high_ns: int) -> int:
        """How many lie from ``low_ns`` to ``high_ns``."""

    def to_v2_text(self) -> str:
        """HdrHistogram's compressed V2 form in base64, as in the lines of its logs."""

    @staticmethod
    def merged(parts: Sequence[Histogram]) -> Histogram:
        """All of them as one, exactly."""

@final
class Answer:
    """What one request brought."""

    @property
    def outcome(self) -> str: ...
    @property
    def status(self) -> int | None: ...
    @property
    def headers(self) -> list[tuple[str, bytes]]: ...
    @property
    def body(self) -> bytes: ...
    @property
    def latency_ns(self) -> int: ...
    @property
    def detail(self) -> str: ...

@final
class Side:
    """The requests of one side, or of one stretch of load.

    ``outcomes`` counts each kind by name: ``ok``, ``connect_refused``, ``connect_timeout``, ``fd_exhausted``,
    ``connect_failed``, ``tls_failed``, ``reset``, ``eof``, ``timeout``, ``protocol_error``, ``unexpected_status``,
    ``check_failed``, ``unfinished``.
    """

    @property
    def requests(self) -> int: ...
    @property
    def connections(self) -> int: ...
    @property
    def outcomes(self) -> dict[str, int]: ...
    @property
    def statuses(self) -> dict[int, int]: ...
    @property
    def details(self) -> dict[str, dict[str, int]]:
        """By outcome, why requests ended as they did, and how often: the kind of a protocol fault (``bad_head``,
        ``head_too_long``, ``bad_status``, ``bad_content_length``, ``bad_chunk_size``, ``bad_chunk_end``,
        ``surplus_bytes``), what the system said, which check failed."""

    @property
    def reconnects(self) -> int: ...
    @property
    def bytes_received(self) -> int: ...
    @property
    def duration_ns(self) -> int: ...
    @property
    def cpu_ns(self) -> int | None: ...
    @property
    def idle_cpu_ns(self) -> int | None:
        """What of it the server used in ``idle_ns``: slices of the other side that another slice of that side preceded.
        None for a stretch, which has no other side."""

    @property
    def idle_ns(self) -> int: ...
    @property
    def peak_rss_bytes(self) -> int | None: ...
    @property
    def processes_changed(self) -> bool: ...
    def quantile_ns(self, q: float) -> int | None:
        """The latency that a share ``q`` of the good answers kept; None when fewer than ten lie beyond it."""

    @staticmethod
    def merged(sides: Sequence[Side]) -> Side:
        """All of them as one: counts, durations and CPU times add up, histograms merge exactly, memory is the
        largest.

        An unknown CPU time makes the sum unknown.
        """

@final
class Generator:
    """How well the generator itself ran. Shares are of the run's wall time, 0 to 1; None where the kernel is silent."""

    @property
    def utilisation(self) -> float | None: ...
    @property
    def run_queue_wait(self) -> float | None: ...
    @property
    def steal(self) -> float | None: ...
    @property
    def busy_cores(self) -> float | None:
        """How many cores of the machine were at work on average, whoever's work it was."""

    @property
    def wall_ns(self) -> int: ...
    @property
    def cpu_ns(self) -> int | None: ...
    @property
    def spun(self) -> bool:
        """Whether it spun before requests were due; ``utilisation`` is without that."""

@final
class Floor:
    """What the generator itself takes: a closed loop on a server that does nothing."""

    @property
    def service(self) -> Histogram: ...
    @property
    def rps(self) -> float: ...
    @property
    def cpu_ns(self) -> float | None:
        """CPU time of the load thread for a request."""

@final
class RequestResult:
    """One request of a stretch of load."""

    @property
    def name(self) -> str: ...
    @property
    def ok(self) -> int: ...
    @property
    def failed(self) -> int: ...
    @property
    def outcomes(self) -> dict[str, int]: ...
    @property
    def statuses(self) -> dict[int, int]: ...
    @property
    def details(self) -> dict[str, dict[str, int]]: ...
    @property
    def service(self) -> Histogram: ...
    @property
    def response(self) -> Histogram: ...

@final
class LoadResult:
    """One stretch of load."""

    @property
    def side(self) -> Side: ...
    @property
    def generator(self) -> Generator: ...
    @property
    def service(self) -> Histogram:
        """From the start of writing to the last byte read, of good answers."""

    @property
    def response(self) -> Histogram:
        """From when a request was due, of good answers and, as lower bounds, of timed out and unfinished requests."""

    @property
    def connect(self) -> Histogram: ...
    @property
    def lateness(self) -> Histogram:
        """How much later than due the generator started what it had to wait for."""

    @property
    def scheduled(self) -> int | None:
        """How many requests (flows, in a scenario) were due in all; None in a closed loop and for a ``count``."""

    @property
    def most_queued(self) -> int:
        """The most requests that were due and unsent at a time."""

    @property
    def unsent(self) -> int:
        """Requests that were due and never sent; they are counted as unfinished too."""

    @property
    def dropped(self) -> int:
        """Requests that were due and left out because too many were queued; counted nowhere else."""

    @property
    def per_request(self) -> list[RequestResult]: ...
    @property
    def bins(self) -> list[tuple[int, int]]:
        """Good and failed answers of each 100 ms."""

    @property
    def seconds(self) -> list[tuple[int, int, int, int]]:
        """Of each second: good answers, and p50, p99 and maximum of their response times in nanoseconds."""

    @property
    def balance(self) -> tuple[int, int]:
        """The fewest and the most requests that one connection has carried."""

    @property
    def timer_mode(self) -> str: ...
    @property
    def ended_early(self) -> Literal["dead", "error_rate", "stopped"] | None: ...
    @property
    def precision(self) -> float | None:
        """Half the width of the 95 % interval of what ``precise`` names, as a share of it."""

    @property
    def flows(self) -> list[tuple[str, int, int, int]]:
        """Of each flow: its name, and how often it was completed, failed, and was cut by the end of the run."""

    @property
    def resent(self) -> int:
        """Requests that were sent a second time, because the server had closed their connection without any answer."""

@final
class WarmUpResult:
    """A warm-up: throughput of its windows, and whether it became steady."""

    @property
    def windows_rps(self) -> list[float]: ...
    @property
    def steady(self) -> bool: ...
    @property
    def side(self) -> Side: ...

@final
class PairedResult:
    """Two sides loaded in alternating slices: one epoch."""

    @property
    def sides(self) -> tuple[Side, Side]: ...
    @property
    def generator(self) -> Generator: ...
    @property
    def blocks(self) -> list[tuple[tuple[int, int, int], tuple[int, int, int]]]:
        """Per block and side: requests, wall ns, CPU ns."""

    @property
    def core(self) -> int | None:
        """The core that the generator and both servers shared; None when the system placed them."""

    def epoch_estimate(self, metric: _CostMetric) -> EpochEstimate:
        """The epoch's log ratio. Raises ValueError when it has too few blocks."""

@final
class ConnectionPlan:
    """How requests are sent: ``connections`` at once, and seconds after which one counts as timed out."""

    def __new__(
        cls, connections: int, keep_alive: bool, connect_timeout: float, request_timeout: float
    ) -> ConnectionPlan: ...

def once(target: Target, request: Request, timeout: float, keep_body: int, control: _Control = None) -> Answer:
    """Sends one request on a fresh connection."""

def run_load(
    target: Target,
    requests: Sequence[Request],
    plan: ConnectionPlan,
    *,
    seconds: float | None = None,
    count: int | None = None,
    precise: tuple[float | None, float] | None = None,
    warm_up: float = 0.0,
    scenario: Scenario | None = None,
    pacing: Pacing | None = None,
    drain: float | None = None,
    abort: tuple[float, float] | None = None,
    seed: int = 0,
    control: _Control = None,
) -> LoadResult:
    """One stretch, for ``seconds`` or exactly ``count`` requests, in a closed loop or as ``pacing`` says.

    ``precise``: a quantile (None: the throughput) and half the width of its 95 % interval as a share, at which the run
    ends before ``seconds``. ``warm_up``: seconds of the same load before, which nothing counts.
    ``scenario`` says who sends which of the requests; without one they are sent in turn. A rate is of flows begun.
    ``drain``: seconds after which what is due and not over is given up (default: never). ``abort``: the share of failed
    requests that ends the run, and the seconds before which it does not. Raises ValueError without ``seconds`` or
    ``count``, and for a plan in which nothing could happen.
    """

def measure_floor(connections: int, time: float) -> Floor:
    """The generator alone on so many connections, for ``time`` seconds."""

def warm_up(
    target: Target,
    requests: Sequence[Request],
    plan: ConnectionPlan,
    *,
    window: float,
    min_windows: int,
    max_seconds: float,
    control: _Control = None,
) -> WarmUpResult:
    """Loads until the throughput of windows of ``window`` seconds is steady, for at most ``max_seconds``."""

def run_paired(
    targets: tuple[Target, Target],
    requests: tuple[Sequence[Request], Sequence[Request]],
    plan: ConnectionPlan,
    *,
    seconds_per_side: float,
    min_slice: float,
    max_round: float,
    chunks: int,
    seed: int,
    core_turn: int | None = None,
    control: _Control = None,
) -> PairedResult:
    """Loads A and B in alternating slices (ABBA or BAAB by a seeded coin), only one at a time.

    A slice is the longer of one round (a request on each connection) and ``min_slice`` seconds; connections are cut
    until a round takes at most ``max_round`` seconds. With ``core_turn`` the calling thread and both servers share a
    core meanwhile, of those that this thread may use the one of that turn. Ends early when a server is dead: look at
    the outcomes.
    """

# ---- statistics -----------------------------------------------------------------------------------------------------

@final
class EpochEstimate:
    """One epoch: robust centre and ratio of totals, both log ratios with standard errors. ``df``: degrees of freedom of
    the errors. ``blocks``: how many it is made of. What is no number is refused when sessions are made of epochs."""

    def __new__(
        cls, log_ratio: float, se: float, df: float, totals_log_ratio: float, totals_se: float, blocks: int
    ) -> EpochEstimate: ...
    @staticmethod
    def of_blocks(
        blocks: Sequence[tuple[tuple[int, int, int], tuple[int, int, int]]], metric: _CostMetric
    ) -> EpochEstimate:
        """Of the requests (or calls), wall and CPU nanoseconds of sides A and B in each block. Raises ValueError when
        there are too few, and for sides that cost nothing."""

    @staticmethod
    def exact(log_ratio: float) -> EpochEstimate:
        """An epoch measured without error in itself, such as a peak of memory."""

    @property
    def log_ratio(self) -> float: ...
    @property
    def se(self) -> float: ...
    @property
    def df(self) -> float: ...
    @property
    def totals_log_ratio(self) -> float: ...
    @property
    def totals_se(self) -> float: ...
    @property
    def blocks(self) -> int: ...

@final
class SessionEstimate:
    """All epochs of one test: a log ratio with its standard error and degrees of freedom."""

    @property
    def log_ratio(self) -> float: ...
    @property
    def se(self) -> float: ...
    @property
    def df(self) -> float: ...
    @property
    def totals_log_ratio(self) -> float: ...
    @property
    def totals_se(self) -> float: ...
    @property
    def epochs(self) -> int: ...

def session_estimate(epochs: Sequence[EpochEstimate], other_tests: Sequence[Sequence[float]]) -> SessionEstimate:
    """Mean over epochs. ``other_tests``: epoch log ratios of the session's other tests, whose between-epoch variance
    is pooled with this one's, as far as theirs are alike. Raises ValueError without epochs."""

def quantile_estimate(epochs: Sequence[PairedResult], q: float, resamples: int, seed: int) -> SessionEstimate | None:
    """Log ratio of the pooled quantile ``q``, by block bootstrap. None when fewer than ten samples lie beyond it."""

def stretch_quantile_estimate(
    epochs: Sequence[Sequence[tuple[LoadResult, LoadResult]]], q: float, resamples: int, seed: int
) -> SessionEstimate | None:
    """Log ratio of the quantile ``q`` of response times over stretches of load on both sides, by bootstrap of pairs
    of stretches. None when fewer than ten samples lie beyond it, and below five pairs."""

@final
class Judgement:
    """A comparison's outcome. ``change``, ``low``, ``high``, ``smallest_detectable`` are fractions (0.05 is +5 %)."""

    @property
    def verdict(self) -> Literal["regressed", "improved", "equivalent", "inconclusive"]: ...
    @property
    def change(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...
    @property
    def smallest_detectable(self) -> float: ...
    @property
    def bursts(self) -> bool: ...
    @property
    def chance_of_red(self) -> float:
        """The chance (0 to 1) that the metric is called regressed once ``most_epochs`` are pooled."""

@final
class JudgeRule:
    """How a metric is judged: ``limit`` is a fraction; ``false_alarm`` is one-sided and of this comparison alone.

    ``most_epochs``: how many the test may come to have, and ``last_false_alarm`` what its last look may spend. A rule
    that cannot be applied is refused when it is used.
    """

    def __new__(
        cls,
        *,
        lower_is_better: bool,
        limit: float,
        false_alarm: float,
        confidence: float,
        most_epochs: int,
        last_false_alarm: float,
    ) -> JudgeRule: ...

def student_t_quantile(probability: float, df: float) -> float:
    """Quantile of Student's t. Infinite for a probability of 0 or 1; NaN for degrees of freedom below or of 0."""

def judge_against_sessions(
    now: SessionEstimate,
    stored: Sequence[tuple[float, float]],
    history: Sequence[Sequence[float]],
    prior_spread: float,
    rule: JudgeRule,
) -> Judgement:
    """Compares with stored sessions: the log ratio and the log ratio of totals of each.

    ``history``: the log ratios of every test of this hardware profile, from which the session-to-session spread is
    learned; until there are ten it is at least ``prior_spread``. Raises ValueError for values that are not numbers.
    """

def judge_pair(now: SessionEstimate, floor: tuple[float, float], rule: JudgeRule) -> Judgement:
    """Compares the two sides of one session.

    ``floor``: standard deviation and degrees of freedom of what runs differ by beyond their own errors. Raises
    ValueError for values that are not numbers.
    """

def run_floor(equals: Sequence[tuple[float, float]]) -> tuple[float, float] | None:
    """The floor for :func:`judge_pair`, learned from comparisons of equals: log ratio and standard error of each.

    None without any. Raises ValueError for values that are not numbers.
    """
