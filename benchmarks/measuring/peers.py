"""How peers are started that are in more than one comparison."""

from __future__ import annotations

from collections.abc import Callable

from measuring.environments import Environments
from measuring.rows import Place, Start


def granian(interface: str, app: str) -> Callable[[Environments, Place], Start]:
    """One worker of Granian, by its words for interfaces: `asgi`, `rsgi`, `wsgi`."""

    def start(environments: Environments, place: Place) -> Start:
        peer = environments.get("granian")
        command = [
            peer.python, "-m", "granian", "--interface", interface, "--host", "127.0.0.1", "--port", str(place.port),
            "--workers", "1", "--runtime-threads", "1", "--loop", "uvloop", "--http", "1", "--log-level", "warning",
            "--no-access-log", app,
        ]  # fmt: skip
        return Start(command, interpreter=peer)

    return start
