"""Load: our own generator or wrk, in a closed loop on one core, with the same numbers out of both."""

from __future__ import annotations

import json
import math
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from measuring.asks import Ask, Workload
from measuring.processes import cpu_ns, tree
from pytest_fastr import _native
from pytest_fastr.load import RequestSpec
from pytest_fastr.mount.runtime import Address

HOST = "127.0.0.1"
ANSWER_S = 10.0
DRAIN_S = 1.0
"""How long the end of a rate waits for what is due and not over."""
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
    others: tuple[int, ...] = ()
    """Processes that work for the server, such as a database, whose CPU time is told apart."""


@dataclass(frozen=True)
class Span:
    """Seconds of load, and of the same load before it that nothing counts."""

    seconds: float
    warm_up: float


@dataclass(frozen=True)
class Load:
    """What a stretch of load brought. ``cpu_us`` is the server's for one request; None where other requests ran too.
    ``utilisation`` is the generator's, of its core: near 1 the generator is the limit. Times are from when a request
    was due, with its connect where it had one; those of ``service`` from when it was sent."""

    requests: int
    seconds: float
    cpu_us: float | None
    p50_us: float | None
    p99_us: float | None
    errors: int
    utilisation: float | None = None
    steal: float | None = None
    mean_us: float | None = None
    p95_us: float | None = None
    service_p50_us: float | None = None
    service_p99_us: float | None = None
    others_us: float | None = None
    """CPU time of ``Aim.others`` for one request."""
    peak_rss_bytes: int | None = None
    scheduled: int | None = None
    """Requests that were due, where there is a rate."""


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


def _request(aim: Aim, one: Ask, keep_alive: bool = True) -> tuple[_native.Target, _native.Request]:
    headers = tuple(JSON.items()) if one.body else ()
    spec = RequestSpec(one.method, one.path, headers=headers, body=one.body, close=not keep_alive)
    return _native.Target(HOST, aim.port, [aim.pid]), spec.native(Address(HOST, aim.port))


def own(aim: Aim, workload: Workload, span: Span) -> Load:
    """pytest-fastr's generator, on the calling thread."""
    target, request = _request(aim, workload.ask, workload.keep_alive)
    plan = _native.ConnectionPlan(workload.connections, workload.keep_alive, 5.0, ANSWER_S)
    pacing = None if workload.rate is None else _native.Pacing.open((workload.rate, ()))
    drain = None if workload.rate is None else DRAIN_S
    with _on(aim.generator):
        if span.warm_up > 0:
            _native.run_load(target, [request], plan, seconds=span.warm_up)
        before = cpu_ns(_trees(aim.others))
        result = _native.run_load(target, [request], plan, seconds=span.seconds, pacing=pacing, drain=drain)
        others_ns = cpu_ns(_trees(aim.others)) - before
    side, response, service = result.side, result.response, result.service
    good = side.outcomes.get("ok", 0)
    alone = workload.beside is None and side.cpu_ns is not None and good > 0
    return Load(
        requests=good,
        seconds=side.duration_ns / 1e9,
        cpu_us=side.cpu_ns / 1000 / good if alone and side.cpu_ns is not None else None,
        p50_us=_us(response.quantile_ns(0.5)),
        p99_us=_us(response.quantile_ns(0.99)),
        errors=side.requests - good - side.outcomes.get("unfinished", 0),
        utilisation=result.generator.utilisation,
        steal=result.generator.steal,
        mean_us=_us(response.mean_ns),
        p95_us=_us(response.quantile_ns(0.95)),
        service_p50_us=_us(service.quantile_ns(0.5)),
        service_p99_us=_us(service.quantile_ns(0.99)),
        others_us=others_ns / 1000 / good if aim.others and good > 0 else None,
        peak_rss_bytes=side.peak_rss_bytes,
        scheduled=result.scheduled,
    )


def wrk(aim: Aim, workload: Workload, span: Span) -> Load:
    """wrk with one thread. It takes whole seconds, so a shorter warm-up becomes one second."""
    return _other(aim, workload, span, _wrk)


def oha(aim: Aim, workload: Workload, span: Span) -> Load:
    """oha, with the requests that its end cuts off left out."""
    return _other(aim, workload, span, _oha)


GENERATORS: dict[str, Generator] = {"own": own, "wrk": wrk, "oha": oha}


def _other(aim: Aim, workload: Workload, span: Span, run: Callable[[Aim, Workload, float], Load]) -> Load:
    """Another program's load, with the server's CPU time."""
    if span.warm_up > 0:
        run(aim, workload, span.warm_up)
    before = cpu_ns(tree(aim.pid))
    load = run(aim, workload, span.seconds)
    spent = cpu_ns(tree(aim.pid)) - before
    alone = workload.beside is None and load.requests > 0
    return replace(load, cpu_us=spent / 1000 / load.requests if alone else None)


def _wrk(aim: Aim, workload: Workload, seconds: float) -> Load:
    one = workload.ask
    command = [
        "wrk", "-t1", f"-c{workload.connections}", f"-d{max(1, math.ceil(seconds))}s", "--timeout", f"{ANSWER_S:.0f}s",
        "-s", str(SCRIPT), f"http://{HOST}:{aim.port}{one.path}",
    ]  # fmt: skip
    environment = {
        "BENCH_METHOD": one.method, "BENCH_BODY": one.body.decode(), "BENCH_CLOSE": "" if workload.keep_alive else "1",
    }  # fmt: skip
    out, spent_s = _program(aim, command, environment)
    for line in out.splitlines():
        if line.startswith("RESULT "):
            result: dict[str, int] = json.loads(line.removeprefix("RESULT "))
            seconds = result["us"] / 1e6
            return Load(
                result["requests"] - result["status"], seconds, None, float(result["p50_us"]),
                float(result["p99_us"]), result["status"] + result["socket"], spent_s / max(seconds, 1e-6),
                mean_us=float(result["mean_us"]), p95_us=float(result["p95_us"]),
            )  # fmt: skip
    raise Wrong(f"wrk: {' '.join(out.split())[-200:]}")


def _oha(aim: Aim, workload: Workload, seconds: float) -> Load:
    one = workload.ask
    command = ["oha", "--no-tui", "--output-format", "json", "-c", str(workload.connections), "-z", f"{seconds:g}s"]
    command += [] if workload.keep_alive else ["--disable-keepalive"]
    command += ["-m", one.method, *(["-d", one.body.decode(), "-T", JSON["content-type"]] if one.body else [])]
    out, spent_s = _program(aim, [*command, f"http://{HOST}:{aim.port}{one.path}"], {})
    try:
        return read_oha(out, spent_s)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Wrong(f"oha: {type(error).__name__} {error}, of {' '.join(out.split())[-200:]}") from error


def read_oha(out: str, spent_s: float = 0.0) -> Load:
    """The JSON that oha prints; its times are seconds. Raises ValueError, KeyError, TypeError or AttributeError."""
    told = json.loads(out[out.index("{") :])
    statuses = {int(status): count for status, count in told["statusCodeDistribution"].items()}
    failed = {why: count for why, count in told["errorDistribution"].items() if "deadline" not in why}
    good, seconds = statuses.pop(200, 0), float(told["summary"]["total"])

    def microseconds(value: float | None) -> float | None:
        return None if value is None else value * 1e6

    quantiles = told["latencyPercentiles"]
    return Load(
        good, seconds, None, microseconds(quantiles["p50"]), microseconds(quantiles["p99"]),
        sum(statuses.values()) + sum(failed.values()), spent_s / max(seconds, 1e-6),
        mean_us=microseconds(told["summary"]["average"]), p95_us=microseconds(quantiles["p95"]),
    )  # fmt: skip


def _program(aim: Aim, command: list[str], environment: dict[str, str]) -> tuple[str, float]:
    """The output of a generator on its core, and the CPU seconds that it used."""
    environment = {**os.environ, **environment}
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
    return out, usage.ru_utime + usage.ru_stime


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


def _trees(roots: tuple[int, ...]) -> list[int]:
    return [pid for root in roots for pid in tree(root)]


def _us(ns: float | None) -> float | None:
    return None if ns is None else ns / 1000
