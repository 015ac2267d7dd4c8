"""Pairs of fresh server processes, one pair an epoch: two applications, or two states of one."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pytest_fastr.apps import CommandApp, UrlApp
from pytest_fastr.gate.attached import AnyServer, AttachedServer
from pytest_fastr.mount import Application, AppRef, Launch, fork, spawn_together

FIRST_HASH_SEED = 1
"""The hash seed of epoch 0; the next ones follow. They are the same in every session: a process' cost depends on its
hash seed by several per cent, which is in the stored sessions as it is in this one, and cancels out. Part of the
measuring protocol."""


@dataclass(frozen=True, slots=True)
class AppSource:
    """An application: a name or a command, started in fresh processes, an object, forked from this one, or a URL.

    ``root``: the folder that its code must come from; None where that is not asked.
    """

    app: AppRef | CommandApp | UrlApp | Application
    launch: Launch
    root: Path | None = None

    @property
    def is_object(self) -> bool:
        """Whether it can only be forked: then the interpreter's hash seed is this process' own in every epoch."""
        return not isinstance(self.app, AppRef | CommandApp | UrlApp)

    @property
    def foreign(self) -> str | None:
        """What it is served by, if not by our server: stored sessions of one way are not compared with another's."""
        return {CommandApp: "command", UrlApp: "url"}.get(type(self.app))

    @property
    def key(self) -> str:
        """Equal for sources whose servers may be shared."""
        if self.is_object:
            return f"object {id(self.app)} {self.launch.options.mount}"
        launch = self.launch
        return repr((repr(self.app), launch.options.mount, launch.cwd, launch.python, sorted(launch.env.items())))


REFERENCE = AppSource(AppRef("pytest_fastr.gate.reference", "app", factory=False), Launch())
"""The frozen application that stored baselines are ratios to."""

Sides = tuple[AppSource, AppSource]
"""What is compared: A, the baseline's or the reference application, and B, the candidate."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pair of servers with the same hash seed. ``coin`` seeds the order of the slices, anew in every session."""

    index: int
    coin: int
    a: AnyServer
    b: AnyServer


_Key = tuple[Literal["a", "b"], str, int]


class EpochPool:
    """Keeps server pairs up for all tests of an application, and ends them all."""

    def __init__(self, coins: int) -> None:
        self._coins = coins
        self._servers: dict[_Key, AnyServer] = {}

    def epochs(self, sides: Sides, indices: range, keep: bool = True) -> Generator[Epoch, None, None]:
        """Starts the pairs as they are asked for. Raises MountError's children.

        Without ``keep`` a pair ends before the next one starts: many pairs at once would fill the memory.
        """
        a, b = sides
        for index in indices:
            try:
                self._start(("a", a, index), ("b", b, index))
                yield Epoch(index, self._coins + index, self._server("a", a, index), self._server("b", b, index))
            finally:
                if not keep:
                    self._end(("a", a.key, index), ("b", b.key, index))

    def candidate(self, source: AppSource) -> AnyServer:
        """One server of the application, for requests that are not measured."""
        return self._server("b", source, 0)

    def baseline(self, source: AppSource) -> AnyServer:
        """One server of side A, for requests that are not measured."""
        return self._server("a", source, 0)

    def release(self, source: AppSource) -> None:
        """Ends the application's servers, on whichever side."""
        self._end(*[key for key in self._servers if key[1] == source.key])

    def close(self) -> None:
        """Ends every server."""
        self._end(*self._servers)

    def _end(self, *keys: _Key) -> None:
        for key in keys:
            server = self._servers.pop(key, None)
            if server is not None:
                server.stop()

    def _server(self, side: Literal["a", "b"], source: AppSource, index: int) -> AnyServer:
        app, key = source.app, (side, source.key, index)
        if not isinstance(app, AppRef | CommandApp | UrlApp) and not self._lives(key):
            self._servers[key] = fork(app, source.launch)
        self._start((side, source, index))
        return self._servers[key]

    def _start(self, *wanted: tuple[Literal["a", "b"], AppSource, int]) -> None:
        """Starts those that are not up and have a name or a command, all at once, and finds those at URLs."""
        missing = {}
        for side, source, index in wanted:
            key = (side, source.key, index)
            if self._lives(key):
                continue
            if isinstance(source.app, UrlApp):
                self._servers[key] = AttachedServer(source.app)
            elif isinstance(source.app, AppRef | CommandApp):
                env = {"PYTHONHASHSEED": str(FIRST_HASH_SEED + index), **source.launch.env}
                missing[key] = (source.app, replace(source.launch, env=env))
        self._servers.update(zip(missing, spawn_together(*missing.values()), strict=True))

    def _lives(self, key: _Key) -> bool:
        """Whether the server is up. What is left of one that has died is ended."""
        server = self._servers.get(key)
        if server is not None and server.exit_code() is None:
            return True
        self._end(key)
        return False
