"""What a fork shares with the process it was forked from."""

from __future__ import annotations

import socket
import sqlite3
from pathlib import Path

from pytest_fastr.mount.handles import shared_handles


def test_connections_are_named_and_what_only_listens_is_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        before = shared_handles()
        with socket.create_connection(("127.0.0.1", port)):
            assert f"a connection to 127.0.0.1:{port}" in shared_handles()
        assert f"a connection to 127.0.0.1:{port}" not in before


def test_databases_of_sqlite_are_named_and_those_in_memory_are_not(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    file, memory = sqlite3.connect(path), sqlite3.connect(":memory:")
    try:
        found = [one for one in shared_handles() if one.startswith("SQLite's")]
        assert found == [f"SQLite's {path.resolve()}"]
    finally:
        file.close()
        memory.close()
    assert not [one for one in shared_handles() if one.startswith("SQLite's")]


def test_a_pair_of_unnamed_sockets_is_nobodys_database() -> None:
    before = shared_handles()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert shared_handles() == before
