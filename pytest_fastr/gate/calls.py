"""Measures one function of this process: its rounds alternate with the reference function's.

Values in, values out: :func:`measure_calls` turns a function into :class:`CallSamples` and judges nothing. A is the
reference function and B the one under test, as everywhere.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import inspect
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from pytest_fastr.errors import MeasurementError
from pytest_fastr.gate.blocks import MIN_BLOCKS, Block, Totals, plus
from pytest_fastr.gate.epochs import REFERENCE
from pytest_fastr.gate.measure import MIN_SLICE_SECONDS
from pytest_fastr.gate.progress import Moment, Show, part_of
from pytest_fastr.mount import AppRef
from pytest_fastr.mount.asgi import cancel_all

MIN_SLICE_NS = round(MIN_SLICE_SECONDS * 1e9)
MOST_REFERENCE_NS = 50_000_000
"""A slice of the reference function is as long as one of the function, up to this."""
MOST_SLICE_SECONDS = 0.05
"""A slice whose rounds are set up for longer than that gets no further rounds."""
FEWEST_EPOCHS = 3
PATIENCE = 3.0
"""A slow function gets fewer epochs, once its fewest calls would take so many times the time that it was given."""
LONGEST_SECONDS = 30.0
"""What the fewest calls may take, whatever time was given."""


@dataclass(frozen=True, slots=True)
class Function:
    """What a benchmark hands over: what is called, with which arguments, and what is done around each round.

    A round is ``iterations`` calls. ``setup`` runs before it and may return the arguments, ``teardown`` behind it;
    neither is measured.
    """

    target: Callable[..., Any]
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    setup: Callable[[], Any] | None = None
    teardown: Callable[..., Any] | None = None
    iterations: int = 1
    disable_gc: bool = False

    @property
    def name(self) -> str:
        """How reports call it."""
        return str(getattr(self.target, "__qualname__", None) or type(self.target).__qualname__)

    @property
    def is_async(self) -> bool:
        """Whether its calls are awaited."""
        call = getattr(self.target, "__call__", None)  # noqa: B004
        return inspect.iscoroutinefunction(self.target) or inspect.iscoroutinefunction(call)

    @property
    def load(self) -> dict[str, object]:
        """What must be the same for two sessions to be comparable."""
        rounds = "each" if self.setup is not None or self.teardown is not None else "many"
        return {"function": "async" if self.is_async else "sync", "timed": rounds, "disable_gc": self.disable_gc}


@dataclass(frozen=True, slots=True)
class CallShape:
    """How much is measured: ``duration_s`` of the function, over all ``epochs``."""

    duration_s: float
    epochs: int


@dataclass(frozen=True, slots=True)
class CallEpoch:
    """One repetition: its blocks, and the seconds a call of each of the function's slices."""

    blocks: tuple[Block, ...]
    slices_s: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class CallSamples:
    """What all epochs of one function measured."""

    shape: CallShape
    calls_a_slice: int
    epochs: tuple[CallEpoch, ...]

    @property
    def later(self) -> CallSamples:
        """Those of the epochs beyond the shape's own."""
        return replace(self, epochs=self.epochs[self.shape.epochs :])

    def plus(self, more: CallSamples) -> CallSamples:
        """With the epochs of another measurement of the same function behind them."""
        return replace(self, epochs=self.epochs + more.epochs)

    def total(self, side: int) -> Totals:
        """All of one side's slices: 0 is the reference function, 1 the one under test."""
        total = (0, 0, 0)
        for epoch in self.epochs:
            for block in epoch.blocks:
                total = plus(total, block[side])
        return total

    @property
    def waits(self) -> float:
        """The share of its time that the function waits. The reference function never does: what it does not get of
        its core is the machine's doing."""
        shares = [cpu_ns / wall_ns for _, wall_ns, cpu_ns in map(self.total, (0, 1))]
        return 1 - shares[1] / shares[0]


class Caller:
    """Runs rounds of one function, and tells what its calls cost. ``loop`` awaits those of a coroutine function."""

    def __init__(self, function: Function, loop: asyncio.AbstractEventLoop | None) -> None:
        self._function = function
        self._loop = loop

    def run(self, rounds: int) -> Totals:
        """What the calls of so many rounds cost, without what is done around them."""
        function = self._function
        if function.setup is None and function.teardown is None:
            return self._timed(rounds * function.iterations, function.args, function.kwargs)
        total = (0, 0, 0)
        for _ in range(rounds):
            args, kwargs = (function.setup() if function.setup else None) or (function.args, function.kwargs)
            total = plus(total, self._timed(function.iterations, args, kwargs))
            if function.teardown is not None:
                function.teardown(*args, **kwargs)
        return total

    def once(self, *args: Any, **kwargs: Any) -> Any:
        """One call, awaited where it must be. Not measured."""
        value = self._function.target(*args, **kwargs)
        return value if self._loop is None else self._loop.run_until_complete(value)

    def _timed(self, calls: int, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Totals:
        target = self._function.target
        if self._loop is None:
            return _called(calls, target, args, kwargs)
        return self._loop.run_until_complete(_awaited(calls, target, args, kwargs))


def _called(calls: int, target: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Totals:
    repeats = range(calls)
    wall_ns, cpu_ns = time.perf_counter_ns(), time.process_time_ns()
    for _ in repeats:
        target(*args, **kwargs)
    return calls, time.perf_counter_ns() - wall_ns, time.process_time_ns() - cpu_ns


async def _awaited(calls: int, target: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Totals:
    repeats = range(calls)
    wall_ns, cpu_ns = time.perf_counter_ns(), time.process_time_ns()
    for _ in repeats:
        await target(*args, **kwargs)
    return calls, time.perf_counter_ns() - wall_ns, time.process_time_ns() - cpu_ns


@contextmanager
def caller_of(function: Function) -> Iterator[Caller]:
    """The function's caller, with one event loop for all its calls if it is a coroutine function.

    Raises MeasurementError for a coroutine function inside of a running loop.
    """
    if not function.is_async:
        yield Caller(function, None)
        return
    if asyncio._get_running_loop() is not None:
        raise MeasurementError(
            f"`benchmark` was given the coroutine function {function.name} while an event loop runs, which a call "
            "cannot wait in: make the test a plain function; pytest-fastr runs a loop for it"
        )
    loop = asyncio.new_event_loop()
    try:
        yield Caller(function, loop)
    finally:
        try:
            loop.run_until_complete(cancel_all(asyncio.all_tasks(loop)))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            loop.close()


@dataclass(frozen=True, slots=True)
class Plan:
    """How a function is measured: rounds a slice of both sides, calls in a slice of the function's, blocks an epoch,
    and the shape with as many epochs as there is time for."""

    shape: CallShape
    reference_rounds: int
    rounds: int
    calls: int
    blocks: int


def plan_calls(caller: Caller, reference: Caller, name: str, shape: CallShape) -> Plan:
    """Finds out how many rounds make a slice. Raises MeasurementError for a function that is too slow."""
    rounds, slice_s, (calls, wall_ns, _) = _rounds(caller, MIN_SLICE_NS)
    reference_rounds, _, _ = _rounds(reference, min(max(wall_ns, MIN_SLICE_NS), MOST_REFERENCE_NS))
    epoch_s = 2 * MIN_BLOCKS * slice_s
    epochs = min(shape.epochs, max(FEWEST_EPOCHS, int(PATIENCE * shape.duration_s / epoch_s)))
    fewest_s = min(epochs, FEWEST_EPOCHS) * epoch_s
    if fewest_s > max(LONGEST_SECONDS, 2 * PATIENCE * shape.duration_s):
        enough_s = math.ceil(fewest_s / (2 * PATIENCE))
        raise MeasurementError(
            f"a round of {name} takes {slice_s:.2g} s, and its {2 * MIN_BLOCKS * min(epochs, FEWEST_EPOCHS)} fewest "
            f'ones {fewest_s:.0f} s: give it less to do, or allow that by @pytest.mark.perf(duration="{enough_s}s")'
        )
    blocks = max(MIN_BLOCKS, round(shape.duration_s / epochs / (2 * slice_s)))
    return Plan(replace(shape, epochs=epochs), reference_rounds, rounds, calls, blocks)


def _rounds(caller: Caller, least_ns: int) -> tuple[int, float, Totals]:
    """How many rounds take at least so long, the seconds that they take with all that is done around them, and what
    their calls cost."""
    rounds = 1
    caller.run(rounds)  # what only the first call does is not measured
    while True:
        # The middle one of three: a neighbour that takes the core away for one must not decide.
        took_s, total = sorted((_with_seconds(caller, rounds) for _ in range(3)), key=lambda one: one[0])[1]
        if total[1] >= least_ns or took_s >= MOST_SLICE_SECONDS:
            return rounds, took_s, total
        # A little more than it seems to need, so that noise seldom asks for another turn.
        rounds = max(rounds + 1, min(10 * rounds, math.ceil(1.1 * rounds * least_ns / max(total[1], 1))))


def _with_seconds(caller: Caller, rounds: int) -> tuple[float, Totals]:
    began_s = time.perf_counter()
    total = caller.run(rounds)
    return time.perf_counter() - began_s, total


def reference_caller() -> Caller:
    """The caller of the reference function: the part of the frozen reference app that makes an answer.

    Without the app's lookups all over a large table, whose cost depends on who else uses the caches: the ratio of small
    functions to it varied two to three times as much. The module is imported when it is needed, for the table's sake.
    """
    assert isinstance(REFERENCE.app, AppRef)
    return Caller(Function(importlib.import_module(REFERENCE.app.module)._answer), None)


def measure_calls(
    callers: tuple[Caller, Caller], plan: Plan, disable_gc: bool, coins: Sequence[int], show: Show
) -> CallSamples:
    """Measures an epoch for each coin, which seeds the order of its slices. ``callers``: A, the reference's, and B."""
    epochs = []
    for number, coin in enumerate(coins):
        showing = part_of(show, number / len(coins), 1 / len(coins), f"{number + 1}/{len(coins)} ")
        with _quiet_heap(disable_gc):
            epochs.append(_measure_epoch(callers, plan, random.Random(coin), showing))
    return CallSamples(plan.shape, plan.calls, tuple(epochs))


def _measure_epoch(callers: tuple[Caller, Caller], plan: Plan, coin: random.Random, show: Show) -> CallEpoch:
    reference, caller = callers
    reference.run(plan.reference_rounds)
    caller.run(plan.rounds)
    blocks: list[Block] = []
    slices_s: list[float] = []
    for number in range(plan.blocks):
        a, b = (0, 0, 0), (0, 0, 0)
        for is_b in (False, True, True, False) if coin.random() < 0.5 else (True, False, False, True):
            if is_b:
                one = caller.run(plan.rounds)
                slices_s.append(one[1] / one[0] / 1e9)
                b = plus(b, one)
            else:
                a = plus(a, reference.run(plan.reference_rounds))
        blocks.append((a, b))
        show(Moment("both in turn", (number + 1) / plan.blocks))
    return CallEpoch(tuple(blocks), tuple(slices_s))


@contextmanager
def _quiet_heap(disable_gc: bool) -> Iterator[None]:
    """Collections see what the function makes, and not what the tests before it have left: else its cost would depend
    on which tests run."""
    gc.collect()
    was_enabled, untouched = gc.isenabled(), gc.get_freeze_count() == 0
    if untouched:
        gc.freeze()
    if disable_gc:
        gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
        if untouched:
            gc.unfreeze()
