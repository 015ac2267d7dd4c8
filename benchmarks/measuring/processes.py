"""Processes: where they run, what a tree of them costs, and that none outlives this one."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PR_SET_PDEATHSIG = 1
CPUCLOCK_SCHED = 2
STOP_S = 3.0
_LIBC = ctypes.CDLL(None)


@dataclass(frozen=True)
class Cores:
    """Where servers and generators run. None: wherever the system puts them."""

    servers: frozenset[int] | None
    generator: frozenset[int] | None
    name: str


def cores(unpinned: bool, server_cores: int) -> Cores:
    """Servers on the first cores that this process may use, the generator on what is left (all, if nothing is)."""
    usable = sorted(os.sched_getaffinity(0))
    if unpinned:
        return Cores(None, None, "unpinned")
    if len(usable) < 2 or server_cores > len(usable):
        raise ValueError(f"{len(usable)} usable cores are too few to pin: use --unpinned")
    rest = usable[server_cores:] or usable
    return Cores(frozenset(usable[:server_cores]), frozenset(rest[-1:]), f"{server_cores} server core(s)")


class Process:
    """A server process, in a session of its own, which dies with the thread that started it."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], on: frozenset[int] | None, log: Path
    ) -> None:
        def before_exec() -> None:
            _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if on is not None:
                os.sched_setaffinity(0, on)

        self._log = log
        with log.open("wb") as out:
            self._popen = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                start_new_session=True, preexec_fn=before_exec,
            )  # fmt: skip
        self.pid = self._popen.pid

    def has_ended(self) -> bool:
        """Whether it is gone."""
        return self._popen.poll() is not None

    def said(self) -> str:
        """The end of its output."""
        lines = [line for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        return " | ".join(lines[-3:])[-400:]

    def stop(self) -> None:
        """Asks it to end, then ends it and whatever it started."""
        family = [] if self.has_ended() else tree(self.pid)
        if not self.has_ended():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(STOP_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        for pid in family[1:]:
            # Children that left the group; a number that was taken again has another parent or session.
            if _session(pid) == self.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self._popen.wait()


def tree(root: int) -> list[int]:
    """A process and its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def cpu_ns(pids: Sequence[int]) -> int:
    """CPU time of processes so far, from the kernel's clock of each (nanoseconds, threads that ended included)."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            total += time.clock_gettime_ns((~pid << 3) | CPUCLOCK_SCHED)
    return total


def rss_bytes(pids: Sequence[int]) -> int:
    """Resident memory of processes; pages they share are counted for each."""
    page, total = os.sysconf("SC_PAGE_SIZE"), 0
    for pid in pids:
        with contextlib.suppress(OSError):
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page
    return total


def _stat(pid: int) -> list[str]:
    """State, parent, group, session and so on; empty when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _session(pid: int) -> int | None:
    fields = _stat(pid)
    return int(fields[3]) if fields else None
