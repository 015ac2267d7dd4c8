"""What is compared: servers, and how each is started."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from measuring.environments import Environments, Interpreter


@dataclass(frozen=True)
class Start:
    """What starts a server: the command, and variables besides this process's."""

    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    interpreter: Interpreter | None = None


@dataclass(frozen=True)
class Place:
    """Where a server is to listen, and a folder for its files."""

    port: int
    folder: Path


@dataclass(frozen=True)
class Server:
    """A row. ``start`` raises Missing where this server cannot be had."""

    name: str
    title: str
    kinds: tuple[str, ...]
    start: Callable[[Environments, Place], Start]
