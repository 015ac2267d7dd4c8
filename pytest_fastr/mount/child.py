"""What runs inside a server process, spawned or forked."""

from __future__ import annotations

import atexit
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from pytest_fastr import _native
from pytest_fastr.errors import ConfigError, FastrError, PortInUseError
from pytest_fastr.mount import handshake
from pytest_fastr.mount.lanes import is_fastapi, lane_table
from pytest_fastr.mount.moved import Moved
from pytest_fastr.mount.runtime import Address, Runtime, ServeOptions, tracing_tool
from pytest_fastr.mount.sampler import Recording
from pytest_fastr.mount.target import Application
from pytest_fastr.mount.workers import run_workers

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_PORT_IN_USE = 3

# Files whose frames tell nobody who serves an application what to change.
_OWN_FRAMES = (str(Path(__file__).parents[1]), str(importlib.__file__), "<frozen importlib")

# In the environment of a server process, and so of everything it starts: by this the parent finds processes that
# have left the server's group and outlived it.
MARK = "PYTEST_FASTR_SERVER"

# Blocking handlers run in threads; at the default of 5 ms one that computes holds up every request on the I/O thread,
# and at 0.5 ms short handlers are interrupted so often that a request costs a tenth more.
SWITCH_INTERVAL_SECONDS = 0.001

# How long an orphaned server may drain before its process group is killed.
ORPHAN_GRACE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class ParentPipes:
    """Descriptors shared with the parent; None when a person started the server.

    ``ready`` is written once. ``lifeline`` is never written: its end of file means that the parent is gone.
    """

    ready: int | None = None
    lifeline: int | None = None


def run_server(
    load: Callable[[], Application],
    options: ServeOptions,
    pipes: ParentPipes,
    moved: Moved | None = None,
    sample: Path | None = None,
    logging_to: Callable[[], None] | None = None,
    lanes: bool = False,
) -> int:
    """Loads and serves an application until it is told to stop. Returns the exit code.

    ``moved``: where the application's code is imported from, to be proven. ``sample``: the file for a profile of the
    time between being ready and being told to stop. ``logging_to`` sets up logging once the application is loaded,
    which may have set up its own. ``lanes``: tell the parent the lanes of the routes.
    """
    _take(pipes)
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    told = False
    recording = Recording(sample) if sample is not None else None

    def tell_ready(address: Address) -> None:
        nonlocal told
        if recording is not None:
            recording.begin()
        if pipes.ready is None:
            _say_ready(address)
            return
        ready = handshake.Ready(
            host=address.host,
            port=address.port,
            path=address.path,
            pid=os.getpid(),
            app_file=source_file(app),
            tracing=tracing_tool(),
            debug_build=_native.DEBUG_BUILD,
            strays=() if moved is None else tuple(moved.strays()),
            mount="asgi" if runtime.native_counts() is None else "native",
            is_fastapi=is_fastapi(app),
            lanes=lane_table(app) if lanes else None,
        )
        told = True
        handshake.send_ready(pipes.ready, ready)

    try:
        app = load()
        if logging_to is not None:
            logging_to()
        runtime = Runtime(app, options)
        runtime.run(tell_ready, signals=True)
    except FastrError as error:
        return _report(error, None if told else pipes.ready)
    finally:
        if recording is not None:
            recording.end()
    return 0


def run_supervisor(command: Sequence[str], options: ServeOptions, pipes: ParentPipes) -> int:
    """Serves with several workers, each started by ``command``, until told to stop. Returns the exit code."""
    _take(pipes)
    told = False

    def tell_ready(ready: handshake.Ready) -> None:
        nonlocal told
        if pipes.ready is None:
            _say_ready(ready.address)
            return
        told = True
        handshake.send_ready(pipes.ready, ready)

    try:
        run_workers(command, options, tell_ready)
    except FastrError as error:
        return _report(error, None if told else pipes.ready)
    return 0


def _take(pipes: ParentPipes) -> None:
    """Makes this process end with its parent."""
    if pipes.ready is not None:
        os.set_inheritable(pipes.ready, False)
    if pipes.lifeline is not None:
        os.set_inheritable(pipes.lifeline, False)
        _native.watch_lifeline(pipes.lifeline, ORPHAN_GRACE_SECONDS, own_mark())
        # Registered before the application's own clean-up, so that it runs after it.
        atexit.register(end_own_family)


def _say_ready(address: Address) -> None:
    print(f"serving on {address.url} (Ctrl-C stops)", file=sys.stderr)


def _report(error: FastrError, ready: int | None) -> int:
    """Says what went wrong, to the parent too when it waits. Returns the exit code."""
    if error.__cause__ is not None and not isinstance(error, PortInUseError | ConfigError):
        cause, frames = error.__cause__, _foreign_frames(error.__cause__)
        if frames is not None or isinstance(cause, SyntaxError):
            sys.excepthook(type(cause), cause.with_traceback(frames), frames)
    print(f"pytest-fastr: {error}", file=sys.stderr, flush=True)
    # Last, since the parent quotes the log when it hears of it.
    if ready is not None:
        handshake.send_error(ready, error)
    if isinstance(error, ConfigError):
        return EXIT_USAGE
    return EXIT_PORT_IN_USE if isinstance(error, PortInUseError) else EXIT_FAILED


def _foreign_frames(error: BaseException) -> TracebackType | None:
    """The traceback from the first frame that is not of the import's machinery or of this package, if there is one."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_OWN_FRAMES):
        frames = frames.tb_next
    return frames


def end_own_family() -> None:
    """Kills what the application has started and not ended. After this process nobody could find all of it."""
    _native.end_family(os.getpid(), own_mark())


def own_mark() -> str:
    """The mark of this server's processes, ``NAME=value``; empty when a person started it."""
    value = os.environ.get(MARK)
    return f"{MARK}={value}" if value else ""


def source_file(app: Any) -> str | None:
    """The file an application's own code comes from: its routes' first endpoint, or the application itself."""
    routes = getattr(app, "routes", None)
    candidates = [getattr(route, "endpoint", None) for route in routes] if isinstance(routes, list) else []
    own = [one for one in candidates if one is not None and not _is_framework(one)]
    for candidate in [*own, app, type(app)]:
        try:
            file = inspect.getsourcefile(inspect.unwrap(candidate))
        except (TypeError, ValueError):
            continue
        # A mock answers every attribute, with anything.
        if isinstance(file, str):
            return file
    return None


def _is_framework(endpoint: Any) -> bool:
    module = str(getattr(endpoint, "__module__", None) or "")
    return module.partition(".")[0] in ("fastapi", "starlette")
