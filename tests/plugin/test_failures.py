"""A server that fails, and runs that are broken off: failures in their own words, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.project import Project

TEST = "def test_items(perf):\n    perf.get('/items')\n"

MISBEHAVING = """
import asyncio
import os

count = 0

async def app(scope, receive, send):
    global count
    if scope["type"] != "http":
        raise RuntimeError("no lifespan")
    count += 1
    what = os.environ["SHOP_FAULT"]
    if count > 30:
        if what == "dies":
            os._exit(7)
        if what == "hangs":
            await asyncio.sleep(3600)
        if what == "raises":
            raise ValueError("out of stock")
        if what == "breaks off":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
            return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})
"""


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("dies", "*the server process died (exit code 7)*"),
        ("hangs", "*no answer within the time limit*"),
        ("raises", "*500 Internal Server Error instead of 200 OK*"),
        ("breaks off", "*closed the connection in the middle of an answer*"),
    ],
)
def test_a_server_that_fails_during_the_measurement_is_named(project: Project, fault: str, words: str) -> None:
    project.configure(
        '[tool.pytest-fastr]\napp = "faulty:app"\nusers = 4\nduration = "300ms"\nepochs = 1\n'
        'warmup_max = "300ms"\nrequest_timeout = "400ms"\n'
    )
    project.write("faulty.py", MISBEHAVING)
    project.monkeypatch.setenv("SHOP_FAULT", fault)
    project.test(TEST)
    result, tests = project.results()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([words])
    assert tests[0]["verdict"] == "invalid"
    if fault == "raises":
        result.stdout.fnmatch_lines(["*server log*", "*ValueError: out of stock*"])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("import os\nos._exit(5)\n", "*died during start-up (exit code 5)*"),
        ("raise ValueError('no database')\n", "*raised ValueError: no database*"),
        ("app = 3\n", "*is an object of type int, not an application*"),
        ("import time\ntime.sleep(3600)\n", "*did not become ready within 1 s*"),
        (
            "async def app(scope, receive, send):\n    await receive()\n"
            "    await send({'type': 'lifespan.startup.failed', 'message': 'no database'})\n",
            "*start-up failed*",
        ),
    ],
)
def test_a_server_that_does_not_start_is_explained(project: Project, body: str, words: str) -> None:
    project.configure('[tool.pytest-fastr]\napp = "late:app"\nstartup_timeout = "1s"\n')
    project.write("late.py", body)
    project.test(TEST)
    result = project.run("--perf")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([words])


@pytest.mark.parametrize(
    ("body", "args"),
    [
        ("def test_a():\n    pass\n", ()),
        (TEST, ("-k", "nothing")),
        ("import pytest\n\ndef test_a(perf):\n    pytest.skip('not today')\n", ()),
        ("def test_a(perf):\n    pass\n", ()),
    ],
)
def test_a_perf_run_that_measured_nothing_fails(project: Project, body: str, args: tuple[str, ...]) -> None:
    project.test(body)
    result = project.run("--perf", *args)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*measured nothing*"])


def test_a_server_that_dies_at_the_first_request_is_named(project: Project) -> None:
    project.write("dying.py", "import os\n\nasync def app(scope, receive, send):\n    scope['path'] and os._exit(9)\n")
    project.test("import pytest\n\n@pytest.mark.perf(app='dying:app')\n" + TEST)
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*the server process died (exit code 9)*"])


def test_the_log_shown_is_of_this_test_only(project: Project) -> None:
    project.write(
        "loud.py",
        """
        async def app(scope, receive, send):
            assert scope["type"] == "http"
            print("asked for", scope["path"], flush=True)
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        """,
    )
    project.test(
        "import pytest\n\npytestmark = pytest.mark.perf(app='loud:app')\n\n"
        "def test_one(perf):\n    perf.get('/one')\n\ndef test_two(perf):\n    perf.get('/two')\n"
    )
    result = project.run()
    result.assert_outcomes(failed=2)
    assert result.stdout.str().count("asked for /one") == 1
    assert result.stdout.str().count("asked for /two") == 1


def test_too_few_answers_for_an_estimate_say_what_to_raise(project: Project) -> None:
    project.write(
        "slow.py",
        """
        import asyncio

        async def app(scope, receive, send):
            assert scope["type"] == "http"
            await asyncio.sleep(0.4)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        """,
    )
    project.test("import pytest\n\n@pytest.mark.perf(app='slow:app')\n" + TEST)
    result, tests = project.results()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*raise `duration`*"])
    assert tests[0]["verdict"] == "invalid"


def test_collecting_only_is_no_measurement(project: Project) -> None:
    project.test(TEST)
    earlier = project.write("result.json", "of an earlier session")
    assert project.run("--perf", "--collect-only", "--perf-json=result.json").ret == 0
    assert earlier.read_text() == "of an earlier session"


def test_a_traced_server_voids_its_result(project: Project) -> None:
    project.write("traced.py", "import sys\nfrom shop import app\nsys.settrace(lambda *args: None)\n")
    project.test("import pytest\n\n@pytest.mark.perf(app='traced:app')\n" + TEST)
    result = project.run("--perf")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*trace function*is active in the server*"])


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the processes of a run through /proc")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 2), (signal.SIGKILL, -9)])
def test_a_broken_off_run_leaves_no_process(project: Project, number: signal.Signals, code: int) -> None:
    project.configure('[tool.pytest-fastr]\napp = "shop:app"\nduration = "60s"\nepochs = 2\n')
    project.test(TEST + "\n\ndef test_object(perf):\n    perf.get('/')\n")
    run = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--perf"],
        cwd=project.path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _until(lambda: any("gate.reference" in line for line in project.processes_left()), "both servers are up")
        _until(lambda: _cpu_ticks(run.pid) > 50, "load runs")
        os.kill(run.pid, number)
        assert run.wait(20) == code
    finally:
        run.kill()
        run.wait()
    _until(lambda: project.processes_left() == [], "every server has ended")


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, f"not within 20 s: {what}"
        time.sleep(0.02)


def _cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
