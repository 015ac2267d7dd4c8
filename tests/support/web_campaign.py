"""Many cases in a row, for hours: seeds in ranges, progress, and a file for every difference."""

from __future__ import annotations

import argparse
import time
import traceback
from pathlib import Path

from support.web_case import REQUESTS_A_CASE, Tally, run_case

PROGRESS_SECONDS = 10.0


def main(arguments: list[str] | None = None) -> int:
    """Runs cases. Returns 1 when any of them differs."""
    options = _parser().parse_args(arguments)
    differing, tally, said = 0, Tally(), time.monotonic()
    for seed in range(options.seed, options.seed + options.cases):
        text = _report(seed, options.mount, tally, options.requests)
        if text is not None:
            differing += 1
            options.out.mkdir(parents=True, exist_ok=True)
            file = options.out / f"{options.mount}-{seed}.txt"
            file.write_text(text, encoding="utf-8", errors="backslashreplace")
            print(f"seed {seed} differs: {file}", flush=True)
            if differing >= options.stop_after:
                break
        if time.monotonic() - said > PROGRESS_SECONDS:
            said = time.monotonic()
            print(f"up to seed {seed}: {tally}, {differing} differ; go on with --seed {seed + 1}", flush=True)
    print(f"done: {tally}, {differing} differ")
    return 1 if differing else 0


def _report(seed: int, mount: str, tally: Tally, count: int) -> str | None:
    """The text about a seed that differs. A case that cannot be run is reported too: that is a fault of the harness."""
    try:
        difference = run_case(seed, mount, tally, count)
    except Exception:
        return f"seed: {seed}\nthe case could not be run\n{traceback.format_exc()}"
    return None if difference is None else difference.render(str(seed))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Compares the engine's answers with FastAPI's own, seed by seed.")
    parser.add_argument("--cases", type=int, default=1000, help="how many seeds (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="the first seed; progress says where to go on")
    parser.add_argument("--requests", type=int, default=REQUESTS_A_CASE, help="requests a case (default: %(default)s)")
    parser.add_argument("--mount", default="asgi", help="how the application is served (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("differences"), help="folder for what differs")
    parser.add_argument("--stop-after", type=int, default=50, help="give up after this many (default: %(default)s)")
    return parser
