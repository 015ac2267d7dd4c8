"""How an application becomes a server under test: in its own process, forked, by a command, or in a thread."""

from pytest_fastr.mount.process import Launch, ServerProcess, fork
from pytest_fastr.mount.runtime import ServeOptions
from pytest_fastr.mount.spawn import spawn, spawn_together
from pytest_fastr.mount.target import Application, AppRef
from pytest_fastr.mount.thread import Server

__all__ = [
    "AppRef",
    "Application",
    "Launch",
    "ServeOptions",
    "Server",
    "ServerProcess",
    "fork",
    "spawn",
    "spawn_together",
]
