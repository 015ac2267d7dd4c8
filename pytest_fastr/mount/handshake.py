"""What a server process tells its parent over the ready pipe: one JSON line, either ready or an error."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from pytest_fastr import errors
from pytest_fastr.errors import MountError
from pytest_fastr.mount.lane_table import LaneTable
from pytest_fastr.mount.runtime import Address


@dataclass(frozen=True, slots=True)
class Ready:
    """A server that answers.

    ``app_file`` is the file that the application's code came from, where that can be told. ``tracing`` names what
    traces the server's interpreter (coverage, a debugger), which voids a measurement. ``debug_build`` is true for an
    engine compiled without optimisation. ``mount`` is the one that is used, "auto" being decided; ``is_fastapi`` says
    whether the application's routes have lanes. ``lanes`` are they, where the parent has asked: a table, why there is
    none, or None for what is not FastAPI's.
    """

    host: str
    port: int
    pid: int
    app_file: str | None
    tracing: str | None
    debug_build: bool
    path: str = ""
    strays: tuple[str, ...] = ()
    """Files of the checkout that a server which runs from a copy of it has imported all the same."""
    mount: Literal["asgi", "native"] = "asgi"
    is_fastapi: bool = False
    lanes: LaneTable | str | None = None

    def at(self, address: Address, pid: int) -> Ready:
        """The same of another process, which answers at this address."""
        return replace(self, host=address.host, port=address.port, path=address.path, pid=pid)

    @property
    def address(self) -> Address:
        """Where it listens."""
        return Address(self.host, self.port, self.path)


def send_ready(fd: int, ready: Ready) -> None:
    """Tells the parent, and closes the pipe."""
    _send(fd, {"ready": asdict(ready)})


def send_error(fd: int, error: BaseException) -> None:
    """Tells the parent why there will be no server, and closes the pipe."""
    _send(fd, {"error": {"kind": type(error).__name__, "message": str(error)}})


def parse(line: bytes) -> Ready:
    """Reads the line. Raises the error that it carries, as the class of the same name where there is one."""
    message: dict[str, Any] = json.loads(line)
    if "ready" in message:
        return _ready(message["ready"])
    kind = getattr(errors, message["error"]["kind"], None)
    text = message["error"]["message"]
    if isinstance(kind, type) and issubclass(kind, errors.FastrError):
        raise kind(text)
    raise MountError(f"{message['error']['kind']}: {text}")


def _ready(members: dict[str, Any]) -> Ready:
    lanes = members.get("lanes")
    table = LaneTable.parse(lanes) if isinstance(lanes, dict) else lanes
    return Ready(**{**members, "strays": tuple(members["strays"]), "lanes": table})


def _send(fd: int, message: dict[str, Any]) -> None:
    with os.fdopen(fd, "wb") as pipe:
        pipe.write(json.dumps(message).encode() + b"\n")
