"""What each choice of the measurement earns: the spread of comparisons of equals, one choice changed at a time.

    python benchmarks/verdict/ablation.py measure RECORDS --rounds 20
    python benchmarks/verdict/ablation.py analyse RECORDS

An application is compared with itself in fresh pairs of processes, each pair for as long as one epoch of a 5 s
measurement. In every round each variant has one pair, in a random order, so that a bad hour meets all of them.
`analyse` prints per variant the mean with its error, the standard deviation between pairs, the error within one, and
what six pairs come to. Nothing else should run while it measures.

The last four variants compare the application with a copy whose code does the same and lies elsewhere: a function more
that nobody calls, or its functions in another order.
"""

from __future__ import annotations

import argparse
import ctypes
import random
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from record_file import append, read

from pytest_fastr import _native
from pytest_fastr.gate import selftest_app
from pytest_fastr.gate.epochs import AppSource, EpochPool
from pytest_fastr.gate.measure import CONNECT_TIMEOUT_SECONDS, REFERENCE_SIDE, Side
from pytest_fastr.gate.selftest import REQUEST_UNITS, side_with
from pytest_fastr.mount import AppRef

EPOCHS = 6
LOAD_S = 5.0 / EPOCHS
ADDR_NO_RANDOMIZE = 0x0040000


@dataclass(frozen=True)
class Variant:
    """How one pair is measured. The default is what the gate does."""

    connections: int = 20
    slice_s: float = 0.002
    one_core: bool = True
    reference: bool = False
    fixed_layout: bool = False
    load_s: float = LOAD_S
    change: str | None = None


VARIANTS = {
    "as the gate does": Variant(),
    "slices of one round": Variant(slice_s=0.0),
    "slices of 10 ms": Variant(slice_s=0.010),
    "slices of 100 ms": Variant(slice_s=0.100),
    "slices of 400 ms": Variant(slice_s=0.400),
    "1 connection": Variant(connections=1),
    "4 connections": Variant(connections=4),
    "8 connections": Variant(connections=8),
    "cores left to the kernel": Variant(one_core=False),
    "against the reference app": Variant(reference=True),
    "no address-space randomisation": Variant(fixed_layout=True),
    "6 s a side": Variant(load_s=6.0),
    "6 s a side, slices of 1 s": Variant(load_s=6.0, slice_s=1.0),
    "a function more": Variant(change="more"),
    "a function more, no randomisation": Variant(change="more", fixed_layout=True),
    "functions in another order": Variant(change="order"),
    "another order, no randomisation": Variant(change="order", fixed_layout=True),
}

UNUSED = """
def unused(values: list[int]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for value in values:
        found.setdefault(f"{value % 7} of {value!r}", []).append(value << 3)
    return {name: sorted(group) for name, group in found.items() if group}

"""


def measure_pair(variant: Variant, index: int) -> dict[str, Any]:
    pool = EpochPool(coins=random.SystemRandom().getrandbits(32))
    before = personality(ADDR_NO_RANDOMIZE) if variant.fixed_layout else None
    try:
        with sides_of(variant) as sides:
            (epoch,) = pool.epochs((sides[0].source, sides[1].source), range(index, index + 1))
            return loaded(sides, (epoch.a, epoch.b), variant, epoch.coin, index)
    finally:
        pool.close()
        if before is not None:
            personality(before)


@contextmanager
def sides_of(variant: Variant) -> Iterator[tuple[Side, Side]]:
    a, b = side_with(REQUEST_UNITS, 0.0, "A"), side_with(REQUEST_UNITS, 0.0, "B")
    if variant.reference:
        yield REFERENCE_SIDE, b
    elif variant.change is None:
        yield a, b
    else:
        code = Path(selftest_app.__file__).read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as old, tempfile.TemporaryDirectory() as new:
            yield from_folder(a, old, code), from_folder(b, new, changed(code, variant.change))


def changed(code: str, change: str) -> str:
    head, work, app = split_before(code, "def work(", "async def app(")
    return head + UNUSED + work + app if change == "more" else head + app + "\n\n" + work


def split_before(text: str, first: str, second: str) -> tuple[str, str, str]:
    one, two = text.index(first), text.index(second)
    return text[:one], text[one:two], text[two:]


def from_folder(side: Side, folder: str, code: str) -> Side:
    """The side with its application's code in a module of this folder."""
    assert isinstance(side.source, AppSource)
    Path(folder, "changing_app.py").write_text(code, encoding="utf-8")
    launch = replace(side.source.launch, path=(folder,))
    return replace(side, source=AppSource(AppRef("changing_app", "app", factory=False), launch))


def personality(value: int) -> int:
    """Sets this process' execution domain, which its children inherit, and returns the one before."""
    libc = ctypes.CDLL(None, use_errno=True)
    before: int = libc.personality(0xFFFFFFFF)
    if libc.personality(value) < 0:
        sys.exit("this system does not let a process switch address-space randomisation off")
    return before


def loaded(sides: tuple[Side, Side], servers: Any, variant: Variant, coin: int, turn: int) -> dict[str, Any]:
    plan = _native.ConnectionPlan(variant.connections, True, CONNECT_TIMEOUT_SECONDS, 10.0)
    targets = tuple(_native.Target(one.ready.host, one.ready.port, [one.pid]) for one in servers)
    requests = tuple([side.request.native(one.ready.address)] for side, one in zip(sides, servers, strict=True))
    for target, wire in zip(targets, requests, strict=True):
        _native.warm_up(target, wire, plan, window=0.05, min_windows=4, max_seconds=2.0)
    paired = _native.run_paired(
        (targets[0], targets[1]),
        (requests[0], requests[1]),
        plan,
        seconds_per_side=variant.load_s,
        min_slice=variant.slice_s or 1e-6,
        max_round=3600.0,
        chunks=8,
        seed=coin,
        core_turn=turn if variant.one_core else None,
    )
    record: dict[str, Any] = {}
    for cost in ("cpu", "throughput"):
        try:
            estimate = paired.epoch_estimate(cost)
        except ValueError:  # too few blocks, which is a result too
            continue
        record[cost] = [estimate.log_ratio, estimate.se]
    quantiles = [side.quantile_ns(0.99) for side in paired.sides]
    record["p99_ns"] = quantiles
    return record


def run_measure(path: Path, rounds: int) -> None:
    done = {(one["variant"], one["round"]) for one in read(path)}
    for number in range(rounds):
        order = random.Random(number).sample(list(VARIANTS), k=len(VARIANTS))
        for name in order:
            if (name, number) in done:
                continue
            record = measure_pair(VARIANTS[name], EPOCHS + number)
            append(path, {"variant": name, "round": number, **record})


def run_analyse(path: Path) -> None:
    found = defaultdict(list)
    for one in read(path):
        found[one["variant"]].append(one)
    columns = f"{'pairs':>5} {'cpu: mean':>16} {'sd':>7} {'within':>7} {'6 pairs':>8} {'throughput: sd':>15}"
    print(f"{'variant':<34} {columns}")
    for name in VARIANTS:
        records = [one for one in found[name] if "cpu" in one and "throughput" in one]
        if len(records) < 2:
            print(f"{name:<34} {len(records):>5}  too few blocks for an estimate, or not measured")
            continue
        ratios = [one["cpu"][0] for one in records]
        cpu = stdev(ratios)
        middle = f"{mean(ratios):+.2%} +- {cpu / len(ratios) ** 0.5:.2%}"
        within = mean(one["cpu"][1] ** 2 for one in records) ** 0.5
        throughput = stdev(one["throughput"][0] for one in records)
        columns = f"{middle:>16} {cpu:>7.2%} {within:>7.2%} {cpu / EPOCHS**0.5:>8.2%} {throughput:>15.2%}"
        print(f"{name:<34} {len(records):>5} {columns}")


def main() -> None:
    parser = argparse.ArgumentParser(description="What each choice of the measurement earns.")
    commands = parser.add_subparsers(required=True, dest="command")
    measuring = commands.add_parser("measure")
    measuring.add_argument("records", type=Path)
    measuring.add_argument("--rounds", type=int, default=20)
    analysing = commands.add_parser("analyse")
    analysing.add_argument("records", type=Path)
    args = parser.parse_args()
    if args.command == "measure":
        run_measure(args.records, args.rounds)
    else:
        run_analyse(args.records)


if __name__ == "__main__":
    main()
