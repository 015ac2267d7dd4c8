"""How small a slowdown the paired gate sees, and how often it is wrong: the power curve.

    python benchmarks/verdict/power.py measure RECORDS --epochs 60
    python benchmarks/verdict/power.py analyse RECORDS

`measure` compares an application with itself plus planted work: a counted loop, so that it is the same share of a
request however fast the machine is. One line of RECORDS (JSON lines) is one epoch: a fresh pair of processes under
5/6 s of load a side, as one of the six epochs of a 5 s measurement. What is there already is not measured again.
Epochs of all levels take turns, so that a bad hour of the machine meets all of them alike.

`analyse` draws builds from the epochs (with replacement) and decides each one as the gate does: a first look at 6
epochs, then, where it could turn red, at 12 and 24. It prints the share of red builds and the load they took.
Nothing else should run while it measures.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from record_file import append, read

from pytest_fastr import _native
from pytest_fastr.config import Limits
from pytest_fastr.gate.basis import UNKNOWN_FLOOR, Direct
from pytest_fastr.gate.compare import Comparison, Estimate, Rules, compare
from pytest_fastr.gate.epochs import EpochPool
from pytest_fastr.gate.looks import LOOKS, SPENT, Look, is_decided, outcome_of_looks
from pytest_fastr.gate.measure import LoadShape, Pair, measure
from pytest_fastr.gate.model import Verdict, worst
from pytest_fastr.gate.selftest import side_with

EPOCHS = 6
LOAD_S = 5.0
# Units of work in a request, and users.
ENDPOINTS = {
    "0.2 ms": (45, 20),
    "0.2 ms, 1 user": (45, 1),
    "2 ms": (550, 20),
    "2 ms, 1 user": (550, 1),
    "20 ms": (5_600, 20),
    "100 ms": (28_000, 20),
}
EXTRAS = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.10)
COSTS = ("cpu", "throughput")
TESTS = 1
FALSE_ALARM = 0.01


def as_record(estimate: _native.EpochEstimate) -> list[float]:
    return [
        estimate.log_ratio, estimate.se, estimate.df, estimate.totals_log_ratio, estimate.totals_se, estimate.blocks,
    ]  # fmt: skip


def measure_epoch(endpoint: str, extra: float, index: int) -> dict[str, Any]:
    units, users = ENDPOINTS[endpoint]
    pool = EpochPool(coins=random.SystemRandom().getrandbits(32))
    pair = Pair(side_with(units, 0.0, "A"), side_with(units, extra, "B"))
    shape = LoadShape(users=users, duration_s=LOAD_S, epochs=EPOCHS, warmup_max_s=2.0)
    try:
        (sample,) = measure(pool, pair, shape, range(index, index + 1), lambda *_: None).epochs
    finally:
        pool.close()
    paired = sample.paired
    a, b = paired.sides
    return {
        "cpu": as_record(paired.epoch_estimate("cpu")),
        "throughput": as_record(paired.epoch_estimate("throughput")),
        "p99_us": [None if ns is None else ns / 1000 for ns in (a.quantile_ns(0.99), b.quantile_ns(0.99))],
        "cpu_us": [one.cpu_ns / 1000 / one.requests for one in (a, b) if one.cpu_ns],
        "steal": paired.generator.steal,
        "pressure": sample.cpu_pressure,
    }


def run_measure(path: Path, endpoints: list[str], extras: list[float], epochs: int) -> None:
    done = {(one["endpoint"], one["extra"], one["index"]) for one in read(path)}
    for index in range(epochs):
        for endpoint in endpoints:
            for extra in extras:
                if (endpoint, extra, index) in done:
                    continue
                # Above the shape's own epochs, so that no pair stays up.
                record = measure_epoch(endpoint, extra, EPOCHS + index)
                append(path, {"endpoint": endpoint, "extra": extra, "index": index, **record})


def comparison(epochs: list[dict[str, Any]], limit: float, look: int) -> Comparison:
    found = {}
    for cost in COSTS:
        made = [_native.EpochEstimate(*one[cost]) for one in epochs]
        found[cost] = Estimate(_native.session_estimate(made, ()), tuple(one.log_ratio for one in made), 1.0)
    false_alarm = FALSE_ALARM / (TESTS * len(COSTS))
    rules = Rules(
        limits={**Limits().of(paired=True), "cpu": limit, "throughput": limit},
        gated=COSTS,
        false_alarm=false_alarm * SPENT[look],
        most_epochs=LOOKS[-1] * EPOCHS,
        last_false_alarm=false_alarm * SPENT[-1],
    )
    return compare(found, Direct("equal", "itself", dict.fromkeys(COSTS, UNKNOWN_FLOOR)), rules)


def build(epochs: list[dict[str, Any]], limit: float) -> tuple[Verdict, int]:
    """Decides one build from 24 epochs. Returns the verdict and how many of them it took."""
    looks = [Look(comparison(epochs[:EPOCHS], limit, 0))]
    used = EPOCHS
    for look, times in enumerate(LOOKS[1:], start=1):
        if is_decided(looks[-1]):
            break
        used = times * EPOCHS
        looks.append(Look(comparison(epochs[:used], limit, look), comparison(epochs[EPOCHS:used], limit, look)))
    results, _ = outcome_of_looks(looks)
    return worst(one.verdict for one in results.values() if one.verdict is not None), used


def run_analyse(path: Path, builds: int) -> None:
    records = read(path)
    levels = sorted({(one["endpoint"], one["extra"]) for one in records}, key=lambda one: (ENDPOINTS[one[0]], one[1]))
    for limit in (0.005, 0.01, 0.02):
        print(f"\nlimit {limit:.1%}")
        print(
            f"{'endpoint':>14} {'work':>6} {'epochs':>7} {'cpu':>16} {'red':>6} {'equivalent':>11} {'load a side':>12}"
        )
        for endpoint, extra in levels:
            print(row([one for one in records if (one["endpoint"], one["extra"]) == (endpoint, extra)], limit, builds))


def row(records: list[dict[str, Any]], limit: float, builds: int) -> str:
    first = records[0]
    ratios = [one["cpu"][0] for one in records]
    draw = random.Random(1)
    outcomes = list(_builds(records, limit, builds, draw))
    red = mean(verdict is Verdict.REGRESSED for verdict, _ in outcomes)
    equivalent = mean(verdict in (Verdict.EQUIVALENT, Verdict.IMPROVED) for verdict, _ in outcomes)
    seconds = mean(used for _, used in outcomes) * LOAD_S / EPOCHS
    cpu = f"{mean(ratios):+.2%} +- {stdev(ratios):.2%}" if len(ratios) > 1 else f"{ratios[0]:+.2%}"
    return (
        f"{first['endpoint']:>14} {first['extra']:>6.1%} {len(records):>7} {cpu:>16} {red:>6.1%} {equivalent:>11.1%} "
        f"{seconds:>10.1f} s"
    )


def _builds(
    records: list[dict[str, Any]], limit: float, builds: int, draw: random.Random
) -> Iterator[tuple[Verdict, int]]:
    for _ in range(builds):
        yield build(draw.choices(records, k=LOOKS[-1] * EPOCHS), limit)


def main() -> None:
    parser = argparse.ArgumentParser(description="The power curve of the paired gate.")
    commands = parser.add_subparsers(required=True, dest="command")
    measuring = commands.add_parser("measure")
    measuring.add_argument("records", type=Path)
    measuring.add_argument("--epochs", type=int, default=60)
    measuring.add_argument("--endpoint", action="append", choices=list(ENDPOINTS))
    measuring.add_argument("--extra", action="append", type=float)
    analysing = commands.add_parser("analyse")
    analysing.add_argument("records", type=Path)
    analysing.add_argument("--builds", type=int, default=2000)
    args = parser.parse_args()
    if args.command == "measure":
        run_measure(args.records, args.endpoint or ["0.2 ms", "2 ms"], args.extra or list(EXTRAS), args.epochs)
    else:
        run_analyse(args.records, args.builds)


if __name__ == "__main__":
    main()
