"""What a forked application shares with the process it was forked from, and must not use: open connections."""

from __future__ import annotations

import gc
import os
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

_KNOWN_PORTS = {
    1433: "SQL Server", 1521: "Oracle", 3306: "MySQL", 5432: "PostgreSQL", 5672: "RabbitMQ", 6379: "Redis",
    9042: "Cassandra", 9092: "Kafka", 9200: "Elasticsearch", 11211: "memcached", 27017: "MongoDB",
}  # fmt: skip
# A process with more has other worries, and looking at each takes time.
_MOST_DESCRIPTORS = 4096


def shared_handles() -> tuple[str, ...]:
    """Connections of this process that a fork of it has as well, in words: two processes that talk on one garble both
    conversations. In-memory databases of SQLite are copied with the process, and no trouble."""
    return tuple(dict.fromkeys([*_connected_sockets(), *_sqlite_files()]))


def _connected_sockets() -> Iterator[str]:
    for descriptor in _descriptors():
        with suppress(OSError, ValueError):
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                continue
            duplicate = socket.socket(fileno=os.dup(descriptor))
            with duplicate:
                if duplicate.type != socket.SOCK_STREAM:
                    continue
                peer = duplicate.getpeername()
                if duplicate.family in (socket.AF_INET, socket.AF_INET6):
                    known = f" ({_KNOWN_PORTS[peer[1]]})" if peer[1] in _KNOWN_PORTS else ""
                    yield f"a connection to {peer[0]}:{peer[1]}{known}"
                elif duplicate.family == socket.AF_UNIX and peer:
                    yield f"a connection to {os.fsdecode(peer)}"


def _descriptors() -> list[int]:
    for folder in ("/proc/self/fd", "/dev/fd"):
        with suppress(OSError):
            return sorted(int(name) for name in os.listdir(folder) if name.isdigit())[:_MOST_DESCRIPTORS]
    return []


def _sqlite_files() -> Iterator[str]:
    # Looked up and not imported: every server under test imports this module, and pays for what it imports.
    sqlite3: Any = sys.modules.get("sqlite3")
    if sqlite3 is None:
        return
    for one in gc.get_objects():
        # Not `isinstance`: a proxy's __class__ is code of the application's.
        if type(one) is not sqlite3.Connection:
            continue
        with suppress(sqlite3.Error):  # closed, or another thread's
            for _, _, path in one.execute("PRAGMA database_list"):
                if path:
                    yield f"SQLite's {path}"
