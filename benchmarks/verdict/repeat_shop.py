"""How often the gate is right on the example app: unchanged code again and again, and the planted slowdown between.

    python benchmarks/verdict/repeat_shop.py RECORDS --rounds 10

A round is three whole builds, as `make perf`, `make demo-regression` and `make perf` run them. Each build's result file
and exit code stay in the folder RECORDS; builds that are there already are not run again, so that an interrupted
proof goes on where it stopped. The baseline is the one that `make perf` stores where this hardware has none.

Ten rounds take about 45 minutes. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SHOP = ROOT / "examples" / "shop"
SLOWED = "tests/perf/test_shop_perf.py::test_search"
ROUND = ("unchanged", "slower", "unchanged")


@dataclass(frozen=True)
class Build:
    """One pytest run: what was planted, its exit code, and its result file."""

    planted: str
    code: int
    result: dict[str, Any]

    @property
    def red(self) -> list[str]:
        return [test["nodeid"] for test in self.result["tests"] if test["verdict"] in ("regressed", "invalid")]

    @property
    def is_right(self) -> bool:
        """Green for unchanged code; red for the planted slowdown, naming its endpoint and no other."""
        if self.planted == "unchanged":
            return self.code == 0 and not self.red
        return self.code == 1 and self.red == [SLOWED]


def run_build(planted: str, record: Path) -> None:
    env = {name: value for name, value in os.environ.items() if name not in ("SHOP_SLOWDOWN", "CI")}
    if planted == "slower":
        env["SHOP_SLOWDOWN"] = "/search:20"
    unfinished = record.with_suffix(".unfinished")
    command = [sys.executable, "-m", "pytest", "-q", "--perf", f"--perf-json={unfinished}", "tests/perf"]
    done = subprocess.run(command, cwd=SHOP, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if not unfinished.exists():
        sys.exit(f"no result file; pytest ended with {done.returncode}:\n{done.stdout.decode(errors='replace')}")
    result = json.loads(unfinished.read_text())
    record.write_text(json.dumps({"planted": planted, "code": done.returncode, "result": result}, indent=1))
    unfinished.unlink()


def read_build(record: Path) -> Build:
    kept = json.loads(record.read_text())
    return Build(kept["planted"], kept["code"], kept["result"])


def describe(record: Path, build: Build) -> str:
    cells = []
    for test in build.result["tests"]:
        cpu = test["metrics"].get("cpu", {})
        change = "-" if cpu.get("change") is None else f"{cpu['change']:+.1%}"
        looks = f" ({test['looks']} looks)" if test["looks"] > 1 else ""
        cells.append(f"{test['nodeid'].rpartition('_')[2]} {change} {test['verdict']}{looks}")
    return f"{record.stem}  {'right' if build.is_right else 'WRONG'}  {'; '.join(cells)}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Repeats the example's builds and counts the right verdicts.")
    parser.add_argument("records", type=Path, help="folder of the records, made if it is missing")
    parser.add_argument("--rounds", type=int, default=10)
    args = parser.parse_args()
    args.records.mkdir(parents=True, exist_ok=True)
    subprocess.run(["make", "-s", "shop-baseline"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    builds = []
    for number in range(args.rounds):
        for place, planted in enumerate(ROUND):
            record = args.records.resolve() / f"{number:02d}-{place}-{planted}.json"
            if not record.exists():
                run_build(planted, record)
            builds.append(read_build(record))
            print(describe(record, builds[-1]), flush=True)
    for planted in dict.fromkeys(ROUND):
        right = [build.is_right for build in builds if build.planted == planted]
        minutes = sum(build.result["duration_s"] for build in builds if build.planted == planted) / 60
        print(f"{planted}: {sum(right)} of {len(right)} right, {minutes / len(right):.1f} minutes a build")


if __name__ == "__main__":
    main()
