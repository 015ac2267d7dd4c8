"""pytest --perf --perf-report: the page is there, whatever became of the build."""

from __future__ import annotations

import html
import re
import stat

import pytest

from support.project import Project

TEST = "def test_items(perf):\n    perf.get('/items')\n"


LOAD = """
from pytest_fastr import load

def test_load(perf_load):
    perf_load(load.get("/a"), users=2, duration="200ms")

def test_more():
    raise AssertionError("more")
"""


def page(project: Project, name: str = "out.html") -> str:
    """The report, with entities and the places for line breaks resolved."""
    return html.unescape((project.path / name).read_text(encoding="utf-8")).replace("<wbr/>", "")


def test_green_and_red_builds_have_a_page_with_plots(project: Project) -> None:
    project.test(TEST)
    stored = project.run("--perf", "--perf-update", "--perf-report", "out.html")
    stored.assert_outcomes(passed=1)
    assert "No baseline yet" in page(project)
    assert page(project).count('class="plot"') >= 5

    project.monkeypatch.setenv("SHOP_WORK", "40")
    project.run("--perf", "--perf-report=sub/red.html").assert_outcomes(failed=1)
    red = page(project, "sub/red.html")
    assert "One of 1 performance test fails the build." in red
    assert "test_perf.py::test_items" in red
    assert "CPU per request rose by" in red
    assert "1 stored session on this hardware" in red
    assert "http://" not in red
    assert stat.S_IMODE((project.path / "sub/red.html").stat().st_mode) & 0o444 == 0o444


def test_a_test_that_cannot_be_measured_is_on_the_page(project: Project) -> None:
    project.test(TEST.replace("/items", "/broken") + "\ndef test_two(perf):\n    raise KeyboardInterrupt\n")
    result = project.run("--perf", "--perf-report", "out.html")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    text = page(project)
    assert "The run was interrupted. One of 1 performance test fails the build." in text
    assert "500" in text
    assert "Nothing was measured, so there is nothing to plot." in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--perf", "--perf-report=shop.py/out.html"], "*shop.py/out.html*cannot be written*shop.py is no folder*"),
        (["--perf", "--perf-report=."], "*cannot be written*it is a folder*"),
        (["--perf", "--perf-report=loop"], "*cannot be written*"),
        (["--perf-report=out.html"], "*--perf-report shows what --perf measures: give both*"),
        (["--perf", "--perf-report=a", "--perf-json=a"], "*name the same file*"),
    ],
)
def test_a_page_that_cannot_be_written_is_refused_before_anything_is_measured(
    project: Project, options: list[str], words: str
) -> None:
    project.test(TEST)
    (project.path / "loop").symlink_to(project.path / "loop")
    result = project.run(*options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([words])
    assert "test_perf" not in result.stdout.str()


def test_collecting_writes_no_page(project: Project) -> None:
    project.test(TEST)
    project.run("--perf", "--collect-only", "--perf-report=out.html")
    assert not (project.path / "out.html").exists()


def test_a_loads_page_has_its_table(project: Project) -> None:
    project.test(LOAD)
    project.run("--perf", "--perf-report=out.html").assert_outcomes(passed=1, failed=1)
    assert re.search(r"<h2[^>]*>Load runs</h2>", page(project))
    assert "No measurement fails the build. One of the run's other tests failed" in page(project)


def test_a_device_is_no_mistake(project: Project) -> None:
    project.test(TEST)
    result = project.run("--perf", "--collect-only", "--perf-report=/dev/null")
    assert result.ret == pytest.ExitCode.OK
