"""The server in a thread of this process, for ordinary functional tests."""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping
from types import TracebackType

from pytest_fastr.config import MountKind
from pytest_fastr.errors import MountError
from pytest_fastr.mount.runtime import Address, Runtime, ServeOptions
from pytest_fastr.mount.target import Application, AppRef, InterfaceKind


class Server:
    """Serves an application from a thread of the current process.

    Closures, monkeypatches and ``dependency_overrides`` are those of the test, since it is the same process. Any number
    may run at once. For measuring use the ``perf`` fixture: a thread shares the interpreter with the test.

    Args:
        app: an ASGI or WSGI application, or ``"module:attr"`` (``"module:factory()"`` calls a factory).
        port: 0 takes a free one; the real one is in :attr:`url`.
        lifespan: run the application's start-up and shutdown.
        root_path: as for an application behind a proxy that strips this prefix.
        mount: "asgi", or "native" for the compiled routes of a FastAPI application; "auto" is native for FastrAPI.
        interface: "asgi" or "wsgi"; "auto" goes by what the application takes.
        threads: how many threads serve WSGI, or native handlers with run="pool"; None for the default.
        limits: limits of the engine, such as ``{"max_connections": 1000, "header_timeout": 5.0}``.
        startup_timeout: seconds that start-up may take.

    Raises:
        StartupError, PortInUseError, AppImportError: on entering.
    """

    def __init__(
        self,
        app: Application | str,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        lifespan: bool = True,
        root_path: str = "",
        mount: MountKind = "auto",
        interface: InterfaceKind = "auto",
        threads: int | None = None,
        limits: Mapping[str, float] | None = None,
        startup_timeout: float = 30.0,
    ) -> None:
        self._app = app
        self._options = ServeOptions(
            host=host,
            port=port,
            root_path=root_path,
            lifespan="auto" if lifespan else "off",
            drain_timeout=5.0,
            mount=mount,
            interface=interface,
            threads=threads,
            limits=limits or {},
        )
        self._startup_timeout = startup_timeout
        self._runtime: Runtime | None = None
        self._thread: threading.Thread | None = None
        self._address: Address | None = None
        self._failure: BaseException | None = None

    @property
    def url(self) -> str:
        """The base URL, without a trailing slash."""
        return self._require_address().url

    @property
    def host(self) -> str:
        """The address that the server listens on."""
        return self._require_address().host

    @property
    def port(self) -> int:
        """The real port."""
        return self._require_address().port

    def native_counts(self) -> dict[str, int]:
        """How many requests the native lanes have served: by compiled handlers, by FastAPI's application of the route
        (direct), not after all but by the whole application (passed), and, of the compiled ones, those whose response
        FastAPI had to make (replayed). Empty for other mounts."""
        counts = self._runtime.native_counts() if self._runtime is not None else None
        return dict(zip(("compiled", "direct", "passed", "replayed"), counts or (), strict=False))

    def _require_address(self) -> Address:
        if self._address is None:
            raise MountError("the server is not running: use it as `with Server(app) as server:`")
        return self._address

    def __enter__(self) -> Server:
        if self._thread is not None:
            raise MountError("this server is running already; make another one")
        app = AppRef.parse(self._app).load() if isinstance(self._app, str) else self._app
        runtime = Runtime(app, self._options)
        ready: queue.SimpleQueue[Address | None] = queue.SimpleQueue()

        def serve() -> None:
            try:
                runtime.run(ready.put, signals=False)
            except BaseException as error:
                self._failure = error
            finally:
                ready.put(None)

        self._runtime, self._failure = runtime, None
        self._thread = threading.Thread(target=serve, name="pytest_fastr.Server", daemon=True)
        self._thread.start()
        try:
            self._address = ready.get(timeout=self._startup_timeout)
        except queue.Empty:
            self._shut_down()
            raise MountError(
                f"the application did not start within {self._startup_timeout:g} s; raise `startup_timeout` "
                "if it needs longer"
            ) from None
        except BaseException:  # Ctrl-C while waiting: nobody would leave a block that was not entered
            self._shut_down()
            raise
        if self._address is None:
            self._shut_down()
            self._raise_failure()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._shut_down()
        if error is None:
            self._raise_failure()

    def _shut_down(self) -> None:
        if self._thread is None or self._runtime is None:
            return
        self._runtime.stop()
        self._thread.join(self._options.drain_timeout + 5.0)
        alive = self._thread.is_alive()
        self._thread = self._runtime = self._address = None
        if alive:
            raise MountError("the server's thread did not end: the application blocks its event loop")

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
