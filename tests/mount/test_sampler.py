"""The sampler in real servers: what burns the processor is on top, on the event loop and in a pool's thread."""

from __future__ import annotations

import contextlib
import http.client
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_fastr.errors import MountError
from pytest_fastr.mount.sampler import ENGINE, FunctionSamples, Profile, Sampler

CLASSIC = """
import signal, sys, time

def burn(count):
    return sum(at * at for at in range(count))

class Quick:
    def answer(self):
        return b"quick"

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        {lifespan}
    if scope["path"] == "/take":
        signal.signal(signal.SIGPROF, signal.SIG_IGN)
    body = str(burn(40_000)).encode() if scope["path"] == "/burn" else Quick().answer()
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": body}})
"""

THREADS = """
import hashlib
from fastapi import FastAPI

app = FastAPI()

def burn(count):
    total = 0
    for at in range(count):
        total += at * at
    return total

@app.get("/burn")
def burning():
    return {"total": burn(40_000)}

@app.get("/quick")
def quick():
    return {"total": 1}

@app.get("/hash")
def hashing():
    return {"digest": hashlib.sha256(bytes(4_000_000)).hexdigest()}
"""

NO_LIFESPAN = "return"
SHUTDOWN_HANGS = """
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("shutting down", file=sys.stderr, flush=True)
        time.sleep(600)
"""


class Sampled:
    """A server that samples itself into ``file``."""

    def __init__(self, folder: Path, source: str, *arguments: str) -> None:
        self.file = folder / "profile.json"
        (folder / "sampled_app.py").write_text(source)
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "pytest_fastr.serve", "sampled_app:app", "--path", str(folder), "--port", "0",
             "--sample", str(self.file), *arguments],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        assert self.popen.stderr is not None
        ready = self.popen.stderr.readline().decode()
        address = re.search(r"serving on http://127\.0\.0\.1:(\d+)", ready)
        assert address is not None, ready
        self.port = int(address[1])

    def ask(self, times: int, *paths: str) -> None:
        """Asks for each of these so often, on one connection."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            for _ in range(times):
                for path in paths:
                    connection.request("GET", path)
                    answer = connection.getresponse()
                    assert (answer.status, bool(answer.read())) == (200, True)

    def stop(self) -> tuple[int, str]:
        """Tells it to stop. Returns the exit code and what it has said."""
        self.popen.send_signal(signal.SIGTERM)
        said = self.popen.communicate(timeout=60)[1]
        return self.popen.returncode, said.decode()

    def profile(self) -> Profile:
        return Profile.from_json(self.file.read_text())


@contextlib.contextmanager
def sampled(folder: Path, source: str, *arguments: str) -> Iterator[Sampled]:
    server = Sampled(folder, source, *arguments)
    try:
        yield server
    finally:
        server.popen.kill()
        server.popen.communicate()


def of_the_app(profile: Profile, folder: Path) -> dict[str, FunctionSamples]:
    """The application's own functions."""
    return {one.name: one for one in profile.functions if one.file == str(folder / "sampled_app.py")}


def test_what_burns_on_the_event_loop_is_on_top(tmp_path: Path) -> None:
    with sampled(tmp_path, CLASSIC.format(lifespan=NO_LIFESPAN)) as server:
        server.ask(150, "/burn", "/quick")
        assert not server.file.exists()
        assert server.stop() == (0, "")
        profile = server.profile()
        left = sorted(path.name for path in tmp_path.iterdir() if path.is_file())
    top = profile.functions[0]
    assert (top.file, top.name, top.line) == (str(tmp_path / "sampled_app.py"), "burn", 4)
    assert top.own > profile.samples / 2
    assert (profile.note, left) == ("", ["profile.json", "sampled_app.py"])
    own = of_the_app(profile, tmp_path)
    assert own["app"].cumulative >= top.own
    assert own["app"].own < top.own / 2


def test_what_burns_in_a_thread_of_a_pool_is_on_top(tmp_path: Path) -> None:
    with sampled(tmp_path, THREADS) as server:
        server.ask(150, "/burn", "/quick")
        assert server.stop() == (0, "")
        profile = server.profile()
    assert (profile.functions[0].name, profile.note) == ("burn", "")
    own = of_the_app(profile, tmp_path)
    assert own["burning"].cumulative >= own["burn"].own
    assert all(one.own < own["burn"].own / 2 for name, one in own.items() if name != "burn")


def test_time_in_c_without_the_interpreter_s_lock_is_the_caller_s(tmp_path: Path) -> None:
    with sampled(tmp_path, THREADS) as server:
        server.ask(100, "/hash")
        assert server.stop()[0] == 0
        assert server.profile().functions[0].name == "hashing"


def test_time_in_the_engine_goes_by_its_name(tmp_path: Path) -> None:
    with sampled(tmp_path, CLASSIC.format(lifespan=NO_LIFESPAN)) as server:
        server.ask(4000, "/quick")
        assert server.stop() == (0, "")
        functions = server.profile().functions
    assert ENGINE in [one.name for one in functions]
    assert not [one for one in functions if one.name.endswith("select") and one.own]


def test_the_profile_is_there_before_a_shutdown_that_hangs(tmp_path: Path) -> None:
    with sampled(tmp_path, CLASSIC.format(lifespan=SHUTDOWN_HANGS)) as server:
        server.ask(50, "/burn")
        server.popen.send_signal(signal.SIGTERM)
        assert server.popen.stderr is not None
        assert server.popen.stderr.readline() == b"shutting down\n"
        assert server.profile().functions[0].name == "burn"


def test_a_profile_that_cannot_be_written_is_said_and_the_server_ends_well(tmp_path: Path) -> None:
    gone = tmp_path / "gone" / "profile.json"
    with sampled(tmp_path, CLASSIC.format(lifespan=NO_LIFESPAN), "--sample", str(gone)) as server:
        server.ask(1, "/burn")
        code, said = server.stop()
    assert code == 0
    assert f"cannot write the profile to --sample {gone}: " in said


@pytest.mark.parametrize(("line", "note"), [
    ("signal.signal(signal.SIGPROF, lambda *_: None)", "not sampled: the application handles SIGPROF itself"),
    ("signal.setitimer(signal.ITIMER_PROF, 600)", "not sampled: the application has started ITIMER_PROF itself"),
    ("import sys, threading; sys.setprofile(lambda *_: None)", "the times include those of a profile function"),
])  # fmt: skip
def test_an_application_with_a_profiler_of_its_own_is_left_alone(tmp_path: Path, line: str, note: str) -> None:
    with sampled(tmp_path, f"import signal\n{line}\n{CLASSIC.format(lifespan=NO_LIFESPAN)}") as server:
        server.ask(30, "/burn")
        assert server.stop() == (0, "")
        profile = server.profile()
    assert profile.note == note
    assert bool(profile.samples) == note.startswith("the times")


def test_a_signal_that_the_application_takes_while_it_serves_is_left_to_it(tmp_path: Path) -> None:
    with sampled(tmp_path, CLASSIC.format(lifespan=NO_LIFESPAN)) as server:
        server.ask(50, "/burn")
        server.ask(1, "/take")
        server.ask(50, "/burn")
        assert server.stop() == (0, "")
        profile = server.profile()
    assert profile.note == "incomplete: the application has taken SIGPROF"
    assert of_the_app(profile, tmp_path)["burn"].own


def test_a_sampler_leaves_this_process_as_it_was() -> None:
    before = sys.getswitchinterval(), signal.getitimer(signal.ITIMER_PROF)
    for _ in range(2):
        sampler = Sampler.start()
        spend()
        first = sampler.stop()
        assert first.samples
        assert sampler.stop() == first
        assert any(one.name == "spend" and one.file == __file__ for one in first.functions)
    assert (sys.getswitchinterval(), signal.getitimer(signal.ITIMER_PROF)) == before


def spend() -> int:
    return sum(at * at for at in range(3_000_000))


def test_a_profile_survives_json() -> None:
    profile = Profile(
        12, (FunctionSamples("/a/é.py", "f.<locals>.g", 3, 4, 12), FunctionSamples("", ENGINE, 0, 1, 1)), "n"
    )
    assert Profile.from_json(profile.to_json()) == profile


def one_function(text: str) -> str:
    return f'{{"samples": 9, "functions": [{text}]}}'


ONE = '{"file": "a", "name": "f", "line": 1, "own": 1, "cumulative": 1}'


@pytest.mark.parametrize("text", [
    "", "[]", "null", "3", "{}", '{"samples": 1}', '{"samples": 1, "functions": 3}', '{"samples": 1, "functions": [3]}',
    '{"samples": -1, "functions": []}', '{"samples": 1.5, "functions": []}', '{"samples": true, "functions": []}',
    '{"samples": 1, "functions": [], "note": 3}', '{"samples": 1, "functions": [], "more": 3}',
    '{"samples": 1, "functions": [{"file": "a"}]}', f'{{"samples": 0, "functions": [{ONE}]}}',
    one_function(ONE.replace('"own": 1', '"own": 2')), one_function(ONE.replace('"a"', "null")),
    one_function(ONE.replace('"line": 1', '"line": "1"')), "[" * 100_000,
])  # fmt: skip
def test_nonsense_is_no_profile(text: str) -> None:
    assert Profile.from_json(one_function(ONE)).samples == 9
    with pytest.raises(MountError, match="this is no profile of a server: "):
        Profile.from_json(text)
