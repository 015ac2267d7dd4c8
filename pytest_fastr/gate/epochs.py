"""Pairs of fresh server processes, one pair an epoch: the reference application and the candidate."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace

from pytest_fastr.mount import AppRef, Launch, ServerProcess, fork, spawn
from pytest_fastr.mount.asgi import AsgiApplication

REFERENCE = AppRef("pytest_fastr.gate.reference", "app", factory=False)
_HASH_SEEDS = 2**32


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
    """One pair of servers. ``seed`` is the hash seed of both, and seeds the coins of the slices."""

    index: int
    seed: int
    reference: ServerProcess
    candidate: ServerProcess


class EpochPool:
    """Keeps server pairs up for all tests of an application, and ends them all."""

    def __init__(self, base_seed: int) -> None:
        self._base_seed = base_seed
        self._references: dict[int, ServerProcess] = {}
        self._candidates: dict[tuple[str, int], ServerProcess] = {}

    def epochs(self, source: AppSource, indices: range, keep: bool = True) -> Generator[Epoch, None, None]:
        """Starts the pairs as they are asked for. Raises MountError's children.

        Without ``keep`` a pair ends before the next one starts: many pairs at once would fill the memory.
        """
        for index in indices:
            seed = (self._base_seed + index) % _HASH_SEEDS
            try:
                yield Epoch(index, seed, self._reference(index, seed), self._candidate(source, index, seed))
            finally:
                if not keep:
                    self._end(source, index)

    def candidate(self, source: AppSource) -> ServerProcess:
        """One server of the application, for requests that are not measured."""
        return self._candidate(source, 0, self._base_seed % _HASH_SEEDS)

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

    def _reference(self, index: int, seed: int) -> ServerProcess:
        server = self._references.get(index)
        if server is None or server.exit_code() is not None:
            launch = Launch(env={"PYTHONHASHSEED": str(seed)})
            server = self._references[index] = spawn(REFERENCE, launch)
        return server

    def _candidate(self, source: AppSource, index: int, seed: int) -> ServerProcess:
        key = (source.key, index)
        server = self._candidates.get(key)
        if server is not None and server.exit_code() is None:
            return server
        if server is not None:
            server.stop()
        if isinstance(source.app, AppRef):
            env = {"PYTHONHASHSEED": str(seed), **source.launch.env}
            server = spawn(source.app, replace(source.launch, env=env))
        else:
            server = fork(source.app, source.launch)
        self._candidates[key] = server
        return server
