"""How often a paired build of the example app is red although nothing differs.

    python benchmarks/verdict/paired_shop.py RECORDS --builds 60
    python benchmarks/verdict/paired_shop.py RECORDS/noisy --builds 20 --neighbour

The example is copied into a git repository of its own, and `pytest --perf --perf-against HEAD` compares it with itself
through a worktree at another path: five endpoints, five paired runs a build. Each build's result file stays in the
folder RECORDS; builds that are there already are not run again. With `--neighbour` another process burns one core in
bursts of random length all the while. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from pytest_fastr.report.equals_text import rate_interval

SHOP = Path(__file__).parents[2] / "examples" / "shop"


def make_repository(folder: Path) -> Path:
    """The example, committed."""
    shop = folder / "shop"
    shutil.copytree(SHOP, shop, ignore=shutil.ignore_patterns("__pycache__", "baselines", ".pytest_cache"))
    (shop / ".gitignore").write_text("__pycache__\n.pytest_cache\n*.db\n")
    git = ["git", "-c", "user.name=proof", "-c", "user.email=proof@example.org"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "the example"]):
        subprocess.run([*git, *command], cwd=shop, check=True)
    return shop


def burn(seed: int) -> None:
    """Uses a core in bursts."""
    draw = random.Random(seed)
    while True:
        until = time.monotonic() + draw.uniform(0.05, 2.0)
        while time.monotonic() < until:
            sum(range(1000))
        time.sleep(draw.uniform(0.05, 2.0))


@contextmanager
def neighbour(wanted: bool) -> Iterator[None]:
    if not wanted:
        yield
        return
    process = get_context("spawn").Process(target=burn, args=(1,), daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()


def run_build(shop: Path, record: Path) -> None:
    # By a relative path, since the result keeps its command, and records are published.
    unfinished = shop / "result.json"
    unfinished.unlink(missing_ok=True)
    env = {name: value for name, value in os.environ.items() if name not in ("SHOP_SLOWDOWN", "CI")}
    command = [sys.executable, "-m", "pytest", "-q", "--perf", "--perf-against", "HEAD", "--perf-duration=5s",
               "--perf-budget=60m", f"--perf-json={unfinished.name}", "tests/perf"]  # fmt: skip
    done = subprocess.run(command, cwd=shop, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if not unfinished.exists():
        sys.exit(f"no result file; pytest ended with {done.returncode}:\n{done.stdout.decode(errors='replace')}")
    record.write_text(json.dumps({"code": done.returncode, "result": json.loads(unfinished.read_text())}))
    unfinished.unlink()


def describe(record: Path) -> str:
    kept = json.loads(record.read_text())
    cells = []
    for test in kept["result"]["tests"]:
        cpu = test["metrics"].get("cpu", {}).get("change")
        looks = f" ({test['looks']} looks)" if test["looks"] > 1 else ""
        change = "-" if cpu is None else f"{cpu:+.1%}"
        cells.append(f"{test['nodeid'].rpartition('_')[2]} {change} {test['verdict']}{looks}")
    return f"{record.stem} {kept['code']} {kept['result']['duration_s']:.0f} s  {'; '.join(cells)}"


def summarize(records: list[Path]) -> str:
    builds: list[dict[str, Any]] = [json.loads(record.read_text()) for record in records]
    tests = [test for build in builds for test in build["result"]["tests"]]
    red = sum(build["code"] != 0 for build in builds)
    low, high = rate_interval(red, len(builds))
    red_tests = sum(test["verdict"] in ("regressed", "invalid") for test in tests)
    test_low, test_high = rate_interval(red_tests, len(tests))
    verdicts = Counter(test["verdict"] for test in tests)
    minutes = sum(build["result"]["duration_s"] for build in builds) / 60 / len(builds)
    return (
        f"builds red: {red} of {len(builds)} ({low:.1%} to {high:.1%}); paired runs red: {red_tests} of {len(tests)} "
        f"({test_low:.2%} to {test_high:.2%}); {dict(verdicts)}; {minutes:.1f} minutes a build"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="A/A builds of the example through a worktree.")
    parser.add_argument("records", type=Path)
    parser.add_argument("--builds", type=int, default=60)
    parser.add_argument("--neighbour", action="store_true", help="burn a core in random bursts")
    args = parser.parse_args()
    args.records.mkdir(parents=True, exist_ok=True)
    records = []
    with tempfile.TemporaryDirectory() as folder, neighbour(args.neighbour):
        shop = make_repository(Path(folder))
        for number in range(args.builds):
            record = args.records.resolve() / f"{number:03d}.json"
            if not record.exists():
                run_build(shop, record)
            records.append(record)
            print(describe(record), flush=True)
    print(summarize(records))


if __name__ == "__main__":
    main()
