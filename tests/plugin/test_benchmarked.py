"""Tests of pytest-benchmark with --perf: gated, and otherwise as they were."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from support.project import Project

# As little as proves it: made-up costs are judged in tests/gate/test_functions.py.
QUICK = ("--benchmark-max-time=0.01", "--benchmark-min-rounds=1")
TEST = """
    import pytest

    pytestmark = pytest.mark.perf(duration="60ms")

    def test_call(benchmark):
        assert benchmark(sorted, [3, 1, 2], reverse=True) == [3, 2, 1]

    class TestMore:
        @pytest.mark.parametrize("size", [10])
        def test_decorated(self, benchmark, size):
            @benchmark
            def made():
                return list(range(size))
            assert len(made) == 10

    @pytest.mark.benchmark(disable_gc=True, group="mine")
    def test_pedantic(benchmark):
        made, ended = [], []
        def setup():
            made.append(1)
            return ([3, 1, 2],), {}
        value = benchmark.pedantic(sorted, setup=setup, teardown=lambda _: ended.append(1), rounds=2)
        assert value == [1, 2, 3]
        assert len(made) == len(ended) > 2

    async def fetch(number):
        return number

    def test_awaited(benchmark):
        assert benchmark(fetch, 4) == 4

    def test_expected(benchmark):
        with pytest.raises(ZeroDivisionError):
            benchmark(lambda: 1 / 0)
"""


def test_every_way_of_calling_it_is_measured_stored_and_written(project: Project) -> None:
    project.test(TEST)
    project.test('def test_items(perf):\n    perf.get("/items")\n', "test_web.py")
    result, tests = project.results("--perf-update", "--perf-report=page.html", "--perf-benchmark-json=b.json", *QUICK)
    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines(["*benchmark 'mine': 1 tests*", "*5 stored as the baseline of*"])
    nodes = {test["nodeid"].partition("::")[2]: test for test in tests}
    assert nodes.keys() == {
        "test_call", "TestMore::test_decorated[10]", "test_pedantic", "test_awaited", "test_items",
    }  # fmt: skip
    assert {test["verdict"] for test in tests} == {"new"}
    loads = [nodes[name]["load"] for name in ("test_pedantic", "test_awaited")]
    assert [(one["function"], one["timed"]) for one in loads] == [("sync", "each"), ("async", "many")]
    assert [one["disable_gc"] for one in loads] == [True, False]
    assert nodes["test_call"]["line"] == 7
    assert nodes["test_call"]["cpu_us_per_request"] > 0
    page = (project.path / "page.html").read_text()
    assert "CPU per call" in page
    assert "Nothing was measured" not in page
    written = json.loads((project.path / "b.json").read_text())
    rounds = {one["name"]: one["stats"]["rounds"] for one in written["benchmarks"]}
    assert rounds.keys() == {"test_call", "test_decorated[10]", "test_pedantic", "test_awaited", "test_items"}
    assert rounds["test_items"] <= nodes["test_items"]["requests"]
    shown = subprocess.run(
        [sys.executable, "-m", "pytest_benchmark", "compare", "b.json"],
        capture_output=True, text=True, check=True, cwd=project.path,
    )  # fmt: skip
    assert "benchmark: 5 tests" in shown.stdout


def test_a_function_that_does_ten_times_the_work_fails_the_build(project: Project) -> None:
    body = "def work():\n    return sum(range({}))\n\ndef test_it(benchmark):\n    benchmark(work)\n"
    project.test(body.format(300))
    quick = ("--perf", "--perf-duration=60ms", *QUICK)
    project.run(*quick, "--perf-update").assert_outcomes(passed=1)
    project.test(body.format(3000))
    result = project.run(*quick)
    result.assert_outcomes(failed=1)
    words = ("test_perf.py:5: test_perf.py::test_it: regressed", "*CPU per call rose by*", "*again in this process*")
    result.stdout.fnmatch_lines(list(words))


def test_disabled_benchmarks_are_no_measurement(project: Project) -> None:
    project.test("def test_it(benchmark):\n    benchmark(sorted, [])\n")
    result = project.run("--perf", "--benchmark-disable")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*measured nothing*`benchmark`*"])


def test_without_pytest_benchmark_another_fixture_of_its_name_is_left_alone(project: Project) -> None:
    project.test("""
        import pytest

        @pytest.fixture
        def benchmark():
            return lambda function: "mine"

        def test_it(benchmark):
            assert benchmark(sorted) == "mine"

        def test_items(perf):
            perf.get("/items")
    """)
    result = project.run("--perf", "-p", "no:benchmark", "--perf-benchmark-json=b.json")
    result.assert_outcomes(passed=2)
    written = json.loads((project.path / "b.json").read_text())
    assert [one["name"] for one in written["benchmarks"]] == ["test_items"]
    assert written["machine_info"]["python_implementation"] == "CPython"


def test_mistakes_are_told_in_their_own_words_and_never_pass(project: Project) -> None:
    project.test("""
        import pytest

        async def fetch():
            pass

        @pytest.mark.perf(users=3)
        def test_users(benchmark):
            benchmark(sorted, [])

        @pytest.mark.perf(limit={"p99": "3%"})
        def test_p99(benchmark):
            benchmark(sorted, [])

        @pytest.mark.perf(limit={"cpu": "30us"})
        def test_absolute(benchmark):
            benchmark(sorted, [])

        @pytest.mark.perf(limit={"time": "3%"})
        def test_time(perf):
            perf.get("/items")

        @pytest.mark.filterwarnings("ignore:coroutine")
        def test_unawaited(benchmark):
            benchmark(lambda: fetch())
    """)
    result, tests = project.results("-W", "ignore::pytest.PytestUnraisableExceptionWarning", *QUICK)
    result.assert_outcomes(failed=4, errors=1)
    for words in (
        "*`users` is for requests, and this test measures a function*",
        "*`limit` of `p99` is for requests; functions have `cpu` and `time`*",
        "*`limit` of `cpu` is an absolute one*",
        "*`limit` of `time` is for tests that use `benchmark`*",
        "*returned a coroutine that nobody awaits*benchmark(fetch, 1)*",
    ):
        result.stdout.fnmatch_lines([words])
    assert {test["verdict"] for test in tests} == {"invalid"}


def test_without_perf_nothing_is_different(project: Project) -> None:
    project.test("""
        def test_it(benchmark, request):
            assert type(benchmark).__module__ == "pytest_benchmark.fixture"
            value = benchmark(lambda: 3)
            assert value == 3
            assert request.node.get_closest_marker("perf") is None
    """)
    project.run(*QUICK).assert_outcomes(passed=1)


def test_a_file_that_cannot_be_written_is_refused_before_anything_is_measured(project: Project) -> None:
    project.test(TEST)
    result = project.run("--perf", "--perf-json=b.json", "--perf-benchmark-json=b.json")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--perf-benchmark-json and --perf-json name the same file*"])
