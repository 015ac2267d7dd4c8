"""What hides from a mean: stalls of a few requests, and rare costs.

    python benchmarks/verdict/tails.py RECORDS --runs 20

Three comparisons of an application with itself: unchanged; with a sleep of 20 ms in 2 % of its requests (no CPU time,
but a tail: `rate_p99` has to be red and `cpu` green); and with one request in a thousand that costs a hundred times as
much (no metric of cost may be called `equivalent` or `improved`). Each at the gate's defaults, and at 500 requests a
second besides. Runs stay in RECORDS (JSON lines); what is there is not measured again. Nothing else should run.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

from record_file import append, read

from pytest_fastr.gate.epochs import AppSource
from pytest_fastr.gate.measure import LoadShape, Pair, Side
from pytest_fastr.gate.selftest import compare_pair
from pytest_fastr.load import build_request
from pytest_fastr.mount import AppRef, Launch

HERE = str(Path(__file__).parent)
PLANTED = {
    "unchanged": {},
    "a sleep in 2 % of requests": {"TAILS_SLEEP_EVERY": "50"},
    "one in 1,000 costs 100 x": {"TAILS_COST_EVERY": "1000"},
}
RATE = 500.0


def side(env: dict[str, str], title: str) -> Side:
    app = AppRef("tails_app", "app", factory=False)
    return Side(AppSource(app, Launch(env=env, path=(HERE,))), build_request("GET", "/", name="tails"), title)


def run_once(planted: str) -> dict[str, Any]:
    pair = Pair(side({}, "old"), side(PLANTED[planted], "new"))
    shape = LoadShape(users=20, duration_s=5.0, epochs=6, warmup_max_s=2.0, rate=RATE)
    _, results = compare_pair(pair, shape, 0.01, lambda *_: None)
    return {
        name: {"verdict": one.verdict, "change": one.change, "limit": one.limit, "notes": one.notes}
        for name, one in results.items()
        if one.verdict is not None
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Stalls of a few requests, and rare costs.")
    parser.add_argument("records", type=Path)
    parser.add_argument("--runs", type=int, default=20)
    args = parser.parse_args()
    done = {(one["planted"], one["run"]) for one in read(args.records)}
    for run in range(args.runs):
        for planted in PLANTED:
            if (planted, run) in done:
                continue
            record = {"planted": planted, "run": run, "metrics": run_once(planted)}
            append(args.records, record)
    records = read(args.records)
    for planted in PLANTED:
        of = [one["metrics"] for one in records if one["planted"] == planted]
        print(f"{planted} ({len(of)} runs)")
        for metric in ("cpu", "throughput", "p99", "rate_p99"):
            verdicts = Counter(one[metric]["verdict"] for one in of if metric in one)
            changes = sorted(one[metric]["change"] for one in of if metric in one and one[metric]["change"] is not None)
            middle = f"{changes[len(changes) // 2]:+.1%}" if changes else "-"
            print(f"  {metric:<11} {middle:>9} in the middle  {dict(verdicts)}")


if __name__ == "__main__":
    main()
