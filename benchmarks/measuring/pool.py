"""The servers that are up: started when first needed, stopped when told, none left behind."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from measuring.asks import Workload
from measuring.environments import Environments, Missing
from measuring.generators import Wrong, ask
from measuring.processes import Cores, Process, cpu_ns, tree
from measuring.rows import Place, Server, Start

TRIES = 3
# A server that has not used this share of a core for so long has started; one that never does is measured all the same.
SETTLE_S, QUIET_S, QUIET_SHARE = 60.0, 0.2, 0.1


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    process: Process
    port: int
    start: Start
    started_s: float
    """Seconds from its start to its first answer."""


class Pool:
    """Servers by name and by what routes they have."""

    def __init__(self, environments: Environments, cores: Cores, folder: Path, apps: Path, start_s: float) -> None:
        self._environments = environments
        self._cores = cores
        self._folder = folder
        self._apps = apps
        self._start_s = start_s
        self._up: dict[tuple[str, str], Running] = {}

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def get(self, server: Server, workload: Workload) -> Running:
        """The server, answering. Raises Missing where it cannot be had or does not start."""
        name = (server.name, workload.routes)
        running = self._up.get(name)
        if running is not None and not running.process.has_ended():
            return running
        self._stop_one(name)
        self._up[name] = self._started(server, workload)
        return self._up[name]

    def stop(self, keep: set[tuple[str, str]] | None = None) -> None:
        """Stops all servers but those to keep (name and routes)."""
        for name in [name for name in self._up if name not in (keep or set())]:
            self._stop_one(name)

    def _stop_one(self, name: tuple[str, str]) -> None:
        running = self._up.get(name)
        if running is not None:
            # Forgotten only when it is gone: a second Ctrl-C must find it here.
            running.process.stop()
            del self._up[name]

    def _started(self, server: Server, workload: Workload) -> Running:
        for attempt in range(1, TRIES + 1):
            port = free_port()
            folder = self._folder / f"{server.name}-{port}"
            folder.mkdir()
            start = server.start(self._environments, Place(port, folder))
            began = time.monotonic()
            process = self._spawned(start, workload.routes, folder / "log")
            try:
                if self._answers(process, port, workload):
                    started_s = time.monotonic() - began
                    settle(process.pid)
                    return Running(process, port, start, started_s)
                ended, said = process.has_ended(), process.said()
            except BaseException:
                process.stop()
                raise
            process.stop()
            if not (ended and "in use" in said and attempt < TRIES):
                break
        why = "ended before it answered" if ended else f"did not answer within {self._start_s:.0f} s"
        raise Missing(f"{why}: {said}" if said else why)

    def _spawned(self, start: Start, routes: str, log: Path) -> Process:
        environment = {
            **os.environ, "PYTHONPATH": str(self._apps), "PYTHONDONTWRITEBYTECODE": "1", "BENCH_ROUTES": routes,
            **start.environment,
        }  # fmt: skip
        try:
            return Process(start.command, environment, self._cores.servers, log)
        except OSError as error:
            raise Missing(f"{Path(start.command[0]).name}: {error.strerror}") from error

    def _answers(self, process: Process, port: int, workload: Workload) -> bool:
        """Waits for any answer at all; whether it is right is another question."""
        deadline = time.monotonic() + self._start_s
        while not process.has_ended() and time.monotonic() < deadline:
            with contextlib.suppress(Wrong):
                ask(port, workload.ask)
                return True
            time.sleep(0.05)
        return False


def settle(pid: int) -> None:
    """Waits until a server is quiet: its workers may still be starting when one of them answers."""
    deadline = time.monotonic() + SETTLE_S
    while time.monotonic() < deadline:
        before = cpu_ns(tree(pid))
        time.sleep(QUIET_S)
        if cpu_ns(tree(pid)) - before < QUIET_SHARE * QUIET_S * 1e9:
            return


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
