"""The table fits every width without breaking a number, and the paragraph says what to do."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace

import pytest
from rich.cells import cell_len

from pytest_fastr.gate.model import (
    AbsoluteResult,
    LaneResult,
    MetricResult,
    SessionReport,
    TestReport,
    ValidityNote,
    Verdict,
)
from pytest_fastr.gate.profile import HardwareProfile, ProfileKey, Surroundings
from pytest_fastr.report.quantity import (
    bytes_text,
    interval_text,
    percent_text,
    rate_text,
    share_text,
    time_text,
    value_text,
)
from pytest_fastr.report.terminal import paragraph, render, worst_metric

KEY = ProfileKey("Intel", "Xeon", "family 6", 2, "x86_64", "linux", "cpython", "3.11", ())
PROFILE = HardwareProfile(KEY, Surroundings("6.1", None, None, "3.11.7", "0.1.0", None))
WIDTHS = [1, 20, 24, 33, 40, 46, 50, 60, 72, 79, 80, 81, 94, 100, 120, 200]


WIDE = """\
test                               rps     p50      p99  CPU/req  change                          verdict
test_shop.py::test_health        1,234  812 us  4.10 ms   252 us  cpu +0.4 % [-1.0, +1.8]         equivalent
test_shop.py::test_search[blue]  1,234  812 us  4.10 ms   252 us  cpu +18.3 % [+16.9, +19.7]      regressed
test_shop.py::test_report        1,234  812 us  4.10 ms   252 us  throughput -3.1 % [-5.1, -1.1]  inconclusive
test_shop.py::test_list          1,234  812 us  4.10 ms   252 us  -                               new
test_shop.py::test_checkout      1,234  812 us  4.10 ms   252 us  -                               invalid
test_shop.py::test_detail        1,234  812 us  4.10 ms   252 us  cpu -8.3 % [-9.7, -6.9]         improved
"""


def cpu(change: float | None, verdict: Verdict, spread: float = 0.014) -> MetricResult:
    return MetricResult(
        name="cpu",
        unit="us",
        direction="lower",
        baseline=213.0,
        candidate=None if change is None else 213.0 * (1 + change),
        change=change,
        low=None if change is None else change - spread,
        high=None if change is None else change + spread,
        limit=0.05,
        verdict=verdict,
        smallest_detectable=0.021,
    )


def throughput(change: float, verdict: Verdict) -> MetricResult:
    return MetricResult(
        "throughput",
        "rps",
        "higher",
        1460.0,
        1460.0 * (1 + change),
        change,
        change - 0.02,
        change + 0.02,
        0.05,
        verdict,
    )


def report_of(name: str, verdict: Verdict, *metrics: MetricResult) -> TestReport:
    return TestReport(
        nodeid=f"tests/perf/test_shop.py::{name}",
        path="tests/perf/test_shop.py",
        line=12,
        verdict=verdict,
        requests=51234,
        metrics={metric.name: metric for metric in metrics},
        rps=1234.5,
        p50_us=812.0,
        p99_us=4100.0,
        cpu_us_per_request=252.0,
    )


REGRESSED = replace(
    report_of("test_search[blue]", Verdict.REGRESSED, cpu(0.183, Verdict.REGRESSED)),
    confirmed=True,
    validity=(ValidityNote("warn", "steal", "the hypervisor took 6.1 % of the CPU (warned from 5 %)"),),
)
EQUIVALENT = report_of("test_health", Verdict.EQUIVALENT, cpu(0.004, Verdict.EQUIVALENT))
INCONCLUSIVE = report_of("test_report", Verdict.INCONCLUSIVE, throughput(-0.031, Verdict.INCONCLUSIVE))
NEW = report_of("test_list", Verdict.NEW, cpu(None, Verdict.NEW))
INVALID = replace(
    report_of("test_checkout", Verdict.INVALID),
    requests=1000,
    errors={"timeout": 10, "status 500": 2, "reset": 0},
    validity=(ValidityNote("void", "generator-bound", "the generator was the bottleneck: it was 97 % busy"),),
)
IMPROVED = report_of("test_detail", Verdict.IMPROVED, cpu(-0.083, Verdict.IMPROVED))
ALL = (EQUIVALENT, REGRESSED, INCONCLUSIVE, NEW, INVALID, IMPROVED)


def session_of(*tests: TestReport) -> SessionReport:
    return SessionReport(PROFILE, tests, "2025-01-01T00:00:00+00:00", 61.2)


def lines_of(tests: SessionReport, width: int) -> list[str]:
    return render(tests, width, color=False).splitlines()


def test_a_wide_terminal_has_a_line_a_test_with_all_numbers() -> None:
    assert lines_of(session_of(*ALL), 110)[:7] == WIDE.splitlines()


def test_a_usual_terminal_has_the_numbers_below_the_name_and_the_interval_below_the_change() -> None:
    assert lines_of(session_of(*ALL), 80)[:7] == [
        "test                                        change             verdict",
        "tests/perf/test_shop.py::test_health        cpu +0.4 %         equivalent",
        "1,234 rps · p99 4.10 ms · CPU 252 us        [-1.0, +1.8]",
        "tests/perf/test_shop.py::test_search[blue]  cpu +18.3 %        regressed",
        "1,234 rps · p99 4.10 ms · CPU 252 us        [+16.9, +19.7]",
        "tests/perf/test_shop.py::test_report        throughput -3.1 %  inconclusive",
        "1,234 rps · p99 4.10 ms · CPU 252 us        [-5.1, -1.1]",
    ]


def test_a_quiet_run_tells_only_what_is_not_green() -> None:
    quiet = render(session_of(*ALL), 110, color=False, verbosity=-1)
    named = [name for name in ("health", "search", "report", "list", "checkout", "detail") if f"test_{name}" in quiet]
    assert named == ["search", "report", "list", "checkout"]
    assert "6 tests: " in quiet
    assert render(session_of(EQUIVALENT), 110, color=False, verbosity=-1).startswith("1 test: 1 equivalent")


def test_a_verbose_run_tells_every_metric() -> None:
    assert "could have seen" not in render(session_of(*ALL), 110, color=False)
    told = render(session_of(*ALL), 110, color=False, verbosity=1).splitlines()
    place = told.index("tests/perf/test_shop.py::test_search[blue]")
    assert told[place + 1] == (
        "- cpu: 213 us -> 252 us, +18.3 % [+16.9, +19.7], limit 5 %, could have seen 2.1 %: regressed"
    )


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("verbosity", [-1, 1])
def test_quiet_and_verbose_runs_fit_every_width(width: int, verbosity: int) -> None:
    lines = render(session_of(*ALL), width, color=False, verbosity=verbosity).splitlines()
    assert max(cell_len(line) for line in lines) <= max(width, 20)


def test_a_narrow_terminal_has_fewer_numbers_below() -> None:
    assert lines_of(session_of(*ALL), 60)[:5] == [
        "test                      change             verdict",
        "test_health               cpu +0.4 %         equivalent",
        "p99 4.10 ms · CPU 252 us  [-1.0, +1.8]",
        "test_search[blue]         cpu +18.3 %        regressed",
        "p99 4.10 ms · CPU 252 us  [+16.9, +19.7]",
    ]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("ascii_only", [False, True])
@pytest.mark.parametrize("color", [False, True])
def test_no_line_is_wider_than_the_terminal(width: int, ascii_only: bool, color: bool) -> None:
    wide = replace(REGRESSED, nodeid="tests/測試/test_漢字.py::TestÄ::test_" + "検索" * 30 + "[ä]")
    text = render(session_of(*ALL, wide), width, color, ascii_only)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert max(map(cell_len, plain.splitlines())) <= max(width, 20)
    assert plain.isascii() or not ascii_only
    assert (text != plain) is color


@pytest.mark.parametrize("width", WIDTHS)
def test_no_number_is_broken_at_any_width(width: int) -> None:
    lines = render(session_of(*ALL), width, color=False).splitlines()
    text = "\n".join(lines)
    for whole in ("cpu +18.3 %", "[+16.9, +19.7]", "throughput -3.1 %", "[-5.1, -1.1]", "252 us"):
        assert whole in text
    assert all(str(one.verdict) in text for one in ALL)
    assert not [line for line in lines if re.match(r"\s*(%|us|ms|rps)\b", line)]


def test_names_keep_as_much_of_the_node_id_as_fits() -> None:
    tests = session_of(*ALL)
    assert "tests/perf/test_shop.py::test_health " in render(tests, 200, color=False)
    assert "\ntest_shop.py::test_health " in render(tests, 120, color=False)
    assert "\ntest_health " in render(tests, 60, color=False)


def test_names_stay_apart_where_modules_share_a_test_s_name() -> None:
    here, there = (replace(EQUIVALENT, nodeid=f"tests/{one}/test_shop.py::test_health") for one in ("a", "b"))
    for width in (60, 80, 120):
        lines = render(session_of(here, there), width, color=False).splitlines()
        names = [line.split()[0] for line in lines if line.endswith("equivalent")]
        assert len(set(names[:2])) == 2


def test_what_a_node_id_holds_never_reaches_the_terminal_as_a_command() -> None:
    evil = replace(REGRESSED, nodeid="t.py::test_x[\x1b[31m\r\n[bold]:smile:[/]]")
    for text in (render(session_of(evil), 200, color=False), paragraph(evil)):
        assert "\x1b" not in text
        assert "\r" not in text
        assert "[bold]:smile:[/]" in text


def test_the_worst_gated_metric_speaks_for_a_test() -> None:
    shown_only = replace(cpu(0.9, Verdict.REGRESSED), name="p50", verdict=None)
    small = cpu(0.06, Verdict.REGRESSED)
    large = throughput(-0.2, Verdict.REGRESSED)
    harmless = replace(cpu(0.5, Verdict.EQUIVALENT), name="p99", limit=0.6)
    test = report_of("test_x", Verdict.REGRESSED, shown_only, small, large, harmless)
    assert worst_metric(test) is large
    assert worst_metric(report_of("test_x", Verdict.INVALID)) is None


def test_a_number_that_is_missing_is_a_dash() -> None:
    bare = TestReport("t.py::test_x", "t.py", 1, Verdict.INVALID)
    row = render(session_of(bare), 120, color=False).splitlines()[1]
    assert row.split() == ["t.py::test_x", "-", "-", "-", "-", "-", "invalid"]
    nan = replace(EQUIVALENT, rps=math.nan, p50_us=math.inf)
    assert "nan" not in render(session_of(nan), 120, color=False)


def test_each_warning_void_error_and_confirmation_is_said() -> None:
    text = render(session_of(*ALL), 200, color=False)
    assert "test_search[blue]: warn steal: the hypervisor took 6.1 %" in text
    assert "test_search[blue]: measured again with new server processes: the regression was seen again" in text
    assert "test_checkout: void generator-bound: the generator was the bottleneck" in text
    assert "test_checkout: 12 errors in 1,000 requests: timeout 10, status 500 2" in text


def test_the_summary_counts_verdicts_and_names_profile_and_smallest_change() -> None:
    assert lines_of(session_of(EQUIVALENT, REGRESSED), 200)[-1] == (
        f"2 tests: 1 regressed, 1 equivalent · profile {PROFILE.slug} · smallest change every test could see: cpu 2.1 %"
    )
    assert "1 test: 1 new\n" in render(session_of(NEW), 60, color=False) + "\n"


def test_a_session_without_tests_says_so() -> None:
    assert render(session_of(), 80, color=True) == "no perf test was measured"


def test_a_regression_says_what_how_much_how_sure_and_the_way_out() -> None:
    assert paragraph(REGRESSED).splitlines() == [
        "tests/perf/test_shop.py::test_search[blue]: regressed",
        "  CPU per request rose by 18.3 %, from 213 us to 252 us.",
        "    Interval +16.9 % to +19.7 %; limit +5 %; this run could have seen a change of 2.1 %.",
        "  It was measured again with new server processes, and was seen again.",
        "  Warning: the hypervisor took 6.1 % of the CPU (warned from 5 %)",
        "  Make the code cheaper again, or accept the change as the new baseline:",
        '    pytest --perf --perf-update "tests/perf/test_shop.py::test_search[blue]" --perf-reason "..."',
    ]


def test_a_metric_that_counts_upwards_falls() -> None:
    text = paragraph(report_of("test_x", Verdict.REGRESSED, throughput(-0.154, Verdict.REGRESSED)))
    assert "throughput fell by 15.4 %, from 1,460 rps to 1,235 rps." in text
    assert "limit -5 %" in text


def test_only_the_metrics_that_regressed_are_blamed() -> None:
    both = report_of("test_x", Verdict.REGRESSED, cpu(0.2, Verdict.REGRESSED), throughput(0.0, Verdict.EQUIVALENT))
    assert "throughput" not in paragraph(both)


@pytest.mark.parametrize(
    ("test", "words"),
    [
        (
            INCONCLUSIVE,
            ["throughput moved by -3.1 %", "Interval -5.1 % to -1.1 %", "`duration`", "inconclusive=fail"],
        ),
        (NEW, ["no baseline of CPU per request", '--perf-update "tests/perf/test_shop.py::test_list"']),
        (
            INVALID,
            ["- the generator was the bottleneck", "[generator-bound]", "- 12 errors in 1,000 requests"],
        ),
        (replace(INVALID, requests=0, errors={}, validity=()), ["- nothing was measured"]),
        (replace(INVALID, errors={}, validity=()), ["reason was not recorded"]),
    ],
)
def test_the_other_verdicts_have_their_own_words(test: TestReport, words: list[str]) -> None:
    text = paragraph(test)
    assert text.isascii()
    for word in words:
        assert word in text


def test_an_invalid_result_is_not_offered_as_a_baseline() -> None:
    assert "--perf-update" not in paragraph(INVALID)


def test_green_tests_have_no_paragraph() -> None:
    assert paragraph(EQUIVALENT) == ""
    assert paragraph(IMPROVED) == ""


def test_the_command_can_be_pasted_into_a_shell() -> None:
    plain = replace(NEW, nodeid="t.py::test_x[a b]")
    assert paragraph(plain).endswith('--perf-update "t.py::test_x[a b]"')
    tricky = replace(NEW, nodeid="t.py::test_x[$HOME it's]")
    assert paragraph(tricky).endswith("--perf-update 't.py::test_x[$HOME it'\"'\"'s]'")


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [
        (0.85, "850 ns"),
        (0.0, "0 ns"),
        (1.0, "1.00 us"),
        (99.96, "100 us"),
        (213.4, "213 us"),
        (999.4, "999 us"),
        (999.7, "1.00 ms"),
        (4100.0, "4.10 ms"),
        (12_340.0, "12.3 ms"),
        (1_234_000.0, "1.23 s"),
        (100_000_000.0, "100 s"),
        (None, "-"),
        (math.nan, "-"),
        (math.inf, "-"),
    ],
)
def test_times_have_three_digits_and_the_unit_of_their_magnitude(microseconds: float | None, text: str) -> None:
    assert time_text(microseconds) == text


@pytest.mark.parametrize(
    ("fraction", "text"),
    [
        (0.183, "+18.3 %"),
        (-0.02, "-2.0 %"),
        (0.0, "+0.0 %"),
        (-0.0001, "+0.0 %"),
        (12.5, "+1,250 %"),
        (None, "-"),
        (math.nan, "-"),
    ],
)
def test_changes_have_a_sign_and_one_digit(fraction: float | None, text: str) -> None:
    assert percent_text(fraction) == text


def test_other_quantities() -> None:
    texts: Mapping[str, str] = {
        rate_text(1234.5): "1,234",
        rate_text(99.96): "100",
        rate_text(12.34): "12.3",
        rate_text(0.0): "0",
        share_text(0.05): "5 %",
        share_text(-0.154): "15.4 %",
        bytes_text(40_000_000): "38.1 MiB",
        bytes_text(1023.9): "1,020 B",
        interval_text(0.1, None): "[+10.0, -]",
        value_text(213.0, "us"): "213 us",
        value_text(2_000_000.0, "ns"): "2.00 ms",
        value_text(1460.0, "rps"): "1,460 rps",
        value_text(2**20, "bytes"): "1.00 MiB",
        value_text(3.0, "instructions"): "3.00 instructions",
        value_text(None, "us"): "-",
    }
    for found, expected in texts.items():
        assert found == expected
    assert interval_text(None, None) == ""


PAIRED = replace(REGRESSED, mode="paired", against="main (1a2b3c4d)", where=("shop/search.py:rank  +21.3 us",))


def test_against_another_ref_the_way_out_is_a_limit_that_the_report_names() -> None:
    text = paragraph(PAIRED)
    assert text.startswith("tests/perf/test_shop.py::test_search[blue]: regressed against main (1a2b3c4d)\n")
    assert "shop/search.py:rank  +21.3 us" in text
    assert text.endswith('@pytest.mark.perf(limit={"cpu": "20%"})')
    assert "--perf-update" not in text


def test_a_test_that_the_other_ref_lacks_is_no_failure_to_store() -> None:
    note = ValidityNote("warn", "not-in-ref", "main has no such test")
    text = paragraph(replace(NEW, mode="paired", validity=(note,)))
    assert "main has no such test" in text
    assert "--perf-update" not in text


def test_the_two_comparisons_of_a_test_have_two_names() -> None:
    session = replace(session_of(PAIRED, replace(REGRESSED, mode="stored")), against="main (1a2b3c4d)")
    text = render(session, 200, color=False)
    assert "test_search[blue] (stored)" in text
    assert "· against main (1a2b3c4d) ·" in text


def test_what_differs_between_the_refs_is_said_before_everything_else() -> None:
    session = replace(session_of(PAIRED), against="main", changes=("uv.lock differs from main's",))
    lines = [line for line in lines_of(session, 200) if line.startswith("! ")]
    assert lines[0] == "! uv.lock differs from main's"


def test_a_broken_absolute_limit_is_what_a_test_says_first() -> None:
    broken = AbsoluteResult("p99<50ms", "p99", 71_200.0, Verdict.REGRESSED)
    kept = AbsoluteResult("memory<200MB", "memory", 1e8, Verdict.EQUIVALENT)
    unknown = AbsoluteResult("p999<1s", "p999", None, Verdict.INCONCLUSIVE)
    test = replace(EQUIVALENT, verdict=Verdict.REGRESSED, absolute=(kept, broken, unknown))
    assert "p99<50ms 71.2 ms" in " ".join(render(session_of(test), 200, color=False).split())
    text = paragraph(test)
    assert "  p99<50ms is broken: 71.2 ms." in text.splitlines()
    assert "change the limit" in text
    assert "--perf-update" not in text
    open_ = paragraph(replace(test, verdict=Verdict.INCONCLUSIVE))
    assert "p999<1s is not known: too few answers to tell." in open_


LEFT = LaneResult(
    "GET /x", "asgi", ("is a Host",), "typed", Verdict.REGRESSED, "GET /x left its lane: typed -> asgi (is a Host)"
)
OUT_OF_ITS_LANE = replace(EQUIVALENT, verdict=Verdict.REGRESSED, lane=LEFT)


def test_a_lane_that_was_left_stands_where_the_change_does_and_below_the_table() -> None:
    text = render(session_of(OUT_OF_ITS_LANE), 110, color=False)
    assert re.search(r"252 us  lane typed -> asgi +regressed", text)
    assert f"! tests/perf/test_shop.py::test_health: {LEFT.message}" in text


def test_a_metric_that_moved_speaks_before_the_lane() -> None:
    text = render(session_of(replace(REGRESSED, lane=LEFT)), 110, color=False)
    assert re.search(r"252 us  cpu \+18.3 % .* +regressed", text)
    assert LEFT.message in text.replace("\n  ", " ")


@pytest.mark.parametrize(
    ("mode", "way_out"),
    [("paired", 'lanes = "report"'), ("stored", '--perf-update "tests/perf/test_shop.py::test_health" --perf-reason')],
)
def test_a_lane_that_was_left_says_the_way_out(mode: str, way_out: str) -> None:
    text = paragraph(replace(OUT_OF_ITS_LANE, mode=mode))
    assert f"{LEFT.message}." in text
    assert "Give the route its lane back" in text
    assert way_out in text
    assert "Make the code cheaper" not in text
    both = paragraph(replace(REGRESSED, mode=mode, lane=LEFT))
    assert LEFT.message in both
    assert "Make the code cheaper again" in both


def test_a_better_lane_and_one_that_is_not_gated_are_said() -> None:
    better = replace(LEFT, verdict=Verdict.IMPROVED, message="GET /x has a better lane: asgi -> typed")
    for lane in (better, replace(LEFT, verdict=None)):
        text = render(session_of(replace(EQUIVALENT, lane=lane)), 110, color=False)
        assert lane.message in text
        assert re.search(r"cpu \+0.4 % .* +equivalent", text)
