"""Results in pytest-benchmark's JSON, for the tools that read it: an entry a test, times in seconds.

Of requests, a round is one request of the user's closed loop, and its time is the response time. Of functions, a round
is one slice, and its time is that of a call. A test of which no times are known is left out.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from pytest_fastr.errors import ReportError
from pytest_fastr.gate.evidence import Rounds
from pytest_fastr.gate.model import SessionReport, TestReport
from pytest_fastr.report.result_file import plain

FORMAT = "5.0.0"
"""The version of pytest-benchmark whose form the file has."""


@dataclass(frozen=True, slots=True)
class BenchmarkFile:
    """The file's text, with a newline at the end, and the tests that are left out of it."""

    text: str
    left_out: tuple[str, ...]


def benchmark_file(
    report: SessionReport, machine_info: Mapping[str, object], commit_info: Mapping[str, object]
) -> BenchmarkFile:
    """The session as strict, indented JSON in ASCII. A test that was compared with several things has one entry.

    Raises ReportError for information of the user's hooks that JSON cannot hold.
    """
    tests: dict[str, list[TestReport]] = {}
    for test in report.tests:
        tests.setdefault(test.nodeid, []).append(test)
    entries = {nodeid: _entry(reports) for nodeid, reports in tests.items()}
    document = {
        "machine_info": machine_info,
        "commit_info": commit_info,
        "benchmarks": [entry for entry in entries.values() if entry is not None],
        "datetime": report.started,
        "version": FORMAT,
    }
    try:
        text = json.dumps(plain(document), indent=4, allow_nan=False) + "\n"
    except TypeError as error:
        raise ReportError(f"no --perf-benchmark-json: {error}; see the hooks pytest_benchmark_update_*") from error
    return BenchmarkFile(text, tuple(nodeid for nodeid, entry in entries.items() if entry is None))


def _entry(reports: Sequence[TestReport]) -> dict[str, object] | None:
    measured = next((one for one in reports if one.evidence is not None and one.evidence.rounds.counts), None)
    if measured is None or measured.evidence is None:
        return None
    name, param = _name(measured.nodeid)
    return {
        "group": None,
        "name": name,
        "fullname": measured.nodeid,
        "params": None,
        "param": param,
        "extra_info": _extra_info(measured, reports),
        "options": {"disable_gc": bool(measured.load.get("disable_gc")), "timer": "pytest-fastr"},
        "stats": stats_of(measured.evidence.rounds),
    }


def _name(nodeid: str) -> tuple[str, str | None]:
    """The name of the test's node, without file and class, and the id of its parameters."""
    _, _, rest = nodeid.partition("::")
    head, bracket, tail = (rest or nodeid).partition("[")
    is_param = bool(bracket) and tail.endswith("]") and not head.endswith(" ")
    return head.rpartition("::")[2] + bracket + tail, tail.partition("] [")[0].removesuffix("]") if is_param else None


def _extra_info(measured: TestReport, reports: Sequence[TestReport]) -> dict[str, object]:
    unit = "call" if measured.is_function else "request"
    return {
        f"cpu_us_per_{unit}": measured.cpu_us_per_request,
        f"{unit}s": measured.requests,
        "rps": measured.rps,
        "comparisons": [
            {
                "with": one.against,
                "mode": one.mode,
                "verdict": one.verdict,
                "change": {name: metric.change for name, metric in one.metrics.items() if metric.change is not None},
            }
            for one in reports
        ],
    }


def stats_of(times: Rounds) -> dict[str, object]:
    """pytest-benchmark's numbers of these times, in seconds. There is at least one."""
    values = [seconds for seconds, _ in times.counts]
    up_to = list(accumulate(count for _, count in times.counts))
    rounds = up_to[-1]
    total = math.fsum(seconds * count for seconds, count in times.counts)
    mean = total / rounds
    squares = math.fsum((seconds - mean) ** 2 * count for seconds, count in times.counts)
    stddev = math.sqrt(squares / (rounds - 1)) if rounds > 1 else 0.0

    def middle(first: int, last: int) -> float:
        """The median of the ordered rounds from ``first`` to ``last``."""
        places = (first + last) // 2, (first + last + 1) // 2
        return sum(values[bisect_right(up_to, place)] for place in places) / 2

    def outside(low: float, high: float) -> int:
        inside = values[bisect_left(values, low) : bisect_right(values, high)]
        first = bisect_left(values, low)
        return rounds - sum(count for _, count in times.counts[first : first + len(inside)])

    half = max(rounds // 2, 1)
    q1, q3 = middle(0, half - 1), middle(rounds - half, rounds - 1)
    reach = 1.5 * (q3 - q1)
    beyond = (outside(mean - stddev, mean + stddev), outside(q1 - reach, q3 + reach))
    return {
        "min": values[0],
        "max": values[-1],
        "mean": mean,
        "stddev": stddev,
        "rounds": rounds,
        "median": middle(0, rounds - 1),
        "iqr": q3 - q1,
        "q1": q1,
        "q3": q3,
        "iqr_outliers": beyond[1],
        "stddev_outliers": beyond[0],
        "outliers": f"{beyond[0]};{beyond[1]}",
        "ld15iqr": values[bisect_left(values, q1 - reach)],
        "hd15iqr": values[bisect_right(values, q3 + reach) - 1],
        "ops": 1 / mean,
        "total": total,
        "iterations": times.calls,
    }
