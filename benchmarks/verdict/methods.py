"""The same question to three gates: has this endpoint got slower?

    python benchmarks/verdict/methods.py RECORDS --trials 20

Each trial asks all three, in a random order, once about code that is the same and once about code with 5 % more work in
every request (counted loops):

* pytest-benchmark: one run saved, one compared with it by `--benchmark-compare-fail=mean:5%`, a request over HTTP;
* whole runs: five runs of the old code, then five of the new, fresh processes and 1 s of load each, and a t-test of CPU
  time per request (one-sided, 1 %) with a limit of 2 %, as tools do that keep the results of whole runs;
* ours: the paired gate at its defaults (5 s of load a side, limit 2 %).

Answers stay in RECORDS (JSON lines); what is there is not asked again. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import mean, variance
from typing import Any

from record_file import append, read

from pytest_fastr import _native
from pytest_fastr.gate.measure import CONNECT_TIMEOUT_SECONDS, LoadShape, Pair
from pytest_fastr.gate.model import Verdict, worst
from pytest_fastr.gate.selftest import REQUEST_UNITS, compare_pair, side_with
from pytest_fastr.mount import AppRef, spawn
from pytest_fastr.report.equals_text import rate_interval

EXTRA = 0.05
LIMIT = 0.02
RUNS, RUN_S = 5, 1.0
# t of the one-sided 1 % at 8 degrees of freedom (two groups of five).
T_1_PERCENT_8 = 2.896

BENCHMARK = """
import http.client
from pytest_fastr import Server
from pytest_fastr.gate.selftest_app import app

def test_request(benchmark):
    with Server(app, lifespan=False) as server:
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"))

        def ask():
            connection.request("GET", "/")
            return connection.getresponse().read()

        benchmark(ask)
"""


def by_pytest_benchmark(extra: float) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test_it.py").write_text(BENCHMARK)
        base = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"]
        codes = []
        for share, options in (
            (0.0, ["--benchmark-save=old"]),
            (extra, ["--benchmark-compare=0001", "--benchmark-compare-fail=mean:5%"]),
        ):
            env = {**os.environ, **side_with(REQUEST_UNITS, share, "").source.launch.env}
            done = subprocess.run([*base, *options], cwd=folder, env=env, capture_output=True, check=False)
            codes.append(done.returncode)
        if codes[0] != 0:
            sys.exit("pytest-benchmark could not be run")
        return codes[1] != 0


def by_whole_runs(extra: float) -> bool:
    old = [whole_run(0.0) for _ in range(RUNS)]
    new = [whole_run(extra) for _ in range(RUNS)]
    difference = mean(new) - mean(old)
    error = math.sqrt((variance(old) + variance(new)) / RUNS)
    return difference > T_1_PERCENT_8 * error and difference > LIMIT * mean(old)


def whole_run(extra: float) -> float:
    """CPU microseconds a request of one run of a fresh process."""
    side = side_with(REQUEST_UNITS, extra, "")
    assert isinstance(side.source.app, AppRef)
    server = spawn(side.source.app, side.source.launch)
    try:
        ready = server.ready
        assert ready is not None
        target = _native.Target(ready.host, ready.port, [server.pid])
        requests = [side.request.native(ready.address)]
        plan = _native.ConnectionPlan(20, True, CONNECT_TIMEOUT_SECONDS, 10.0)
        _native.warm_up(target, requests, plan, window=0.05, min_windows=4, max_seconds=2.0)
        done = _native.run_load(target, requests, plan, seconds=RUN_S).side
        assert done.cpu_ns is not None
        return done.cpu_ns / 1000 / done.requests
    finally:
        server.stop()


def by_paired_gate(extra: float) -> bool:
    pair = Pair(side_with(REQUEST_UNITS, 0.0, "old"), side_with(REQUEST_UNITS, extra, "new"))
    shape = LoadShape(users=20, duration_s=5.0, epochs=6, warmup_max_s=2.0)
    _, results = compare_pair(pair, shape, 0.01, lambda *_: None)
    return worst(one.verdict for one in results.values() if one.verdict is not None) is Verdict.REGRESSED


METHODS: dict[str, Callable[[float], bool]] = {
    "pytest-benchmark, mean:5%": by_pytest_benchmark,
    "whole runs and a t-test": by_whole_runs,
    "paired slices (ours)": by_paired_gate,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Three gates, the same question.")
    parser.add_argument("records", type=Path)
    parser.add_argument("--trials", type=int, default=20)
    args = parser.parse_args()
    done = {(one["method"], one["extra"], one["trial"]) for one in read(args.records)}
    for trial in range(args.trials):
        questions = [(method, extra) for method in METHODS for extra in (0.0, EXTRA)]
        random.Random(trial).shuffle(questions)
        for method, extra in questions:
            if (method, extra, trial) in done:
                continue
            began = time.monotonic()
            red = METHODS[method](extra)
            record = {"method": method, "extra": extra, "trial": trial, "red": red, "took_s": time.monotonic() - began}
            append(args.records, record)
    answers: dict[tuple[str, float], list[dict[str, Any]]] = defaultdict(list)
    for one in read(args.records):
        answers[one["method"], one["extra"]].append(one)
    print(f"{'gate':<28} {'red without a change':>28} {'red with 5 % more work':>28} {'seconds':>8}")
    for method in METHODS:
        cells = []
        for extra in (0.0, EXTRA):
            times, total = sum(one["red"] for one in answers[method, extra]), len(answers[method, extra])
            low, high = rate_interval(times, total)
            cells.append(f"{times} of {total} ({low:.0%} to {high:.0%})")
        seconds = mean(one["took_s"] for extra in (0.0, EXTRA) for one in answers[method, extra])
        print(f"{method:<28} {cells[0]:>28} {cells[1]:>28} {seconds:>8.0f}")


if __name__ == "__main__":
    main()
