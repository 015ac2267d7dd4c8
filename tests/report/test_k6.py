"""k6's summary of a run: its shape, its units, and nothing that was not measured."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from rich.cells import cell_len

from pytest_fastr.gate.model import AbsoluteResult, ValidityNote, Verdict
from pytest_fastr.report.k6 import to_k6
from pytest_fastr.report.load_reader import LoadLimit, LoadRun
from pytest_fastr.report.summary_text import summary_text
from support.results import report_of

LOAD = LoadRun(
    nodeid="t.py::test_load",
    requests=100,
    rps=45.0,
    p50_us=2000.0,
    p99_us=None,
    limits=(
        LoadLimit("p95<50ms", True, 9000.0),
        LoadLimit("p99<1s", None),
        LoadLimit("rps>50", False, 45.0),
        LoadLimit("errors<1%", False, 0.1),
    ),
    validity=(),
    errors=10,
    duration_s=2.0,
    bytes_received=4096,
    users=20,
    shape="closed loop, 20 users",
    response_us={"p50": 2000.0, "p90": 5000.0, "p95": 9000.0, "p99": None, "mean": 2500.0, "max": 10_000.0},
    service_us={"p50": 1000.0, "max": 9000.0},
    flows=(90, 10),
)


def summary(run: Any) -> Any:
    return json.loads(to_k6(run))


def test_a_load_run_has_the_metrics_of_k6_in_its_units() -> None:
    found = summary(LOAD)
    metrics = found["metrics"]
    assert found["state"]["testRunDurationMs"] == 2000.0
    assert metrics["http_req_duration"]["type"] == "trend"
    assert metrics["http_req_duration"]["values"] == {"med": 1.0, "max": 9.0}
    assert metrics["fastr_response_time"]["values"]["p(95)"] == 9.0
    # k6's rate of failures: what passes has failed.
    assert metrics["http_req_failed"]["values"] == {"rate": 0.1, "passes": 10, "fails": 90}
    assert metrics["http_reqs"]["values"] == {"count": 100, "rate": 50.0}
    assert metrics["data_received"]["values"] == {"count": 4096, "rate": 2048.0}
    assert metrics["iterations"]["values"]["count"] == 100
    assert metrics["vus_max"]["values"] == {"value": 20}


def test_limits_are_thresholds_and_what_is_not_known_is_not_ok() -> None:
    metrics = summary(LOAD)["metrics"]
    assert metrics["fastr_response_time"]["thresholds"] == {"p(95)<50": {"ok": True}, "p(99)<1000": {"ok": False}}
    assert metrics["fastr_good_answers"]["thresholds"] == {"rate>50": {"ok": False}}
    assert metrics["http_req_failed"]["thresholds"] == {"rate<0.01": {"ok": False}}
    void = summary(replace(LOAD, validity=(ValidityNote("void", "generator", "busy"),)))["metrics"]
    assert void["fastr_response_time"]["thresholds"]["p(95)<50"] == {"ok": False}


def test_what_was_not_measured_has_no_key() -> None:
    bare = LoadRun("t", 0, None, None, None, (), ())
    assert summary(bare)["metrics"] == {"http_reqs": {"contains": "default", "type": "counter", "values": {"count": 0}}}
    assert summary(report_of(Verdict.INVALID, requests=0, metrics={}, rps=None, p50_us=None, p99_us=None,
                             cpu_us_per_request=None))["metrics"] == {}  # fmt: skip


def test_a_threshold_of_a_limit_whose_metric_has_no_value_is_not_lost() -> None:
    lost = LoadRun("t", 5, None, None, None, (LoadLimit("p99<1s", None),), ())
    assert summary(lost)["metrics"]["fastr_response_time"] == {
        "contains": "time", "type": "trend", "values": {}, "thresholds": {"p(99)<1000": {"ok": False}},
    }  # fmt: skip


def test_a_test_is_gated_by_its_changes_and_absolute_limits() -> None:
    broken = AbsoluteResult("p99<3ms", "p99", 4000.0, Verdict.REGRESSED)
    unknown = AbsoluteResult("memory<1MB", "memory", None, Verdict.INCONCLUSIVE)
    metrics = summary(report_of(Verdict.REGRESSED, absolute=(broken, unknown)))["metrics"]
    assert metrics["fastr_cpu_change"] == {
        "contains": "default", "type": "gauge", "values": {"value": 0.25}, "thresholds": {"value<0.02": {"ok": False}},
    }  # fmt: skip
    assert metrics["http_req_duration"]["thresholds"] == {"p(99)<3": {"ok": False}}
    assert metrics["fastr_peak_rss_bytes"]["thresholds"] == {"memory<1MB": {"ok": False}}
    assert "thresholds" not in summary(report_of(Verdict.INCONCLUSIVE))["metrics"]["fastr_cpu_change"]


def test_the_text_fits_and_says_what_is_not_kept() -> None:
    lost = LoadRun("t", 0, None, None, None, (LoadLimit("errors<1%", None), LoadLimit("x", None)), ())
    for run in (lost, replace(LOAD, nodeid="t.py::\x1b[31m" + "x" * 150), report_of(Verdict.REGRESSED)):
        for width in (40, 80):
            text = summary_text(run, width)
            assert max(map(cell_len, text.splitlines())) <= width
            assert "\x1b" not in text
            assert summary_text(run, width, ascii_only=True).isascii()
    text = summary_text(LOAD)
    assert "✓ fastr_response_time p(95)<50, 9.00 ms" in text
    assert "✗ http_req_failed rate<0.01, 10 %" in text
    assert "http_req_failed.......: 10 %  10 out of 100" in text
