"""Load: our own generator or wrk, in a closed loop on one core, with the same numbers out of both."""

from __future__ import annotations

import json
import math
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from processes import cpu_ns, tree
from workloads import Ask, Workload

from pytest_fastr import _native
from pytest_fastr.load import RequestSpec
from pytest_fastr.mount.runtime import Address

HOST = "127.0.0.1"
ANSWER_S = 10.0
SCRIPT = Path(__file__).resolve().parent / "wrk.lua"
JSON = {"content-type": "application/json"}


class Wrong(Exception):
    """A server did not answer as it should. The message says how."""


@dataclass(frozen=True)
class Aim:
    """A server under load: its port, its first process, and the core that the generator has."""

    port: int
    pid: int
    generator: frozenset[int] | None


@dataclass(frozen=True)
class Span:
    """Seconds of load, and of the same load before it that nothing counts."""

    seconds: float
    warm_up: float


@dataclass(frozen=True)
class Load:
    """What a stretch of load brought. ``cpu_us`` is the server's for one request; None where other requests ran too.
    ``utilisation`` is the generator's, of its core: near 1 the generator is the limit."""

    requests: int
    seconds: float
    cpu_us: float | None
    p50_us: float | None
    p99_us: float | None
    errors: int
    utilisation: float | None = None
    steal: float | None = None


Generator = Callable[[Aim, Workload, Span], Load]


def ask(port: int, one: Ask) -> tuple[int, bytes]:
    """Status and body of one answer. Raises Wrong without one."""
    connection = HTTPConnection(HOST, port, timeout=ANSWER_S)
    try:
        connection.request(one.method, one.path, one.body or None, JSON if one.body else {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, HTTPException) as error:
        raise Wrong(f"{one.method} {one.path}: {type(error).__name__} {error}") from error
    finally:
        connection.close()


def check(port: int, one: Ask) -> None:
    """Raises Wrong unless the answer is the right one: 200, and the same JSON value."""
    status, body = ask(port, one)
    if status != 200:
        raise Wrong(f"{one.method} {one.path}: status {status}")
    try:
        value = json.loads(body)
    except ValueError:
        raise Wrong(f"{one.method} {one.path}: no JSON") from None
    if _exact(value) != _exact(one.answer):
        raise Wrong(f"{one.method} {one.path}: another answer, {body[:80].decode(errors='replace')}")


def refuses(port: int, one: Ask) -> bool:
    """Whether the server refuses what is not valid, with a 4xx."""
    return 400 <= ask(port, one)[0] < 500


def _exact(value: object) -> str:
    """JSON text, since Python takes 1, 1.0 and true for the same."""
    return json.dumps(value, sort_keys=True)


def _request(aim: Aim, one: Ask) -> tuple[_native.Target, _native.Request]:
    headers = tuple(JSON.items()) if one.body else ()
    spec = RequestSpec(one.method, one.path, headers=headers, body=one.body)
    return _native.Target(HOST, aim.port, [aim.pid]), spec.native(Address(HOST, aim.port))


def own(aim: Aim, workload: Workload, span: Span) -> Load:
    """pytest-fastr's generator, on the calling thread."""
    target, request = _request(aim, workload.ask)
    plan = _native.ConnectionPlan(workload.connections, True, 5.0, ANSWER_S)
    with _on(aim.generator):
        result = _native.run_load(target, [request], plan, seconds=span.seconds, warm_up=span.warm_up)
    side, service = result.side, result.service
    good = side.outcomes.get("ok", 0)
    alone = workload.beside is None and side.cpu_ns is not None and good > 0
    return Load(
        requests=good,
        seconds=side.duration_ns / 1e9,
        cpu_us=side.cpu_ns / 1000 / good if alone and side.cpu_ns is not None else None,
        p50_us=_us(service.quantile_ns(0.5)),
        p99_us=_us(service.quantile_ns(0.99)),
        errors=side.requests - good,
        utilisation=result.generator.utilisation,
        steal=result.generator.steal,
    )


def wrk(aim: Aim, workload: Workload, span: Span) -> Load:
    """wrk with one thread. It takes whole seconds, so a shorter warm-up becomes one second."""
    if span.warm_up > 0:
        _wrk(aim, workload, span.warm_up)
    before = cpu_ns(tree(aim.pid))
    result, utilisation = _wrk(aim, workload, span.seconds)
    spent = cpu_ns(tree(aim.pid)) - before
    good = result["requests"] - result["status"]
    return Load(
        requests=good,
        seconds=result["us"] / 1e6,
        cpu_us=spent / 1000 / good if workload.beside is None and good > 0 else None,
        p50_us=float(result["p50_us"]),
        p99_us=float(result["p99_us"]),
        errors=result["status"] + result["socket"],
        utilisation=utilisation,
    )


GENERATORS: dict[str, Generator] = {"own": own, "wrk": wrk}


def _wrk(aim: Aim, workload: Workload, seconds: float) -> tuple[dict[str, int], float]:
    """What ``wrk.lua`` reports, and how much of its core wrk used."""
    one = workload.ask
    command = [
        "wrk", "-t1", f"-c{workload.connections}", f"-d{max(1, math.ceil(seconds))}s", "--timeout", f"{ANSWER_S:.0f}s",
        "-s", str(SCRIPT), f"http://{HOST}:{aim.port}{one.path}",
    ]  # fmt: skip
    environment = {**os.environ, "BENCH_METHOD": one.method, "BENCH_BODY": one.body.decode()}
    with _on(aim.generator):  # A child inherits the core.
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        assert process.stdout is not None
        out = process.stdout.read().decode()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    except BaseException:
        process.kill()
        raise
    for line in out.splitlines():
        if line.startswith("RESULT "):
            result: dict[str, int] = json.loads(line.removeprefix("RESULT "))
            return result, (usage.ru_utime + usage.ru_stime) * 1e6 / max(result["us"], 1)
    raise Wrong(f"wrk: {' '.join(out.split())[-200:]}")


@contextmanager
def beside(aim: Aim, workload: Workload) -> Iterator[None]:
    """Keeps asking for what a workload has beside it, from a thread of its own, for as long as this is entered."""
    if workload.beside is None:
        yield
        return
    target, request = _request(aim, workload.beside)
    plan = _native.ConnectionPlan(workload.beside_connections, True, 5.0, 60.0)
    over = threading.Event()

    def run() -> None:
        with _on(aim.generator):
            _native.run_load(
                target, [request], plan, seconds=3600.0, drain=1.0, control=lambda _: not over.is_set()
            )  # fmt: skip

    thread = threading.Thread(target=run, name="beside")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def _on(core: frozenset[int] | None) -> Iterator[None]:
    """The calling thread on these cores meanwhile."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, core)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _us(ns: int | None) -> float | None:
    return None if ns is None else ns / 1000
