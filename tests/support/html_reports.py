"""Sessions for tests of what is drawn from them: made up, the same ones every time."""

from __future__ import annotations

import math
import random
from dataclasses import replace

from pytest_fastr.gate.evidence import Chunk, Curve, EpochEvidence, Evidence, History, Ratio, SessionPoint, Work
from pytest_fastr.gate.model import AbsoluteResult, MetricResult, SessionReport, TestReport, ValidityNote, Verdict
from pytest_fastr.gate.profile import HardwareProfile, ProfileKey, Surroundings
from pytest_fastr.gate.where import Growth

KEY = ProfileKey("AMD", "EPYC 7B13", "family 25", 2, "x86_64", "linux", "cpython", "3.11", ())
PROFILE = HardwareProfile(KEY, Surroundings("6.1", "glibc 2.36", "kvm", "3.11.7", "0.1.0", 8 * 2**30))


def metric(name: str, change: float, spread: float, verdict: Verdict | None, limit: float) -> MetricResult:
    """A compared metric."""
    higher = name == "throughput"
    values = {"cpu": 213.0, "throughput": 4100.0, "p50": 2590.0, "p90": 3380.0, "p99": 5020.0, "memory": 6.4e7}
    unit = {"cpu": "us/request", "throughput": "rps", "memory": "bytes"}.get(name, "us")
    value = values[name]
    return MetricResult(
        name, unit, "higher" if higher else "lower", value, value * (1 + change), change, change - spread,
        change + spread, limit, verdict, spread * 1.4,
    )  # fmt: skip


def evidence(change: float, *, epochs: int = 6, stored: bool = False, seed: int = 1) -> Evidence:
    """Epochs in which B costs so much more than A."""
    chance = random.Random(seed)
    centre = math.log1p(change) + (1.7 if stored else 0.0)
    made = []
    for _ in range(epochs):
        level = centre + chance.gauss(0, 0.006)
        chunks = tuple(_chunk(chance, level) for _ in range(12))
        ratio, inverse = Ratio(level, 0.004), Ratio(-level, 0.004)
        made.append(EpochEvidence(chunks, {"cpu": ratio, "throughput": inverse}))
    shift = 1.7 if stored else 0.0
    return Evidence(
        a_title="the reference application" if stored else "main",
        b_title="the application" if stored else "the working tree",
        epochs=tuple(made),
        curves=(curve(3100.0), curve(3100.0 * (1 + change))),
        unchanged={"cpu": shift, "throughput": -shift, "p99": shift},
        history=history(chance, shift, change) if stored else None,
    )


def _chunk(chance: random.Random, log_ratio: float) -> Chunk:
    speed = 1 + chance.gauss(0, 0.05) + (0.4 if chance.random() < 0.04 else 0.0)
    a_ns = int(36_000_000 * speed)
    b_ns = int(a_ns * math.exp(log_ratio + chance.gauss(0, 0.02)))
    return Chunk(9, Work(160, a_ns, int(a_ns * 0.93)), Work(160, b_ns, int(b_ns * 0.93)))


def curve(median_us: float, answers: int = 60_000) -> Curve:
    """A distribution with a tail."""
    shares = [1 - 10 ** (-step / 10) for step in range(1, int(10 * math.log10(answers / 10)) + 1)]
    shares = sorted({*shares, 0.5, 0.9, 0.99, 0.999})
    return Curve(answers, tuple((one, median_us * (0.8 + 0.29 * (-math.log10(1 - one)) ** 1.5)) for one in shares))


def history(chance: random.Random, shift: float, change: float) -> History:
    """Eight stored sessions about the level ``shift``, and a new one."""

    def ratios(level: float) -> dict[str, Ratio]:
        return {"cpu": Ratio(level, 0.008), "throughput": Ratio(-level, 0.009), "p99": Ratio(level, 0.03)}

    sessions = tuple(
        SessionPoint(f"2025-0{month}-11T07:00:00+00:00", f"{month}f3c9a2b77de", ratios(shift + chance.gauss(0, 0.012)))
        for month in range(1, 9)
    )
    eras = (("2024-12-20T09:00:00+00:00", "sorted results"),)
    return History(sessions, ratios(shift + math.log1p(change)), eras)


def measured(nodeid: str, verdict: Verdict, change: float, *, stored: bool = False, seed: int = 1) -> TestReport:
    """A test that was measured and compared."""
    wide = 4.0 if verdict is Verdict.INCONCLUSIVE else 1.0
    limit = 0.05 if stored else 0.02
    return TestReport(
        nodeid=nodeid,
        path=nodeid.partition("::")[0],
        line=12,
        verdict=verdict,
        requests=74_210,
        metrics={
            "cpu": metric("cpu", change, 0.008 * wide, verdict, limit),
            "throughput": metric("throughput", -change * 0.9, 0.009 * wide, verdict, limit),
            "p50": metric("p50", change * 0.8, 0.02 * wide, None, 0.05),
            "p90": metric("p90", change * 0.8, 0.03 * wide, None, 0.08),
            "p99": metric("p99", change * 0.7, 0.02 * wide, Verdict.EQUIVALENT if change < 0.3 else verdict, 0.15),
            "memory": metric("memory", 0.001, 0.002, None, 0.1),
        },
        load={"users": 20, "duration_s": 10.0, "epochs": 6, "requests": ["GET /search"], "mode": "asgi"},
        rps=4_100.0 * (1 - change * 0.9),
        p50_us=2_590.0 * (1 + change * 0.8),
        p99_us=5_020.0 * (1 + change * 0.7),
        cpu_us_per_request=213.0 * (1 + change),
        peak_rss_bytes=61 * 2.0**20,
        confirmed=True if verdict is Verdict.REGRESSED else None,
        looks=2 if verdict is Verdict.REGRESSED else 1,
        mode="stored" if stored else "paired",
        against="the stored baseline" if stored else "main (1a2b3c4)",
        evidence=evidence(change, stored=stored, seed=seed),
    )


def regressed() -> TestReport:
    """A red test with everything that a red test can have."""
    base = measured("tests/perf/test_shop.py::test_search[blue shoes]", Verdict.REGRESSED, 0.183)
    assert base.evidence is not None
    growths = (
        Growth("shop/search.py:rank", 12.1, 38.4, 26.3, 0.104),
        Growth("shop/search.py:tokens", 3.0, 10.9, 7.9, 0.031),
        Growth("shop/views.py:search", 88.0, 124.6, 36.6, 0.145, inclusive=True),
    )
    return replace(
        base,
        validity=(ValidityNote("warn", "steal", "the host took 27 % of the CPU time away: use a quieter machine"),),
        absolute=(
            AbsoluteResult("p99<50ms", "p99", 5_660.0, Verdict.EQUIVALENT),
            AbsoluteResult("rps>5000", "rps", 3_425.0, Verdict.REGRESSED),
        ),
        where=("shop/search.py:rank  +26.3 us a request (12.1 -> 38.4)",),
        evidence=replace(base.evidence, growths=growths),
    )


def failed(nodeid: str = "tests/perf/test_shop.py::test_checkout") -> TestReport:
    """A test that could not be measured."""
    note = ValidityNote("void", "failed", "POST /orders: 12 requests were answered with 500, expected 201")
    return TestReport(
        nodeid, "tests/perf/test_shop.py", 40, Verdict.INVALID, validity=(note,), mode="none",
        output="Traceback (most recent call last):\n  ...\nRuntimeError: no database\n",
    )  # fmt: skip


def unknown(nodeid: str = "tests/perf/test_shop.py::test_list") -> TestReport:
    """A test without a baseline."""
    base = measured(nodeid, Verdict.NEW, 0.0, stored=True)
    assert base.evidence is not None
    new = {
        name: replace(
            one,
            baseline=None,
            change=None,
            low=None,
            high=None,
            smallest_detectable=None,
            verdict=one.verdict and Verdict.NEW,
        )
        for name, one in base.metrics.items()
    }
    return replace(base, metrics=new, evidence=replace(base.evidence, unchanged={}, history=History((), {})))


def session(*tests: TestReport, against: str | None = "main (1a2b3c4)") -> SessionReport:
    """A session of these tests."""
    return SessionReport(
        PROFILE,
        tests,
        "2025-09-01T12:00:00+00:00",
        61.2,
        {"pytest-fastr": "0.1.0", "pytest": "8.3", "python": "3.11.7"},
        "pytest --perf --perf-against main --perf-report out.html",
        against=against,
        changes=("the limit of tests/perf/test_shop.py::test_list was raised: cpu 2 % to 4 %",) if against else (),
    )


def red() -> SessionReport:
    """A session with a test of every verdict."""
    shop = "tests/perf/test_shop.py::"
    return session(
        measured(shop + "test_health", Verdict.EQUIVALENT, 0.002, seed=2),
        regressed(),
        measured(shop + "test_report", Verdict.INCONCLUSIVE, 0.021, seed=3),
        failed(),
        unknown(),
        measured(shop + "test_detail", Verdict.IMPROVED, -0.083, seed=4),
    )


def green() -> SessionReport:
    """A session in which all is well, against stored baselines."""
    names = ("test_health", "test_items", "test_search", "test_orders")
    return session(
        *(
            measured(f"tests/perf/test_shop.py::{name}", Verdict.EQUIVALENT, change, stored=True, seed=number)
            for number, (name, change) in enumerate(zip(names, (0.004, -0.003, 0.009, 0.001), strict=True))
        ),
        against=None,
    )


def undecided() -> SessionReport:
    """A session that shows little."""
    shop = "tests/perf/test_shop.py::"
    return session(
        measured(shop + "test_items", Verdict.INCONCLUSIVE, 0.013, stored=True),
        unknown(),
        against=None,
    )
