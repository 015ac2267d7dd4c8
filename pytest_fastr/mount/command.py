"""Somebody else's server: the words of its command with their placeholders filled, and the warden that runs it.

A foreign program knows nothing of lifelines and ready pipes, so a small process of ours stands between it and the test
process: to the one it is a parent that starts and ends it, to the other a server as every other.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest_fastr
from pytest_fastr.apps import CommandApp
from pytest_fastr.errors import StartupError
from pytest_fastr.mount.process import Channel, Launch

# Neither the folder that the tests run in nor PYTHONPATH, which is the command's, may lead the warden to other modules.
_BOOT = (
    "import sys; sys.path[0] = sys.argv.pop(1); from pytest_fastr.mount.warden import main; sys.exit(main(sys.argv[1]))"
)
# Ports of late, which a server that is still starting may be about to take.
_given: deque[int] = deque(maxlen=200)


@dataclass(frozen=True, slots=True)
class Errand:
    """What a warden is sent to do. ``argvs`` and ``ports`` belong together: the second ones are for when somebody has
    taken the first port. ``ready``: the path that must answer below 500; None: ``/``, with whatever status."""

    argvs: tuple[tuple[str, ...], ...]
    ports: tuple[int, ...]
    host: str
    ready: str | None
    cwd: str
    startup_timeout: float
    stop_timeout: float
    ready_fd: int
    lifeline_fd: int


def warden_command(app: CommandApp, launch: Launch, channel: Channel) -> list[str]:
    """The command line of the warden. Raises StartupError where the command cannot be started."""
    host = launch.options.host
    cwd = launch.cwd or os.getcwd()
    # The second one is for a race: somebody else may take the first meanwhile.
    ports = (free_port(host), free_port(host))
    errand = Errand(
        argvs=tuple(_words(app, launch, host, port) for port in ports),
        ports=ports,
        host=host,
        ready=app.ready,
        cwd=cwd,
        startup_timeout=launch.startup_timeout,
        stop_timeout=app.stop_timeout_s,
        ready_fd=channel.ready_write,
        lifeline_fd=channel.lifeline_read,
    )
    package = str(Path(pytest_fastr.__file__).parents[1])
    return [sys.executable, "-E", "-c", _BOOT, package, json.dumps(asdict(errand))]


def free_port(host: str) -> int:
    """A port that nobody listens on, and that was not given out of late."""
    for _ in range(100):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            try:
                probe.bind((host, 0))
            except OSError as error:
                raise StartupError(f"no free port on {host}: {error.strerror or error}") from error
            port: int = probe.getsockname()[1]
        if port not in _given:
            break
    _given.append(port)
    return port


def _words(app: CommandApp, launch: Launch, host: str, port: int) -> tuple[str, ...]:
    """The command's words. Other braces are left alone: they may be JSON or anybody's template."""
    root = launch.root or launch.cwd or os.getcwd()
    known = {"{host}": host, "{port}": str(port), "{root}": root, "{python}": launch.python}
    words = []
    for word in app.argv:
        for placeholder, value in known.items():
            word = word.replace(placeholder, value)
        words.append(word)
    return (_program(words[0], launch), *words[1:])


def _program(name: str, launch: Launch) -> str:
    """The program's file: along PATH, and beside this interpreter, where the programs of its environment are."""
    if os.sep in name:
        return name
    beside = os.path.dirname(launch.python)
    path = os.pathsep.join([launch.env.get("PATH", os.environ.get("PATH", os.defpath)), beside])
    found = shutil.which(name, path=path)
    if found is None:
        raise StartupError(
            f"cannot start {name!r}: no such program along PATH or in {beside}; install it, write its path, or run a "
            f"module by {{python}} -m {name}"
        )
    return found
