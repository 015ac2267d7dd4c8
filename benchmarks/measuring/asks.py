"""What is asked of a server: requests, the answers that are right, and how many connections ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

CONNECTIONS = 20


@dataclass(frozen=True)
class Ask:
    """One request, and the JSON value of its right answer."""

    path: str
    answer: Any
    method: str = "GET"
    body: bytes = b""


@dataclass(frozen=True)
class Workload:
    """A row of measurements. ``routes`` is what the application registers (see ``apps/shared.py``): workloads with the
    same are measured in one process."""

    name: str
    title: str
    ask: Ask
    routes: str = "plain"
    connections: int = CONNECTIONS
    bad: Ask | None = None
    """What an application that validates refuses with a 4xx; the answer is not looked at."""
    beside: Ask | None = None
    """What ``beside_connections`` others keep asking for meanwhile."""
    beside_connections: int = 0
    keep_alive: bool = True
    rate: float | None = None
    """Requests a second that are due, whatever becomes of them; None: a closed loop."""

    @property
    def group(self) -> str:
        """``W1`` of ``W1-sync``."""
        return self.name.partition("-")[0]

    @property
    def kind(self) -> str:
        """What a server must be able to do: ``W1-sync`` and the like; for routes, whatever their number: ``W5``."""
        return "W5" if self.group == "W5" else "W6" if self.group == "W6" else self.name
