"""Functions in the gate: compared with their stored sessions, looked at again, stored. Costs are made up."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_fastr.errors import MeasurementError
from pytest_fastr.gate import calls, functions
from pytest_fastr.gate.baseline import BaselineStore
from pytest_fastr.gate.blocks import Totals
from pytest_fastr.gate.budget import Budget
from pytest_fastr.gate.calls import Caller, CallShape, Function
from pytest_fastr.gate.functions import FunctionGate, FunctionMeasurement, FunctionRules
from pytest_fastr.gate.model import TestReport, Verdict
from pytest_fastr.gate.profile import detect
from pytest_fastr.gate.unsettled import Unsettled

NODEID = "test_it.py::test_sum"
RULES = FunctionRules(false_alarm=0.01)


def target() -> None:
    """Stands for the function under test."""


class Priced(Caller):
    """A function of a price: CPU nanoseconds a call, some more wall time, and noise of a per mille."""

    def __init__(self, cpu_ns: float, waits: float = 1.0) -> None:
        super().__init__(Function(target), None)
        self._cpu_ns = cpu_ns
        self._waits = waits
        self._chance = random.Random(7)

    def run(self, rounds: int) -> Totals:
        cpu_ns = rounds * self._cpu_ns * self._chance.gauss(1.0, 0.001)
        return rounds, round(cpu_ns * self._waits), round(cpu_ns)


@pytest.fixture(autouse=True)
def priced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing takes any time, and the reference function costs half a millisecond."""

    def with_seconds(caller: Caller, rounds: int) -> tuple[float, Totals]:
        total = caller.run(rounds)
        return total[1] / 1e9, total

    monkeypatch.setattr(calls, "_with_seconds", with_seconds)
    monkeypatch.setattr(calls, "_quiet_heap", nullcontext)
    monkeypatch.setattr(functions, "reference_caller", lambda: Priced(500_000))
    monkeypatch.setattr(functions, "tracing_tool", lambda: None)


@pytest.fixture
def store(tmp_path: Path) -> BaselineStore:
    """An empty one."""
    return BaselineStore(tmp_path, detect("0"))


MEASURED = FunctionMeasurement(NODEID, "test_it.py", 3, Function(target), CallShape(0.2, 6))


def judged(
    store: BaselineStore,
    cpu_ns: float,
    rules: FunctionRules = RULES,
    waits: float = 1.0,
    measured: FunctionMeasurement = MEASURED,
) -> TestReport:
    unsettled = Unsettled()
    gate = FunctionGate(store, unsettled, Budget(600.0), rules)
    report = gate.run(measured, Priced(cpu_ns, waits), lambda *_: None)
    unsettled.settle(passed=True)
    return report


def stored(store: BaselineStore, cpu_ns: float = 10_000, sessions: int = 3) -> None:
    for _ in range(sessions):
        assert judged(store, cpu_ns, replace(RULES, update=True)).verdict in (
            Verdict.NEW,
            Verdict.EQUIVALENT,
            Verdict.INCONCLUSIVE,
        )


def test_without_a_baseline_it_is_new_and_has_its_numbers(store: BaselineStore) -> None:
    report = judged(store, 10_000)
    assert report.verdict is Verdict.NEW
    assert report.cpu_us_per_request == pytest.approx(10.0, rel=0.01)
    assert (report.rps, report.p50_us) == (None, None)
    assert report.is_function
    assert report.load["requests"] == ["target"]


def test_twice_the_cost_is_red_after_another_look_and_is_called_by_calls(store: BaselineStore) -> None:
    stored(store)
    report = judged(store, 20_000)
    assert report.verdict is Verdict.REGRESSED
    assert report.confirmed
    assert report.looks > 1
    metric = report.metrics["cpu"]
    assert metric.unit == "us/call"
    assert metric.change == pytest.approx(1.0, abs=0.02)
    assert report.metrics["time"].verdict is None


def test_half_the_cost_is_improved(store: BaselineStore) -> None:
    stored(store)
    assert judged(store, 5_000).verdict is Verdict.IMPROVED


def test_the_same_cost_passes_once_sessions_have_shown_what_they_differ_by(store: BaselineStore) -> None:
    stored(store, sessions=12)
    assert judged(store, 10_000).verdict is Verdict.EQUIVALENT


def test_what_servers_sessions_differ_by_says_nothing_about_functions(store: BaselineStore) -> None:
    stored(store, sessions=2)
    assert store.history("cpu") == []
    assert [len(one) for one in store.history("cpu", functions=True)] == [2]


def test_wall_time_decides_where_it_has_a_limit(store: BaselineStore) -> None:
    limited = replace(MEASURED, limits={"time": 0.1})
    stored(store)
    assert judged(store, 10_000, waits=3.0).verdict is not Verdict.REGRESSED
    assert judged(store, 10_000, waits=3.0, measured=limited).metrics["time"].verdict is Verdict.REGRESSED


def test_what_mostly_waits_is_open_unless_its_time_decides(store: BaselineStore) -> None:
    update = replace(RULES, update=True)
    report = judged(store, 10_000, update, waits=10.0)
    assert (report.verdict, [note.code for note in report.validity]) == (Verdict.INCONCLUSIVE, ["waiting"])
    # Nor does it say what the CPU time of other functions differs by.
    assert store.history("cpu", functions=True) == []
    assert judged(store, 50_000, waits=10.0).verdict is Verdict.INCONCLUSIVE
    limited = replace(MEASURED, limits={"time": 0.1})
    slower = judged(store, 50_000, waits=10.0, measured=limited)
    assert (slower.verdict, slower.validity) == (Verdict.REGRESSED, ())
    assert "cpu" not in slower.metrics


def test_a_worse_session_is_stored_only_with_a_reason(store: BaselineStore) -> None:
    stored(store)
    update = replace(RULES, update=True)
    refused = judged(store, 20_000, update)
    assert refused.verdict is Verdict.INVALID
    assert [note.code for note in refused.validity] == ["reason"]
    judged(store, 20_000, replace(update, reason="it does more"))
    found = store.load(NODEID)
    assert found is not None
    assert [era.reason for era in found.eras] == ["it does more"]
    assert len(found.sessions) == 1


def test_another_way_of_measuring_is_not_compared(store: BaselineStore) -> None:
    stored(store)
    setup: Callable[[], None] = lambda: None  # noqa: E731
    other = replace(MEASURED, function=Function(target, setup=setup))
    with pytest.raises(MeasurementError, match=r"timed was 'many' and is 'each'.*--perf-update"):
        judged(store, 10_000, measured=other)


def test_another_ref_cannot_be_paired_and_the_stored_baseline_decides(store: BaselineStore) -> None:
    paired = replace(RULES, is_paired=True)
    report = judged(store, 10_000, paired)
    assert (report.mode, [note.code for note in report.validity]) == ("stored", ["unpaired"])
    with pytest.raises(MeasurementError, match="cannot be paired"):
        judged(store, 10_000, replace(paired, mode="paired"))


def test_a_traced_process_is_void_and_never_stored(store: BaselineStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(functions, "tracing_tool", lambda: "coverage")
    report = judged(store, 10_000, replace(RULES, update=True))
    assert (report.verdict, [note.code for note in report.validity]) == (Verdict.INVALID, ["tracing"])
    assert store.load(NODEID) is None
