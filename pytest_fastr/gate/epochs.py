"""Pairs of fresh server processes, one pair an epoch: the reference application and the candidate."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace

from pytest_fastr.mount import AppRef, Launch, ServerProcess, fork, spawn
from pytest_fastr.mount.asgi import AsgiApplication

REFERENCE = AppRef("pytest_fastr.gate.reference", "app", factory=False)

FIRST_HASH_SEED = 1
"""The hash seed of epoch 0; the next ones follow. They are the same in every session: a process' cost depends on its
hash seed by several per cent, which is in the stored sessions as it is in this one, and cancels out. Part of the
measuring protocol."""


@dataclass(frozen=True, slots=True)
class AppSource:
    """The application under test: a name, started in fresh processes, or an object, forked from this one."""

    app: AppRef | AsgiApplication
    launch: Launch

    @property
    def is_object(self) -> bool:
        """Whether it can only be forked: then the interpreter's hash seed is this process' own in every epoch."""
        return not isinstance(self.app, AppRef)

    @property
    def key(self) -> str:
        """Equal for sources whose servers may be shared."""
        return f"{self.app}" if isinstance(self.app, AppRef) else f"object {id(self.app)}"


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pair of servers with the same hash seed. ``coin`` seeds the order of the slices, anew in every session."""

    index: int
    coin: int
    reference: ServerProcess
    candidate: ServerProcess


class EpochPool:
    """Keeps server pairs up for all tests of an application, and ends them all."""

    def __init__(self, coins: int) -> None:
        self._coins = coins
        self._references: dict[int, ServerProcess] = {}
        self._candidates: dict[tuple[str, int], ServerProcess] = {}

    def epochs(self, source: AppSource, indices: range, keep: bool = True) -> Generator[Epoch, None, None]:
        """Starts the pairs as they are asked for. Raises MountError's children.

        Without ``keep`` a pair ends before the next one starts: many pairs at once would fill the memory.
        """
        for index in indices:
            try:
                yield Epoch(index, self._coins + index, self._reference(index), self._candidate(source, index))
            finally:
                if not keep:
                    self._end(source, index)

    def candidate(self, source: AppSource) -> ServerProcess:
        """One server of the application, for requests that are not measured."""
        return self._candidate(source, 0)

    def release(self, source: AppSource) -> None:
        """Ends the application's servers. Reference servers stay up."""
        for key in [key for key in self._candidates if key[0] == source.key]:
            self._candidates.pop(key).stop()

    def close(self) -> None:
        """Ends every server."""
        for servers in (self._candidates, self._references):
            while servers:
                servers.popitem()[1].stop()

    def _end(self, source: AppSource, index: int) -> None:
        pair = (self._candidates.pop((source.key, index), None), self._references.pop(index, None))
        for server in pair:
            if server is not None:
                server.stop()

    def _reference(self, index: int) -> ServerProcess:
        server = self._references.get(index)
        if server is None or server.exit_code() is not None:
            launch = Launch(env=_hash_seed(index))
            server = self._references[index] = spawn(REFERENCE, launch)
        return server

    def _candidate(self, source: AppSource, index: int) -> ServerProcess:
        key = (source.key, index)
        server = self._candidates.get(key)
        if server is not None and server.exit_code() is None:
            return server
        if server is not None:
            server.stop()
        if isinstance(source.app, AppRef):
            env = {**_hash_seed(index), **source.launch.env}
            server = spawn(source.app, replace(source.launch, env=env))
        else:
            server = fork(source.app, source.launch)
        self._candidates[key] = server
        return server


def _hash_seed(index: int) -> dict[str, str]:
    return {"PYTHONHASHSEED": str(FIRST_HASH_SEED + index)}
