"""Load generators side by side: throughput against nginx, and what a request costs the generator.

    python benchmarks/load/compare.py --rounds 5 --seconds 3

nginx (`return 200`, one worker) has core 0, the generator core 1. In every round each tool runs once, in a new random
order, so that what changes with time meets all alike. Ratios are to wrk of the same round; the median and the range
over the rounds are printed. A tool's CPU is that of its process (user and system), ours
without the start of Python.

Tools that are not installed are named and left out: `apt-get install nginx-light wrk apache2-utils nghttp2-client`,
`cargo install --locked oha`, `go install go.k6.io/k6@latest`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off; keepalive_requests 1000000000; keepalive_timeout 300s;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{ listen 127.0.0.1:{port}; location / {{ return 200 "ok"; }} }}
}}
"""
NOBODY = "http://127.0.0.1:1/"
K6 = "import http from 'k6/http'; export default function () { http.get('URL'); }"


@dataclass(frozen=True)
class Tool:
    """How to run a generator for some seconds on some connections, and how to read its number of requests."""

    name: str
    program: str
    command: Callable[[str, int, int], list[str]]
    requests: Callable[[str], int]


def _json_requests(out: str) -> int:
    return int(json.loads(out)["requests"])


def _oha(out: str) -> int:
    return sum(json.loads(out)["statusCodeDistribution"].values())


def _matched(pattern: str) -> Callable[[str], int]:
    def read(out: str) -> int:
        found = re.search(pattern, out)
        if found is None:
            raise SystemExit(f"no number of requests in:\n{out}")
        return int(found[1])

    return read


def tools(folder: Path) -> list[Tool]:
    """All generators that this knows."""
    script = folder / "k6.js"
    ours = [sys.executable, "-m", "pytest_fastr.cli", "load"]
    return [
        Tool(
            "pytest-fastr", sys.executable,
            lambda url, c, s: [*ours, url, "--users", str(c), "--duration", f"{s}s", "--json", "-"], _json_requests,
        ),
        Tool(
            "wrk", "wrk", lambda url, c, s: ["wrk", "-t1", f"-c{c}", f"-d{s}s", url],
            _matched(r"(\d+) requests in"),
        ),
        Tool(
            "ab", "ab", lambda url, c, s: ["ab", "-q", "-k", "-c", str(c), "-t", str(s), "-n", "100000000", url],
            _matched(r"Complete requests:\s+(\d+)"),
        ),
        Tool(
            "h2load", "h2load", lambda url, c, s: ["h2load", "--h1", "-t1", "-c", str(c), "-D", str(s), url],
            _matched(r"requests: (\d+) total"),
        ),
        Tool(
            "oha", "oha",
            lambda url, c, s: ["oha", "--no-tui", "--output-format", "json", "-c", str(c), "-z", f"{s}s", url], _oha,
        ),
        Tool(
            "k6", "k6",
            lambda url, c, s: _k6(script, url, ["k6", "run", "-q", "--vus", str(c), "--duration", f"{s}s"]),
            _matched(r"http_reqs[.:\s]+(\d+)"),
        ),
    ]  # fmt: skip


def _k6(script: Path, url: str, command: list[str]) -> list[str]:
    script.write_text(K6.replace("URL", url))
    return [*command, str(script)]


@dataclass(frozen=True)
class Run:
    """One run of one tool."""

    rps: float
    cpu_us: float
    user_us: float
    """The part of it that was not spent in the kernel."""


def measure(tool: Tool, url: str, connections: int, seconds: int, startup: tuple[float, float]) -> Run:
    """Runs a tool on core 1. ``startup``: user and system seconds that are not the load's."""
    user_s, system_s, out = spend(tool.command(url, connections, seconds))
    requests = tool.requests(out)
    user_s, system_s = user_s - startup[0], system_s - startup[1]
    return Run(requests / seconds, (user_s + system_s) * 1e6 / requests, user_s * 1e6 / requests)


def spend(command: list[str]) -> tuple[float, float, str]:
    """User and system seconds and the output of a command on core 1."""
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(["taskset", "-c", "1", *command], stdout=out, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        return usage.ru_utime, usage.ru_stime, out.read()


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def start_nginx(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Starts nginx on core 0 and waits until it listens."""
    port = free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(NGINX.format(folder=folder, port=port))
    server = subprocess.Popen(["taskset", "-c", "0", "nginx", "-c", str(configuration), "-p", str(folder)])
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return server, f"http://127.0.0.1:{port}/"
    raise SystemExit("nginx did not start; see its messages above")


def table(runs: dict[str, list[Run]]) -> str:
    """Medians, and ratios to wrk with their range."""
    lines = [f"{'':14}{'requests/s':>12}{'CPU/request':>14}{'of it user':>14}   rps / wrk           CPU / wrk"]
    wrk = runs.get("wrk")
    for name, own in runs.items():
        values = (statistics.median(getattr(run, of) for run in own) for of in ("rps", "cpu_us", "user_us"))
        rps, cpu_us, user_us = values
        line = f"{name:14}{rps:>12,.0f}{cpu_us:>11.2f} us{user_us:>11.2f} us"
        if wrk:
            for of in ("rps", "cpu_us"):
                ratios = sorted(getattr(a, of) / getattr(b, of) for a, b in zip(own, wrk, strict=True))
                line += f"   {statistics.median(ratios):.2f} [{ratios[0]:.2f}, {ratios[-1]:.2f}]"
        lines.append(line)
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Compares load generators against nginx.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--connections", type=int, nargs="*", default=[20, 64])
    args = parser.parse_args()
    for needed in ("nginx", "taskset"):
        if shutil.which(needed) is None:
            sys.exit(f"{needed} is missing: apt-get install nginx-light util-linux")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        known = tools(folder)
        missing = [tool.name for tool in known if shutil.which(tool.program) is None]
        present = [tool for tool in known if tool.name not in missing]
        if missing:
            print(f"not installed, left out: {', '.join(missing)}")
        server, url = start_nginx(folder)
        try:
            startup = {
                tool.name: spend(tool.command(NOBODY, 1, 1))[:2] if tool.name == "pytest-fastr" else (0.0, 0.0)
                for tool in present
            }
            for connections in args.connections:
                runs: dict[str, list[Run]] = {tool.name: [] for tool in present}
                for _ in range(args.rounds):
                    for tool in random.sample(present, len(present)):
                        runs[tool.name].append(measure(tool, url, connections, args.seconds, startup[tool.name]))
                print(f"\n{connections} connections, {args.rounds} rounds of {args.seconds} s\n{table(runs)}")
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
