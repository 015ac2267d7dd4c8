"""pytest --perf of what this interpreter does not import: commands that serve, and servers that run already."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_fastr import _native
from pytest_fastr.mount.command import free_port
from support.project import APP, FAST, Project
from support.repository import git

pytestmark = pytest.mark.skipif(_native.DEBUG_BUILD, reason="a debug build voids every measurement: maturin develop -r")

TEST = "def test_items(perf):\n    perf.get('/items')\n"
SERVE = "{python} -m pytest_fastr.serve shop:app --host {host} --port {port}"
SLOW = APP.replace("range(300 ", "range(12000 ")
NOT_RED = ("equivalent", "inconclusive", "improved")


def with_app(app: str) -> str:
    """The configuration with another app."""
    return FAST.replace('"shop:app"', app)


def command(text: str = SERVE, more: str = "") -> str:
    """The configuration with this command."""
    return with_app(f"{{ command = '{text}'{more} }}")


@pytest.fixture
def commanded(project: Project) -> Project:
    """The project served by a command, which finds this package as the tests do."""
    package = Path(_native.__file__).parents[1]
    project.monkeypatch.setenv("PYTHONPATH", f"{project.path}{os.pathsep}{package}")
    project.configure(command())
    project.test(TEST)
    return project


@pytest.fixture
def repository(commanded: Project) -> Project:
    """The same as a git repository, all committed on main."""
    commanded.make_repository()
    return commanded


def said(result: pytest.RunResult) -> str:
    return " ".join(result.stdout.str().split())


def codes(test: dict[str, object]) -> set[str]:
    notes = test["validity"]
    assert isinstance(notes, list)
    return {note["code"] for note in notes}


def test_a_command_is_stored_and_more_work_in_it_is_red(commanded: Project) -> None:
    commanded.run("--perf", "--perf-update").assert_outcomes(passed=1)
    commanded.monkeypatch.setenv("SHOP_WORK", "40")
    result, (test,) = commanded.results()
    result.assert_outcomes(failed=1)
    metrics = test["metrics"]
    assert (test["verdict"], test["confirmed"]) == ("regressed", True)
    assert metrics["cpu"]["verdict"] == "regressed"
    assert test["peak_rss_bytes"] > 1_000_000
    # What an application served in another way has cost is not compared with it.
    commanded.configure(FAST)
    assert "mount was 'command' and is 'asgi'" in said(commanded.run("--perf"))


def test_without_perf_a_command_answers_all_three_fixtures(commanded: Project) -> None:
    commanded.test(
        """
        import urllib.request
        from pytest_fastr import load

        def test_perf(perf):
            perf.get("/items")

        def test_load(perf_load):
            perf_load(load.get("/made", expect=201))

        def test_server(perf_server):
            assert urllib.request.urlopen(perf_server + "/items").read() == b"ok"
        """
    )
    commanded.run().assert_outcomes(passed=3)


def test_perf_load_knows_the_cost_of_a_command(commanded: Project) -> None:
    commanded.test(
        """
        from pytest_fastr import load

        def test_load(perf_load):
            assert perf_load(load.get("/items")).cpu_us_per_request > 0
        """
    )
    commanded.run("--perf").assert_outcomes(passed=1)


def test_a_command_that_fails_is_quoted(commanded: Project) -> None:
    commanded.write("shop.py", "raise LookupError('no database')")
    result, (test,) = commanded.results()
    result.assert_outcomes(failed=1)
    assert test["verdict"] == "invalid"
    assert "the command ended before it answered (exit code 1): " in said(result)
    assert "no database" in result.stdout.str()


@pytest.mark.parametrize(
    ("app", "words"),
    [
        ('{ command = "serve" }', "without {port}"),
        ('{ command = "serve {port}", url = "http://localhost" }', "both `command` and `url`"),
        ('{ url = "https://localhost" }', "https is not measured here"),
    ],
)
def test_a_mistake_in_the_configuration_costs_nothing(commanded: Project, app: str, words: str) -> None:
    commanded.configure(with_app(app))
    result = commanded.run("--perf")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "[tool.pytest-fastr]: `app`" in result.stderr.str()
    assert words in result.stderr.str()


def test_marker_and_fixture_take_tables_too(commanded: Project) -> None:
    commanded.configure(FAST.replace('app = "shop:app"', ""))
    commanded.write("sub/keep.txt", "")
    commanded.test(
        f"""
        import pytest

        @pytest.fixture
        def perf_app():
            return {{"command": "{SERVE}", "cwd": "sub", "ready": "/items"}}

        def test_by_fixture(perf):
            perf.get("/items")

        @pytest.mark.perf(app={{"command": "run"}})
        def test_by_marker(perf):
            perf.get("/items")

        @pytest.mark.perf(app={{"command": "{SERVE}", "cwd": "gone"}})
        def test_in_no_folder(perf):
            perf.get("/items")
        """
    )
    result = commanded.run()
    result.assert_outcomes(passed=1, errors=2)
    assert "@pytest.mark.perf: `app`: `command` is 'run', without {port}" in said(result)
    assert "`cwd` is 'gone', and there is no folder" in said(result)


def test_a_slower_working_tree_is_red_against_the_ref_it_is_paired_with(repository: Project) -> None:
    repository.write("shop.py", SLOW)
    result, (test,) = repository.results("--perf-against", "main")
    result.assert_outcomes(failed=1)
    assert (test["verdict"], test["mode"], test["confirmed"]) == ("regressed", "paired", True)
    assert "unproven" in codes(test)
    assert "whether it runs that checkout's code" in said(result)
    assert git(repository.path, "worktree", "list").count("\n") == 0


def test_each_side_of_a_pair_has_its_folder_its_code_and_its_environment(repository: Project) -> None:
    """As of a source folder that an editable install leads to: on the tests' path, and not where the command runs."""
    repository.write("src/told.py", TOLD)
    repository.write("side.txt", "baseline")
    repository.write("back/keep.txt", "")
    sides = '\n[tool.pytest-fastr.against.env]\nbaseline = { SIDE = "baseline" }\ncandidate = { SIDE = "candidate" }\n'
    text = SERVE.replace("shop:app", "told:app") + " --root-path /{root}"
    repository.configure(command(text, ', cwd = "back"') + sides + '[tool.pytest.ini_options]\npythonpath = ["src"]\n')
    repository.commit()
    repository.write("side.txt", "candidate")
    result, (test,) = repository.results("--perf-against", "main")
    result.assert_outcomes(passed=1)
    assert (test["mode"], test["verdict"]) in [("paired", verdict) for verdict in NOT_RED]


TOLD = """
    import os
    from pathlib import Path

    from shop import app as inner
    import shop

    ROOT = Path(__file__).resolve().parents[1]
    SIDE = (ROOT / "side.txt").read_text()
    assert os.environ["SIDE"] == SIDE, (os.environ["SIDE"], SIDE)
    assert Path.cwd() == ROOT / "back", (Path.cwd(), ROOT)
    assert Path(shop.__file__).resolve().parent == ROOT, (shop.__file__, ROOT)

    async def app(scope, receive, send):
        if scope["type"] == "http":
            assert Path(scope["root_path"][1:]).resolve() == ROOT, (scope["root_path"], ROOT)
            scope = {**scope, "path": scope["path"].removeprefix(scope["root_path"])}
        await inner(scope, receive, send)
    """


def test_a_ref_whose_command_cannot_run_there_says_so(repository: Project) -> None:
    repository.write("back/keep.txt", "")
    repository.configure(command(more=', cwd = "back"'))
    result, (test,) = repository.results("--perf-against", "main")
    result.assert_outcomes(failed=1)
    assert test["verdict"] == "invalid"
    assert "has no folder 'back', which the command runs in" in said(result)


def test_another_interpreter_needs_its_place_in_the_command(repository: Project) -> None:
    repository.configure(command(SERVE.replace("{python}", sys.executable)))
    link = Path(sys.executable).with_name("python3")
    result = repository.run("--perf", "--perf-against", "main", f"--perf-against-python={link}")
    result.assert_outcomes(failed=1)
    assert "begin it with {python} -m" in said(result)


def test_a_command_compared_with_itself_teaches_the_floor(commanded: Project) -> None:
    commanded.run("--perf", "--perf-aa").assert_outcomes(passed=1)
    assert [path.name for path in commanded.path.glob("baselines/*/*.json")] == ["equals.json"]


# ---- servers that run already ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def running(project: Project, work: int = 1) -> Iterator[tuple[str, int]]:
    """A server that nobody of the run has started: its URL and its pid."""
    port = free_port("127.0.0.1")
    words = [sys.executable, "-m", "pytest_fastr.serve", "shop:app", "--port", str(port)]
    # Without the mark by which the project's processes are found: it is not the run's.
    env = {**os.environ, "SHOP_WORK": str(work), "FASTR_TEST_MARK": "", "PYTHONHASHSEED": "1"}
    with subprocess.Popen(words, env=env, cwd=project.path, stderr=subprocess.DEVNULL) as server:
        try:
            url = f"http://127.0.0.1:{port}"
            for _ in range(1000):
                with contextlib.suppress(urllib.error.URLError):
                    urllib.request.urlopen(url + "/items").close()
                    break
                time.sleep(0.02)
            yield url, server.pid
            assert server.poll() is None, "it is not the run's to end"
        finally:
            server.terminate()


def at(url: str, **keys: object) -> str:
    """The configuration with this URL. Longer, since the same processes serve all the time."""
    words = "".join(f", {key} = {f'{value!r}' if isinstance(value, str) else value}" for key, value in keys.items())
    return with_app(f"{{ url = '{url}'{words} }}")


def test_a_url_with_its_pid_is_stored_and_compared(commanded: Project) -> None:
    with running(commanded) as (url, pid), running(commanded, work=60) as (slow, slow_pid):
        commanded.configure(at(url, pid=pid))
        commanded.run("--perf", "--perf-update").assert_outcomes(passed=1)
        commanded.configure(at(slow, pid=slow_pid))
        result, (test,) = commanded.results()
    result.assert_outcomes(failed=1)
    assert (test["verdict"], test["metrics"]["cpu"]["verdict"]) == ("regressed", "regressed")
    assert "same-processes" in codes(test)
    assert "cpu-unknown" not in codes(test)
    assert "measured again on the servers that run" in said(result)


def test_without_a_pid_throughput_decides_and_it_is_said(commanded: Project) -> None:
    with running(commanded) as (url, _), running(commanded, work=60) as (slow, _):
        commanded.configure(at(url))
        commanded.run("--perf", "--perf-update").assert_outcomes(passed=1)
        commanded.configure(at(slow))
        result, (test,) = commanded.results()
    result.assert_outcomes(failed=1)
    assert "cpu" not in test["metrics"]
    assert (test["verdict"], test["metrics"]["throughput"]["verdict"]) == ("regressed", "regressed")
    assert test["cpu_us_per_request"] is None
    assert {"same-processes", "cpu-unknown"} <= codes(test)
    if sys.platform == "linux":
        assert "did not share a core (the server's processes are not known)" in said(result)


@pytest.mark.parametrize("with_pids", [True, False])
def test_two_urls_are_compared_with_each_other(commanded: Project, with_pids: bool) -> None:
    with running(commanded) as one, running(commanded) as equal, running(commanded, work=60) as slow:
        for (url, pid), verdicts, outcome in ((equal, NOT_RED, "passed"), (slow, ("regressed",), "failed")):
            pids = {"pid": pid, "against_pid": one[1]} if with_pids else {}
            commanded.configure(at(url, against=one[0], **pids))
            result, (test,) = commanded.results()
            result.assert_outcomes(**{outcome: 1})
            assert test["verdict"] in verdicts
            assert (test["mode"], test["against"]) == ("paired", one[0])
            assert ("cpu" in test["metrics"]) is with_pids


def test_nothing_that_cannot_be_known_passes(commanded: Project) -> None:
    with running(commanded) as (url, pid):
        commanded.configure(at(url) + 'gate = ["cpu"]\n')
        result, (test,) = commanded.results()
        result.assert_outcomes(failed=1)
        assert "nothing would be gated" in said(result)
        assert test["verdict"] == "invalid"

        commanded.configure(at(url) + 'limit = { cpu = "1s" }\n')
        result, (test,) = commanded.results()
        result.assert_outcomes(failed=1)
        assert "the limit of cpu cannot be held" in said(result)
        assert test["verdict"] == "invalid"
        commanded.configure(at(url, pid=pid) + 'limit = { cpu = "1s" }\n')
        commanded.run("--perf").assert_outcomes(passed=1)


def test_what_a_url_cannot_be_is_one_clear_error(repository: Project) -> None:
    with running(repository) as (url, _):
        repository.configure(at(url))
        result = repository.run("--perf", "--perf-against", "main")
        result.assert_outcomes(failed=1)
        assert "cannot be compared with main (" in said(result)
        assert "nobody serves the other ref" in said(result)
        result = repository.run("--perf", "--perf-aa")
        result.assert_outcomes(failed=1)
        assert "cannot be compared with itself" in said(result)
        repository.configure(at(url, pid=2**22 + 1))
        assert f"there is no process {2**22 + 1}" in said(repository.run("--perf"))
        repository.configure(at("http://192.0.2.1:80"))
        assert "http://192.0.2.1:80 is another machine" in said(repository.run("--perf"))
    repository.configure(at(url))
    result = repository.run("--perf")
    result.assert_outcomes(failed=1)
    assert f"nobody answers at {url} (Connection refused): start the server before the tests" in said(result)


def test_all_three_fixtures_ask_a_url(commanded: Project) -> None:
    commanded.test(
        """
        import urllib.request
        from pytest_fastr import load

        def test_perf(perf):
            perf.get("/items")

        def test_load(perf_load):
            perf_load(load.get("/made", expect=201), duration="200ms")

        def test_server(perf_server):
            assert urllib.request.urlopen(perf_server + "/items").read() == b"ok"
        """
    )
    with running(commanded) as (url, _):
        commanded.configure(at(url.replace("127.0.0.1", "localhost")))
        commanded.run().assert_outcomes(passed=3)
        commanded.run("--perf").assert_outcomes(passed=3)
