"""Rounds of one function: what is run, what is measured, and what is left as it was."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest

from pytest_fastr.errors import MeasurementError
from pytest_fastr.gate import calls
from pytest_fastr.gate.blocks import MIN_BLOCKS, Totals
from pytest_fastr.gate.calls import Caller, CallShape, Function, Plan, caller_of, measure_calls, plan_calls

SHAPE = CallShape(duration_s=1.0, epochs=6)


def nothing(*_: object) -> None:
    """Shows no progress."""


class Fixed(Caller):
    """A function whose every round costs the same, and takes no time at all."""

    def __init__(self, round_ns: int, log: list[str] | None = None, name: str = "") -> None:
        super().__init__(Function(nothing), None)
        self._round_ns = round_ns
        self._log = log
        self._name = name

    def run(self, rounds: int) -> Totals:
        if self._log is not None:
            self._log.append(self._name)
        return rounds, rounds * self._round_ns, rounds * self._round_ns


@pytest.fixture
def clockless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slice takes as long as its calls say."""

    def with_seconds(caller: Caller, rounds: int) -> tuple[float, Totals]:
        total = caller.run(rounds)
        return total[1] / 1e9, total

    monkeypatch.setattr(calls, "_with_seconds", with_seconds)


@pytest.mark.usefixtures("clockless")
def test_a_slice_is_two_milliseconds_of_rounds_and_the_reference_gets_as_much() -> None:
    plan = plan_calls(Fixed(1_000), Fixed(500_000), "f", SHAPE)
    assert 2_000 <= plan.rounds <= 2_300
    assert 4 <= plan.reference_rounds <= 5
    # A sixth of a second an epoch, in blocks of two slices.
    assert 36 <= plan.blocks <= 42
    slow = plan_calls(Fixed(20_000_000), Fixed(500_000), "f", SHAPE)
    assert (slow.rounds, slow.blocks) == (1, MIN_BLOCKS)
    assert 40 <= slow.reference_rounds <= 45


@pytest.mark.usefixtures("clockless")
def test_a_slow_function_gets_fewer_epochs_and_one_that_is_too_slow_is_refused_with_the_way_out() -> None:
    assert plan_calls(Fixed(60_000_000), Fixed(500_000), "f", SHAPE).shape.epochs == 5
    assert plan_calls(Fixed(900_000_000), Fixed(500_000), "f", SHAPE).shape.epochs == 3
    with pytest.raises(MeasurementError, match=r"a round of f takes 2 s, .*30 fewest ones 60 s: .*duration=\"10s\""):
        plan_calls(Fixed(2_000_000_000), Fixed(500_000), "f", SHAPE)
    allowed = CallShape(duration_s=10.0, epochs=6)
    assert plan_calls(Fixed(2_000_000_000), Fixed(500_000), "f", allowed).shape.epochs == 3


def test_the_sides_alternate_in_blocks_of_both_orders() -> None:
    log: list[str] = []
    plan = Plan(CallShape(1.0, 1), reference_rounds=2, rounds=3, calls=3, blocks=20)
    samples = measure_calls((Fixed(5, log, "a"), Fixed(7, log, "b")), plan, False, [1], nothing)
    order = "".join(log)[2:]  # after a warm-up of each
    found = {order[at : at + 4] for at in range(0, len(order), 4)}
    assert found == {"abba", "baab"}
    assert samples.total(0) == (80, 400, 400)
    assert samples.total(1) == (120, 840, 840)
    assert len(samples.epochs[0].slices_s) == 40


def test_setup_and_teardown_stand_around_each_round_and_may_give_the_arguments() -> None:
    log: list[str] = []

    def setup() -> tuple[tuple[str], dict[str, Any]]:
        log.append("setup")
        return ("given",), {}

    function = Function(
        lambda word: log.append(word),
        setup=setup,
        teardown=lambda word: log.append(f"teardown {word}"),
    )
    with caller_of(function) as caller:
        assert caller.run(2)[0] == 2
    assert log == ["setup", "given", "teardown given"] * 2
    kept = Function(lambda word: log.append(word), ("own",), setup=lambda: None, iterations=1)
    with caller_of(kept) as caller:
        caller.run(1)
    assert log[-1] == "own"


def test_a_round_is_its_iterations() -> None:
    log: list[int] = []
    with caller_of(Function(log.append, (1,), iterations=5)) as caller:
        assert caller.run(3)[0] == 15
    assert len(log) == 15


def test_all_calls_of_a_coroutine_function_run_on_one_loop_which_is_closed() -> None:
    loops: list[asyncio.AbstractEventLoop] = []
    left: list[asyncio.Task[Any]] = []

    async def fetch(number: int) -> int:
        loops.append(asyncio.get_running_loop())
        left.append(asyncio.ensure_future(asyncio.sleep(3600)))
        return number

    with caller_of(Function(fetch, (3,))) as caller:
        assert caller.run(2)[0] == 2
        assert caller.once(4) == 4
    assert len(set(loops)) == 1
    assert loops[0].is_closed()
    assert all(task.cancelled() for task in left)


def test_a_coroutine_function_inside_a_running_loop_is_refused() -> None:
    async def fetch() -> None:
        pass

    async def test() -> None:
        with pytest.raises(MeasurementError, match="make the test a plain function"), caller_of(Function(fetch)):
            pass

    asyncio.run(test())


class Awaited:
    """Called, it is awaited."""

    async def __call__(self) -> None:
        pass


def test_what_is_awaited_is_told_without_a_call() -> None:
    async def fetch() -> None:
        pass

    functions: dict[Callable[..., Any], bool] = {fetch: True, Awaited(): True, sorted: False, lambda: fetch(): False}
    assert [Function(one).is_async for one in functions] == list(functions.values())
    assert Function(Awaited()).name == "Awaited"


def test_what_it_raises_goes_through_and_the_collector_is_as_it_was() -> None:
    def broken() -> None:
        assert not gc.isenabled()
        raise LookupError("mine")

    plan = Plan(CallShape(1.0, 1), reference_rounds=1, rounds=1, calls=1, blocks=5)
    with pytest.raises(LookupError, match="mine"), caller_of(Function(broken)) as caller:
        measure_calls((Fixed(5), caller), plan, True, [1], nothing)
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_the_reference_function_answers_what_the_frozen_app_does() -> None:
    answer = calls.reference_caller().once()
    assert answer.startswith(b'{"version":2,')
    assert calls.reference_caller().run(2)[0] == 2
