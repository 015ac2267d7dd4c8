"""The HTML report: well formed, escaped, complete, legible, and the same for the same values."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from pytest_fastr.gate.evidence import Curve
from pytest_fastr.gate.model import Outcome, SessionReport, TestReport, ValidityNote, Verdict
from pytest_fastr.load.limits import LimitResult, parse_limit_text
from pytest_fastr.report.html.axes import Axis, axis_for, linear_ticks, log_ticks
from pytest_fastr.report.html.loads import LoadRun
from pytest_fastr.report.html.markup import escaped, tag
from pytest_fastr.report.html.page import style, to_html
from pytest_fastr.report.html.words import fine
from support.html_reports import failed, green, measured, red, regressed, session, undecided, unknown
from support.reports import load_report

HOSTILE = "tests/x.py::test_<script>alert(1)</script>&\"'[é\u202e\x00\udcff👩‍💻]" + "x" * 400
VOID = {"br", "link", "meta", "wbr"}


def page(report: SessionReport, *, interrupted: bool = False, loads: tuple[LoadRun, ...] = ()) -> str:
    """The report's page, where what is regressed or invalid fails the build."""
    bad = (Verdict.REGRESSED, Verdict.INVALID)
    outcomes = [Outcome.FAIL if test.verdict in bad else Outcome.PASS for test in report.tests]
    return to_html(report, outcomes, loads, commit="1a2b3c4", interrupted=interrupted)


class Reader(HTMLParser):
    """Checks that elements are closed in order, and collects what tests ask for."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []

    def handle_starttag(self, name: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((name, dict(attrs)))
        if name not in VOID:
            self.open.append(name)

    def handle_startendtag(self, name: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((name, dict(attrs)))

    def handle_endtag(self, name: str) -> None:
        assert self.open
        assert self.open.pop() == name

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


def words(text: str) -> str:
    return " ".join(" ".join(read(text).words).split())


SESSIONS = {"red": red(), "green": green(), "undecided": undecided(), "empty": session()}


@pytest.mark.parametrize("name", SESSIONS)
def test_the_page_is_well_formed(name: str) -> None:
    text = page(SESSIONS[name])
    reader = read(text)
    ids = [attrs["id"] for _, attrs in reader.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    for _, attrs in reader.tags:
        for key in ("aria-labelledby", "aria-describedby"):
            assert attrs.get(key) is None or attrs[key] in ids
        href = attrs.get("href")
        assert href is None or href == "data:," or href.removeprefix("#") in ids
    for image in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ET.fromstring(image)


@pytest.mark.parametrize("name", SESSIONS)
def test_nothing_is_fetched_and_nothing_runs(name: str) -> None:
    text = page(SESSIONS[name])
    assert "http://" not in text
    assert "https://" not in text
    assert "url(" not in text
    assert "@import" not in text
    reader = read(text)
    assert not {"script", "img", "iframe", "object", "embed"} & {tag for tag, _ in reader.tags}
    assert not [key for _, attrs in reader.tags for key in attrs if key.startswith("on") or key == "src"]
    policy = next(attrs["content"] for _, attrs in reader.tags if "http-equiv" in attrs)
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_text_from_outside_is_never_markup() -> None:
    evil = "</style><script>x</script><b onclick=x>&amp;\u2028"
    one = replace(
        regressed(),
        nodeid=HOSTILE,
        path=evil,
        against=evil,
        where=(evil,),
        output=evil,
        errors={evil: 2},
        validity=(ValidityNote("warn", evil, evil),),
        load={"requests": [evil], "users": evil},
    )
    new = replace(unknown(), nodeid=HOSTILE + "2", mode="stored", output=evil)
    void = replace(failed(), nodeid=evil, output=evil)
    report = replace(session(one, new, void, against=evil), command=evil, changes=(evil,), versions={evil: evil})
    text = page(report)
    reader = read(text)
    names = {name for name, _ in reader.tags}
    assert "script" not in names
    assert "b" not in names
    assert not [key for _, attrs in reader.tags for key in attrs if key.startswith("on")]
    text.encode("utf-8")
    for unshown in ("\x00", "\udcff", "\u202e", "\u2028"):
        assert unshown not in text
    assert "👩‍💻" in text
    for image in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ET.fromstring(image)


def test_every_test_is_there_the_worst_first_with_a_section() -> None:
    report = red()
    reader = read(page(report))
    links = [attrs["href"] for name, attrs in reader.tags if name == "a" and (attrs["href"] or "").startswith("#test-")]
    assert sorted(link or "" for link in links) == [f"#test-{number}" for number in range(1, len(report.tests) + 1)]
    assert links[:2] == ["#test-4", "#test-2"]  # invalid, then regressed
    shown = "".join(reader.words)
    for test in report.tests:
        assert shown.count(test.nodeid) >= 2
        assert str(test.verdict) in shown


def test_headings_go_down_one_step_at_a_time() -> None:
    for report in SESSIONS.values():
        levels = [int(name[1]) for name, _ in read(page(report)).tags if re.fullmatch(r"h[1-6]", name)]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))


def test_landmarks_tables_and_plots_speak() -> None:
    reader = read(page(red()))
    names = [name for name, _ in reader.tags]
    assert all(names.count(one) == 1 for one in ("header", "main", "footer", "nav"))
    assert all(attrs.get("scope") in ("row", "col") for name, attrs in reader.tags if name == "th")
    assert names.count("caption") == names.count("table")
    for name, attrs in reader.tags:
        if name == "svg":
            assert attrs.get("aria-hidden") == "true" or attrs.get("role") == "img"
            assert attrs.get("aria-hidden") or attrs.get("aria-label") or attrs.get("aria-labelledby")


@pytest.mark.parametrize(
    ("report", "sentence"),
    [
        (red(), "Two of 6 performance tests fail the build."),
        (green(), "All 4 performance tests pass."),
        (undecided(), "No performance test fails the build, but none could be decided."),
        (session(), "No performance test was measured."),
        (session(regressed()), "One of 1 performance test fails the build."),
        (session(measured("a.py::b", Verdict.EQUIVALENT, 0.0)), "The performance test passes."),
    ],
)
def test_one_sentence_says_what_became_of_the_build(report: SessionReport, sentence: str) -> None:
    assert sentence in words(page(report))
    assert f"The run was interrupted. {sentence}" in words(page(report, interrupted=True))


def test_what_is_missing_is_said_in_words() -> None:
    new = words(page(session(unknown(), against=None)))
    assert "No baseline yet: no session of this test is stored for this hardware." in new
    assert "No baseline yet, so zero is this run's own middle" in new
    void = words(page(session(failed())))
    assert "Nothing was measured, so there is nothing to plot." in void
    assert "No metric was measured." in void
    base = measured("a.py::b", Verdict.EQUIVALENT, 0.0)
    assert base.evidence is not None
    bare = replace(base.evidence, epochs=(), curves=(Curve(0, ()), Curve(0, ())))
    nothing = words(page(session(replace(base, evidence=bare))))
    assert "No response times were measured." in nothing
    assert "The CPU time of single blocks is not known." in nothing
    assert "No rule of validity had anything to say." in nothing


def test_all_parts_of_a_red_test_are_told() -> None:
    told = words(page(session(regressed())))
    for part in (
        "CPU per request rose by 18.3 %",
        "It was measured again with new server processes, and was seen again.",
        "Functions that grew",
        "shop/ search.py:rank",
        "rps>5000",
        "broken",
        "the host took 27 % of the CPU time away",
        "60,000 answers of main (1a2b3c4) and 60,000 answers of this checkout",
        "Change of CPU per request, block by block",
        "Requests a second over time",
        "amd-epyc-7b13",
    ):
        assert part in told


def test_the_history_of_a_stored_baseline_is_drawn_with_its_eras() -> None:
    told = words(page(green()))
    assert "8 stored sessions on this hardware" in told
    assert "another level counts: sorted results" in told
    assert "1f3c9a2b77de" in told


def test_the_same_values_make_the_same_page() -> None:
    assert page(red()) == page(red())


def test_numbers_that_are_none_and_infinite_do_no_harm() -> None:
    base = measured("a.py::b", Verdict.EQUIVALENT, 0.0)
    nan, inf = float("nan"), float("inf")
    odd = {
        name: replace(one, change=nan, low=-inf, high=inf, candidate=inf, limit=0.0, smallest_detectable=inf)
        for name, one in base.metrics.items()
    }
    text = page(session(replace(base, metrics=odd, rps=nan, p99_us=inf, requests=0)))
    read(text)
    for image in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        assert not re.search(r'"[^"]*\b(nan|inf)\b[^"]*"', image)


def test_loads_are_told_too_and_broken_limits_count() -> None:
    kept = LoadRun("a.py::load", load_report(), ())
    assert not kept.is_broken
    assert LoadRun("a.py::load", load_report(requests=101, outcomes={"ok": 100, "reset": 1}), ()).is_broken
    limit = LimitResult(parse_limit_text("p99<5ms"), 9000.0)
    broken = LoadRun("a.py::<load>", load_report(), (limit,))
    text = page(session(against=None), loads=(kept, broken))
    assert "One of 2 performance tests fails the build." in words(text)
    assert "Load runs" in words(text)
    assert "p99&lt;5ms" in text


@pytest.mark.parametrize(
    ("plain", "written"),
    [
        ("213 us", "213\u00a0µs"),
        ("-3.1 %", "\u22123.1\u00a0%"),
        ("-", "\u2013"),
        ("-1.0 to +2.0 %", "\u22121.0\u00a0to +2.0\u00a0%"),
        ("test-3 x", "test-3\u00a0x"),
    ],
)
def test_numbers_are_set_finely(plain: str, written: str) -> None:
    assert fine(plain) == written


def test_markup_escapes_unless_told_otherwise() -> None:
    assert tag("p", "<", tag("b", "&"), None, ["x"], class_="a\"'", hidden=True, title=None) == (
        '<p class="a&quot;&#x27;" hidden="">&lt;<b>&amp;</b>x</p>'
    )
    assert escaped("a\nb\x1b") == "a\nb\\x1b"


def test_axes_have_round_values_within_them() -> None:
    assert linear_ticks(0.0, 10.0, 5) == [0, 2, 4, 6, 8, 10]
    assert linear_ticks(-0.021, 0.043, 5) == [-0.02, 0.0, 0.02, 0.04]
    assert linear_ticks(3.0, 3.0, 5) == [3.0]
    assert log_ticks(90.0, 2200.0) == [100, 200, 500, 1000, 2000]
    assert log_ticks(1.0, 1e6) == [1, 10, 100, 1000, 10_000, 100_000, 1_000_000]
    axis = axis_for([10.0, 1000.0], 0.0, 100.0)
    assert axis.is_log
    assert Axis(0.0, 10.0, 0.0, 100.0).at(25.0) == 100.0
    assert Axis(5.0, 5.0, 0.0, 100.0).at(5.0) == 50.0
    assert axis_for([], 0.0, 1.0).ticks()


def _colours(css: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z-]+):\s*(#[0-9a-f]{6})\s*;", css))


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_all_text_has_contrast_in_light_and_dark() -> None:
    css = style()
    light_rules, dark_rules = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    light = _colours(light_rules)
    dark = {**light, **_colours(dark_rules)}
    assert set(_colours(dark_rules)) == set(light)
    tints = {"red": "red-tint", "green": "green-tint", "amber": "amber-tint", "b": "blue-tint", "text": "amber-tint"}
    for theme in (light, dark):
        pairs = [(text, place) for text in ("text", "muted", "a", "b", "red", "green", "amber")
                 for place in ("page", "card")]  # fmt: skip
        for text, place in (*pairs, *tints.items()):
            assert _contrast(theme[text], theme[place]) >= 4.5, (text, place)
    assert set(re.findall(r"var\(--([a-z-]+)", css)) <= set(re.findall(r"--([a-z-]+):", css))


def test_the_style_sheet_names_classes_that_exist() -> None:
    text = "".join(page(report) for report in SESSIONS.values())
    used = {one for value in re.findall(r'class="([^"]*)"', text) for one in value.split()}
    named = set(re.findall(r"\.([a-z]+)\b", re.sub(r"[\d.]+(rem|em|px|s)\b|\{[^}]*\}", "", style())))
    assert named - used <= {"tip"}  # of intervals that go on beyond the plot


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: what a browser says of the page is not asked")
@pytest.mark.parametrize("width", [360, 1200])
def test_a_browser_finds_no_fault_and_nothing_wider_than_the_page(tmp_path: Path, width: int) -> None:
    """The page is framed by one that measures it: headless Chromium's own window is never as narrow as a phone."""
    assert CHROMIUM is not None
    hostile = replace(regressed(), nodeid=HOSTILE)
    (tmp_path / "report.html").write_text(page(session(hostile, *red().tests)), encoding="utf-8")
    outer = (
        f"<iframe id=f style='width:{width}px;height:900px;border:0' src=report.html></iframe><pre id=o></pre><script>"
        "f.onload=()=>{const d=f.contentDocument.documentElement;"
        "o.textContent='widths '+d.scrollWidth+' '+d.clientWidth}</script>"
    )
    (tmp_path / "outer.html").write_text(outer)
    options = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --allow-file-access-from-files --enable-logging=stderr "
        "--virtual-time-budget=3000 --dump-dom"
    )
    done = subprocess.run(
        [CHROMIUM, *options.split(), f"--user-data-dir={tmp_path / 'profile'}", (tmp_path / "outer.html").as_uri()],
        capture_output=True, text=True, timeout=120, check=True, env={**os.environ, "HOME": str(tmp_path)},
    )  # fmt: skip
    found = re.search(r"widths (\d+) (\d+)", done.stdout)
    assert found is not None
    assert int(found[1]) <= int(found[2])
    assert "CONSOLE" not in done.stderr


def test_a_test_report_without_evidence_is_drawn() -> None:
    plain: TestReport = replace(measured("a.py::b", Verdict.EQUIVALENT, 0.0), evidence=None)
    assert "nothing to plot" in words(page(session(plain)))
