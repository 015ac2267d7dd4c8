"""CPU per request and throughput of the engine against uvicorn (uvloop, httptools), in one interleaved run.

``python benchmarks/engine_vs_uvicorn.py [--seconds 2] [--pairs 6] [--json FILE]``

Both serve the same application from a process each, and the load alternates between them every few milliseconds, as in
the gate. Printed are ratios (engine / uvicorn) with their 95 % intervals over pairs of fresh processes.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import secrets
import socket
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

from pytest_fastr import _native
from pytest_fastr.gate.profile import detect
from pytest_fastr.load import build_request
from pytest_fastr.mount import AppRef, Launch, spawn
from pytest_fastr.mount.runtime import Address

HERE = Path(__file__).parent
CASES = {
    "raw ASGI": ("bench_apps:raw", "/"),
    "FastAPI, async handler": ("bench_apps:app", "/async"),
    "FastAPI, sync handler": ("bench_apps:app", "/sync"),
}
CONNECTIONS = 20
# Student's t, 97.5 %, for 2 to 20 pairs.
T = [12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13, 2.12, 2.11, 2.10, 2.09]


def free_port() -> int:
    """A port that was free a moment ago: uvicorn's command line does not tell the port it took."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def start_uvicorn(app: str) -> tuple[subprocess.Popen[bytes], Address]:
    """uvicorn at its fastest, in its own process."""
    port = free_port()
    command = [
        sys.executable, "-m", "uvicorn", app, "--host", "127.0.0.1", "--port", str(port), "--loop", "uvloop",
        "--http", "httptools", "--no-access-log", "--log-level", "warning", "--app-dir", str(HERE),
    ]  # fmt: skip
    process = subprocess.Popen(command)
    deadline = time.monotonic() + 30
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return process, Address("127.0.0.1", port)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
    process.kill()
    raise SystemExit(f"uvicorn did not start: {' '.join(command)}")


def one_pair(app: str, path: str, seconds: float) -> _native.PairedResult:
    """A is uvicorn, B the engine."""
    request = build_request("GET", path)
    uvicorn, address = start_uvicorn(app)
    engine = spawn(AppRef.parse(app), Launch(path=(str(HERE),)))
    assert engine.ready is not None
    try:
        sides = ((address, uvicorn.pid), (engine.ready.address, engine.pid))
        targets = tuple(_native.Target(where.host, where.port, [pid]) for where, pid in sides)
        wires = tuple([request.native(where)] for where, _ in sides)
        plan = _native.ConnectionPlan(CONNECTIONS, True, 5, 10)
        for target, wire in zip(targets, wires, strict=True):
            _native.warm_up(target, wire, plan, window=0.1, min_windows=4, max_seconds=3)
        result = _native.run_paired(
            (targets[0], targets[1]), (wires[0], wires[1]), plan, seconds_per_side=seconds, min_slice=0.002,
            max_round=0.02, chunks=8, seed=secrets.randbits(32),
        )  # fmt: skip
        for side in result.sides:
            if side.outcomes["ok"] != side.requests:
                raise SystemExit(f"{app}{path}: failed requests: {side.outcomes}")
        return result
    finally:
        engine.stop()
        uvicorn.terminate()
        uvicorn.wait()


def ratio(log_ratios: list[float]) -> tuple[float, float, float]:
    """Geometric mean with its 95 % interval over pairs."""
    count = len(log_ratios)
    mean = sum(log_ratios) / count
    sd = math.sqrt(sum((one - mean) ** 2 for one in log_ratios) / (count - 1))
    half = T[min(count, 20) - 2] * sd / math.sqrt(count)
    return math.exp(mean), math.exp(mean - half), math.exp(mean + half)


def main() -> None:
    """Runs and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="load time per side and pair")
    parser.add_argument("--pairs", type=int, default=6, help="pairs of fresh processes, at least 2")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.pairs < 2:
        parser.error("--pairs must be at least 2: one pair has no spread")
    packages = {
        name: version(name) for name in ("pytest-fastr", "uvicorn", "uvloop", "httptools", "fastapi", "starlette")
    }
    print(f"{detect(version('pytest-fastr')).slug}, Python {platform.python_version()}, {packages}")
    rows = []
    for name, (app, path) in CASES.items():
        pairs = [one_pair(app, path, args.seconds) for _ in range(args.pairs)]
        row: dict[str, object] = {"case": name}
        for metric in ("cpu", "throughput"):
            row[metric] = ratio([pair.epoch_estimate(metric).log_ratio for pair in pairs])
        for side, who in enumerate(("uvicorn", "engine")):
            cpu = sum(pair.sides[side].cpu_ns or 0 for pair in pairs)
            row[f"{who}_cpu_us"] = cpu / 1000 / sum(pair.sides[side].requests for pair in pairs)
        rows.append(row)
        print(
            f"{name:24} CPU/request {row['uvicorn_cpu_us']:6.1f} us -> {row['engine_cpu_us']:6.1f} us, "
            "ratio {:.2f} [{:.2f}, {:.2f}]".format(*row["cpu"])  # type: ignore[misc]
            + ", throughput x{:.2f} [{:.2f}, {:.2f}]".format(*row["throughput"])  # type: ignore[misc]
        )
    if args.json:
        args.json.write_text(json.dumps({"packages": packages, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
