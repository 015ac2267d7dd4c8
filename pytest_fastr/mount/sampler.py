"""A sampling profiler inside a server process: which functions the processor's time went to.

The kernel's clock of used processor time (``ITIMER_PROF``) sends SIGPROF. Its handler, which Python runs in the main
thread and between two bytecodes, looks at every thread: how much processor time the thread's own clock has moved since
the last look, and what it is doing now. The time is charged to the stack that is seen. What follows from that:

* A thread that waits uses no time and is charged none. Time of a thread that has gone to wait meanwhile is kept for a
  while, until the thread is seen at work again; what is not seen in time goes by the name of `UNSEEN`.
* Time in a C function is charged to the Python function that called it, however long the call takes.
* Time in the engine, which runs where asyncio would select, goes by the name of `ENGINE`.
* Pool threads are seen when the main thread gets the interpreter's lock from them, which it asks for sooner while
  sampling. Still they have gone on by some 100 us then, and by more where no processor is free for the main thread:
  functions shorter than that share time with their neighbours, or are not seen.
* The signal ends the engine's turn through asyncio's wake-up descriptor, as every signal does: this is how a main
  thread at rest comes to look at the others. Asyncio itself ignores it.

The kernel looks at the clock once a tick (1 to 4 ms), so a shorter interval gives a look a tick.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import CodeType, FrameType

from pytest_fastr.errors import MountError
from pytest_fastr.mount.asgi import RequestRunner
from pytest_fastr.mount.loop import EngineEventLoop, EngineSelector
from pytest_fastr.mount.runtime import tracing_tool

ENGINE = "(server engine)"
"""The name of the time that the native engine used: HTTP, sockets, timers. It has no file."""

UNSEEN = "(not seen)"
"""The name of the time of threads that were never seen at work, or are none of Python's. It has no file."""

OTHER = "(other functions)"
"""The name of all functions beyond the first `MOST_FUNCTIONS`. It has no file."""

MOST_FUNCTIONS = 10_000

# How long a thread that computes may keep the interpreter's lock from the main thread that wants to look at it. Longer,
# and short functions of pool threads are over before they are seen; at 1 us threads can do nothing but take turns.
SWITCH_INTERVAL_SECONDS = 0.00002

# While a look lasts, so that it sees one moment.
_LOOK_SWITCH_SECONDS = 0.1

# Less is not worth a walk over the stack, and is kept.
_LEAST_CHARGE_NS = 20_000

# More is not kept: one look would say too much about a thread that was not seen for too long.
_MOST_KEPT_NS = 10_000_000

# The engine's turn, and what it calls at the turn's end: a signal that came during the turn is handled there. And where
# a pool's thread hands its result to the main thread, and the lock with it.
_TURN_CODES = frozenset({id(EngineSelector.select.__code__), id(RequestRunner.start.__code__)})
_ENGINE_CODES = _TURN_CODES | {id(EngineEventLoop._write_to_self.__code__)}
_COMPREHENSIONS = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"})

# Where threads wait: modules whose functions do nothing else, and a pool's worker, whose waiting has no frame.
_WAITING_FILES = ("threading.py", "queue.py", "selectors.py")
_WAITING_WORKER = (os.path.join("concurrent", "futures", "thread.py"), "_worker")


@dataclass(frozen=True, slots=True)
class FunctionSamples:
    """One function of a profile.

    ``own`` counts the samples in which it was innermost, ``cumulative`` those in which it was on the stack at all.
    ``line`` is the first of its definition; ``file`` is empty for names in parentheses.
    """

    file: str
    name: str
    line: int
    own: int
    cumulative: int


@dataclass(frozen=True, slots=True)
class Profile:
    """What a sampler saw: functions with the most own samples first.

    A sample is a piece of processor time, each as long. ``note`` says what is wrong with the profile (an application
    with a profiler of its own, say), and is empty otherwise.
    """

    samples: int
    functions: tuple[FunctionSamples, ...]
    note: str = ""

    def to_json(self) -> str:
        """The profile as one JSON object."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Profile:
        """Reads what :meth:`to_json` wrote. Raises MountError for anything else."""
        try:
            data = json.loads(text)
            functions = tuple(FunctionSamples(**function) for function in data.pop("functions"))
            profile = cls(functions=functions, **data)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise MountError(f"this is no profile of a server: {error!r}") from None
        profile._check()
        return profile

    def _check(self) -> None:
        _require(isinstance(self.note, str), "`note` is no text")
        _require(_is_count(self.samples), "`samples` is no count")
        for one in self.functions:
            _require(isinstance(one.file, str) and isinstance(one.name, str), "a function without a name")
            _require(all(map(_is_count, (one.line, one.own, one.cumulative))), f"{one.name} without counts")
            _require(one.own <= one.cumulative <= self.samples, f"{one.name} has more samples than there are")


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _require(holds: bool, complaint: str) -> None:
    if not holds:
        raise MountError(f"this is no profile of a server: {complaint}")


class Sampler:
    """Samples this process from :meth:`start` to :meth:`stop`, both called by the main thread."""

    def __init__(self, interval_s: float, note: str = "") -> None:
        self._interval_s = interval_s
        self._note = note
        self._running = False
        self._looking = False
        self._begun_ns = 0
        self._clocks = _Clocks({})
        self._charges = _Charges()
        self._switch_interval = sys.getswitchinterval()

    @classmethod
    def start(cls, interval_s: float = 0.002) -> Sampler:
        """Starts to sample. Where the application uses SIGPROF itself nothing is sampled, and the profile says so."""
        if not _is_free(signal.getsignal(signal.SIGPROF)):
            return cls(interval_s, "not sampled: the application handles SIGPROF itself")
        if signal.getitimer(signal.ITIMER_PROF) != (0.0, 0.0):
            return cls(interval_s, "not sampled: the application has started ITIMER_PROF itself")
        tracing = tracing_tool()
        sampler = cls(interval_s, f"the times include those of {tracing}" if tracing else "")
        sampler._begin()
        return sampler

    def stop(self) -> Profile:
        """Ends the sampling. Returns what was seen; what happens afterwards is not seen any more."""
        if self._running:
            self._running = False
            # A handler that is not ours came with a timer of its own, and stays. Ours stays for signals that are under
            # way: without it they would end the process, or be complained about.
            if signal.getsignal(signal.SIGPROF) == self._on_tick:
                signal.setitimer(signal.ITIMER_PROF, 0)
            else:
                self._note = "; ".join(filter(None, [self._note, "incomplete: the application has taken SIGPROF"]))
            sys.setswitchinterval(self._switch_interval)
            self._charges.add_unseen(time.process_time_ns() - self._begun_ns)
        return self._charges.profile(self._note)

    def _begin(self) -> None:
        self._running = True
        self._clocks = _Clocks(sys._current_frames())
        self._begun_ns = time.process_time_ns()
        sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
        signal.signal(signal.SIGPROF, self._on_tick)
        # For the libraries that do not know that a system call can be interrupted.
        signal.siginterrupt(signal.SIGPROF, False)
        _expect_a_full_wakeup_descriptor()
        signal.setitimer(signal.ITIMER_PROF, self._interval_s, self._interval_s)

    def _on_tick(self, number: int, frame: FrameType | None) -> None:
        # A handler can be interrupted by itself.
        if not self._running or self._looking:
            return
        self._looking = True
        sys.setswitchinterval(_LOOK_SWITCH_SECONDS)
        # What is raised here would be raised in the application.
        with suppress(Exception):
            self._look(frame)
        # A signal to stop may have come in between.
        sys.setswitchinterval(SWITCH_INTERVAL_SECONDS if self._running else self._switch_interval)
        self._looking = False

    def _look(self, interrupted: FrameType | None) -> None:
        frames = sys._current_frames()
        me = threading.get_ident()
        if interrupted is not None:
            frames[me] = interrupted
        due = self._clocks.advances(frames)
        others_ns = sum(advance for ident, (advance, _) in due.items() if ident != me)
        for ident, (advance, kept) in due.items():
            frame = frames[ident]
            if advance + kept < _LEAST_CHARGE_NS:
                continue
            # The main thread was at rest in the engine, and woken, when the time since the last look is another's.
            woken = ident == me and id(frame.f_code) in _TURN_CODES and others_ns > advance
            if not woken and not _waits(frame.f_code):
                self._charges.add(frame, self._clocks.take(ident))


def _is_free(handler: object) -> bool:
    """Whether a signal has no handler, or that of a sampler which has stopped."""
    sampler = getattr(handler, "__self__", None)
    return handler in (signal.SIG_DFL, signal.SIG_IGN) or (isinstance(sampler, Sampler) and not sampler._running)


def _expect_a_full_wakeup_descriptor() -> None:
    """Has Python not complain when signals fill asyncio's descriptor, while one call keeps the main thread busy."""
    descriptor = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(descriptor, warn_on_full_buffer=False)


class _Clocks:
    """The processor time that threads have used, and how much of it is not charged to anything yet."""

    def __init__(self, frames: Mapping[int, FrameType]) -> None:
        self._read = {ident: _thread_time_ns(ident) for ident in frames}
        self._kept: dict[int, int] = {}

    def advances(self, frames: Mapping[int, FrameType]) -> dict[int, tuple[int, int]]:
        """By thread: how far its clock has moved since it was last read, and what was kept before (ns)."""
        now = {ident: _thread_time_ns(ident) for ident in frames}
        moved: dict[int, tuple[int, int]] = {}
        for ident, read in now.items():
            before, kept = self._read.get(ident, 0), self._kept.get(ident, 0)
            if read < before:  # another thread, with the identity of one that has ended
                before, kept = 0, 0
            moved[ident] = (read - before, kept)
        self._read = now
        self._kept = {ident: advance + min(kept, _MOST_KEPT_NS) for ident, (advance, kept) in moved.items()}
        return moved

    def take(self, ident: int) -> int:
        """What a thread has used and nothing was charged with; from now on it is charged."""
        return self._kept.pop(ident, 0)


if sys.platform == "darwin":

    def _thread_time_ns(ident: int) -> int:
        # Without clocks of other threads, all time counts as the main thread's.
        return time.process_time_ns() if ident == threading.main_thread().ident else 0

else:

    def _thread_time_ns(ident: int) -> int:
        # A thread that has a frame lives for as long as this one holds the interpreter's lock.
        return time.clock_gettime_ns(time.pthread_getcpuclockid(ident))


def _waits(code: CodeType) -> bool:
    """Whether a thread whose innermost function this is waits for work or for a lock."""
    file = code.co_filename
    return os.path.basename(file) in _WAITING_FILES or (
        code.co_name == _WAITING_WORKER[1] and file.endswith(_WAITING_WORKER[0])
    )


@dataclass(slots=True)
class _Charge:
    """The time of one function so far. Holding the code keeps its identity from being given to another."""

    code: CodeType | str
    own_ns: int = 0
    cumulative_ns: int = 0

    def samples(self, unit_ns: float) -> FunctionSamples:
        own, cumulative = round(self.own_ns / unit_ns), round(self.cumulative_ns / unit_ns)
        code = self.code
        if isinstance(code, str):
            return FunctionSamples("", code, 0, own, cumulative)
        # Python 3.10 knows plain names only.
        name = getattr(code, "co_qualname", code.co_name)
        file = code.co_filename if code.co_filename.startswith("<") else os.path.abspath(code.co_filename)
        return FunctionSamples(file, name, code.co_firstlineno, own, cumulative)


class _Charges:
    """What every function was charged with. Functions are told apart by their code, never compared."""

    def __init__(self) -> None:
        self._by_id: dict[int, _Charge] = {}
        self._engine = _Charge(ENGINE)
        self._other = _Charge(OTHER)
        self._unseen = _Charge(UNSEEN)
        self._total_ns = 0
        self._squares = 0

    def add(self, frame: FrameType, used_ns: int) -> None:
        """Charges a stack: its innermost function with the time itself, and every function on it once."""
        self._total_ns += used_ns
        self._squares += used_ns * used_ns
        stack = [self._charge(code) for code in _codes(frame)]
        if id(frame.f_code) in _ENGINE_CODES:
            stack.insert(0, self._engine)
        stack[0].own_ns += used_ns
        for one in {id(charge): charge for charge in stack}.values():
            one.cumulative_ns += used_ns

    def add_unseen(self, total_ns: int) -> None:
        """Charges nobody with what is missing to ``total_ns``, in pieces of the usual size."""
        missing = max(0, total_ns - self._total_ns)
        if self._total_ns:
            self._squares += missing * self._squares // self._total_ns
        self._total_ns += missing
        self._unseen.own_ns += missing
        self._unseen.cumulative_ns += missing

    def profile(self, note: str) -> Profile:
        """The charges as counts: so many of equal size as tell as much about the whole as these of different sizes."""
        if not self._squares:
            return Profile(0, (), note)
        unit_ns = self._squares / self._total_ns
        charges = [*self._by_id.values(), self._engine, self._other, self._unseen]
        counted = [samples for charge in charges if (samples := charge.samples(unit_ns)).cumulative]
        counted.sort(key=lambda one: (-one.own, -one.cumulative, one.file, one.line))
        return Profile(round(self._total_ns / unit_ns), tuple(counted), note)

    def _charge(self, code: CodeType) -> _Charge:
        charge = self._by_id.get(id(code))
        if charge is None:
            if len(self._by_id) >= MOST_FUNCTIONS:
                return self._other
            charge = self._by_id[id(code)] = _Charge(code)
        return charge


def _codes(frame: FrameType) -> Iterator[CodeType]:
    """The functions on a stack, innermost first. A comprehension belongs to the function around it."""
    at: FrameType | None = frame
    while at is not None:
        code, outer = at.f_code, at.f_back
        around = outer.f_code.co_filename if outer is not None else None
        if code.co_name not in _COMPREHENSIONS or around != code.co_filename:
            yield code
        at = outer


class Recording:
    """A sampler whose profile goes into a file as soon as the process is told to stop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sampler: Sampler | None = None

    def begin(self) -> None:
        """Starts the sampler. To be called on the event loop, once it handles SIGTERM and SIGINT."""
        self._sampler = Sampler.start()
        for number in (signal.SIGTERM, signal.SIGINT):
            # asyncio hears of signals by its wake-up descriptor; the handler that it leaves behind does nothing.
            signal.signal(number, self._on_signal)
            signal.siginterrupt(number, False)

    def end(self) -> None:
        """Writes the file, the first time it is called. A failure is only said: the server has work left to do."""
        sampler, self._sampler = self._sampler, None
        if sampler is None:
            return
        try:
            _write(self._path, sampler.stop().to_json())
        except OSError as error:
            print(f"pytest-fastr: cannot write the profile to --sample {self._path}: {error}", file=sys.stderr)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.end()


def _write(path: Path, text: str) -> None:
    """Writes a file that is there as a whole or not at all."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
