"""The fixture perf_load: scenarios on the application under test."""

from __future__ import annotations

import json

import pytest

from support.project import Project

MIX = """
from pytest_fastr import load

MIX = load.scenario(load.flow(load.get("/a"), load.get("/b"), name="pair"), load.get("/made", expect=201))
"""


def test_without_perf_every_flow_is_played_once_and_checked(project: Project) -> None:
    project.test(
        MIX
        + """
def test_mix(perf_load):
    result = perf_load(MIX, rate=100, limits=["p99<1us"])
    assert result.rps > 0
    raise AssertionError("not reached")

def test_wrong(perf_load):
    perf_load(load.scenario(load.get("/a"), load.get("/made", check=[load.contains("no")], expect=None)))
"""
    )
    result = project.run("-rs")
    result.assert_outcomes(skipped=1, failed=1)
    result.stdout.fnmatch_lines(["*GET /made failed: 1 of 1 requests failed*this does not hold*contains*no*"])


def test_with_perf_the_load_is_reported_and_its_limits_are_held(project: Project) -> None:
    project.test(
        MIX
        + """
def test_kept(perf_load):
    result = perf_load(MIX, users=2, limits=["p50<10s", "errors<1%"])
    assert result.requests > 10
    assert result.errors == 0
    assert result.p(50) > 0
    assert result.report.flows[0].failed == 0

def test_broken(perf_load):
    perf_load(load.get("/a"), rate=100, duration="300ms", limits=["max<1us"])
"""
    )
    result = project.run("--perf", "--perf-json=out.json")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*GET /a: max<1us: broken, *", "*= load =*", "*test_kept*", "*GET /made*", "*kept*"])
    document = json.loads((project.path / "out.json").read_text())
    assert document["verdict"] is None
    kept, broken = document["loads"]
    assert kept["nodeid"] == "test_perf.py::test_kept"
    assert set(kept["by_request"]) == {"GET /a", "GET /b", "GET /made"}
    assert kept["server"]["cpu_us_per_request"] > 0
    assert broken["scheduled"] == 30
    assert broken["limits"][0]["kept"] is False


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ('perf_load("GET /")', "*perf_load takes load.scenario(...) or a request, not str*"),
        ('perf_load(load.get("/a"), rate=0)', "*rate 0: must be above 0*"),
        ('perf_load(load.get("/a"), rate=5, think="1s")', "*think= belongs to users*"),
        ('perf_load(load.get("/a"), poisson=True)', "*poisson= belongs to a rate*"),
        ('perf_load(load.get("/a"), users=0)', "*users*"),
        ('perf_load(load.get("/a"), duration="0s")', "*duration*"),
        ('perf_load(load.get("/a"), limits=["p99"])', "*write a metric*"),
        ('perf_load(load.get("/broken"))', "*1 x 500 Internal Server Error*"),
    ],
)
def test_what_cannot_be_right_fails_in_words(project: Project, call: str, words: str) -> None:
    project.test(f"from pytest_fastr import load\ndef test_load(perf_load):\n    {call}\n")
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([words])


def test_a_load_that_fails_is_red_and_says_what_failed(project: Project) -> None:
    project.test("from pytest_fastr import load\ndef test_load(perf_load):\n    perf_load(load.get('/broken'))\n")
    result = project.run("--perf")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*GET /broken failed under load: * x 500 Internal Server Error*"])


def test_an_answer_of_a_measured_request_is_checked_too(project: Project) -> None:
    project.test(
        """
        from pytest_fastr import load

        def test_good(perf):
            perf.get("/items", check=[load.contains("ok"), load.body_bytes(2)])

        def test_wrong(perf):
            perf.get("/items", check=[load.contains("no")])
        """
    )
    result = project.run()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*this does not hold: the body contains*no*"])
