"""``python -m pytest_fastr.serve``: its exit codes, its signals, what it says."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

APPS = Path(__file__).parent / "apps"


class Command:
    """The command line, running."""

    def __init__(self, *arguments: str) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "pytest_fastr.serve", "--path", str(APPS), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self.popen.stdout is not None
        self.output: IO[bytes] = self.popen.stdout

    def port(self) -> int:
        """The port it says that it serves on."""
        return int(self.read_until(r"serving on http://127\.0\.0\.1:(\d+) \(Ctrl-C stops\)")[1])

    def read_until(self, pattern: str) -> re.Match[str]:
        """Reads lines until one matches."""
        seen = ""
        for line in self.output:
            seen += line.decode()
            if match := re.search(pattern, seen):
                return match
        raise AssertionError(f"{pattern!r} is not in {seen!r}")

    def end(self) -> tuple[int, str]:
        """Waits for its end. Returns the exit code and what was not read of its output."""
        rest = self.output.read().decode()
        return self.popen.wait(20), rest

    def request(self, target: str = "/") -> socket.socket:
        """A connection on which a request is under way."""
        client = socket.create_connection(("127.0.0.1", self.port()), 20)
        client.sendall(f"GET {target} HTTP/1.1\r\nhost: h\r\n\r\n".encode())
        return client


@pytest.fixture
def serve() -> Iterator[type[Command]]:
    """Starts the command; whatever still runs afterwards is killed."""
    started: list[Command] = []

    class Tracked(Command):
        def __init__(self, *arguments: str) -> None:
            super().__init__(*arguments)
            started.append(self)

    yield Tracked
    for one in started:
        one.popen.kill()
        one.popen.wait()
        one.output.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_a_signal_and_exits_with_0(serve: type[Command], number: signal.Signals) -> None:
    command = serve("trouble:make()", "--port", "0")
    with command.request() as client:
        assert client.recv(4096).endswith(b"made")
        command.popen.send_signal(number)
        assert command.end() == (0, "")
        assert client.recv(4096) == b""


@pytest.mark.parametrize("arguments", [
    [], ["--port", "0"], ["trouble:classic", "--port", "70000"], ["trouble:classic", "--port", "http"],
    ["trouble:classic", "--lifespan", "maybe"], ["trouble:classic", "--limit", "max_connections=many"],
    ["trouble:classic", "--limit", "nonsense=1", "--port", "0"],
    ["trouble:classic", "--limit", "header_timeout=-1", "--port", "0"],
    ["trouble:classic", "--drain-timeout", "soon"], ["trouble:classic", "--drain-timeout", "-1"],
    ["trouble:classic", "--chdir", "no/such/folder"], ["trouble:classic", "--root-path", "api"],
    ["trouble:classic", "--forwarded-allow-ips", "proxy"], ["trouble:classic", "--forwarded-allow-ips", "10.0.0.0/99"],
])  # fmt: skip
def test_wrong_usage_exits_with_2(serve: type[Command], arguments: list[str]) -> None:
    code, output = serve(*arguments).end()
    assert code == 2
    assert 'Traceback (most recent call last):\n  File "<frozen runpy>' not in output


def test_a_taken_port_exits_with_3(serve: type[Command]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, output = serve("trouble:classic", "--port", str(port)).end()
    assert (code, output) == (
        3,
        f"pytest-fastr: port {port} on 127.0.0.1 is taken by another process; choose another, or 0 for a free one\n",
    ) or (code == 3 and f"pytest-fastr: port {port} on 127.0.0.1 is taken" in output)


@pytest.mark.parametrize(("name", "words"), [
    ("trouble:fails", "pytest-fastr: the application's start-up failed:\nno database"),
    ("trouble:hang", "did you mean 'hangs'?"),
    ("no_such_module:app", "there is no module 'no_such_module'"),
    ("unimportable:app", "raised LookupError: no settings"),
    ("trouble:make", "looks like a factory: write 'trouble:make()'"),
    ("trouble", "names no application: write 'module:attr'"),
])  # fmt: skip
def test_a_start_that_fails_exits_with_1_and_says_why(serve: type[Command], name: str, words: str) -> None:
    code, output = serve(name, "--port", "0").end()
    assert code == 1
    assert words in output


@pytest.mark.parametrize("arguments", [
    ["trouble:hang", "--port", "0"], ["no_such_module:app", "--port", "0"],
    ["trouble:classic", "--uds", "no/such/folder.sock"],
])  # fmt: skip
def test_a_typo_is_one_line(serve: type[Command], arguments: list[str]) -> None:
    code, output = serve(*arguments).end()
    assert (code, output.count("\n")) == (1, 1), output


@pytest.mark.parametrize(("arguments", "environment", "expected"), [
    ([], {}, "('192.0.2.7', 0)"), (["--forwarded-allow-ips", "10.0.0.0/8"], {}, "('127.0.0.1'"),
    (["--workers", "2", "--forwarded-allow-ips", "192.0.2.0/24, *"], {}, "('192.0.2.6', 0)"),
    ([], {"FORWARDED_ALLOW_IPS": "*"}, "('192.0.2.6', 0)"), ([], {"FORWARDED_ALLOW_IPS": ""}, "('127.0.0.1'"),
])  # fmt: skip
def test_only_the_word_of_a_proxy_that_is_trusted_counts(
    serve: type[Command], monkeypatch: pytest.MonkeyPatch, arguments: list[str], environment: dict[str, str],
    expected: str,
) -> None:  # fmt: skip
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    command = serve("workers:app", "--port", "0", *arguments)
    with socket.create_connection(("127.0.0.1", command.port()), 10) as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: h\r\nx-forwarded-for: 192.0.2.6, 192.0.2.7\r\n\r\n")
        assert expected in client.recv(1000).decode()


def test_a_socket_has_no_port(serve: type[Command]) -> None:
    code, output = serve("trouble:classic", "--uds", "a.sock", "--port", "8000").end()
    assert code == 2
    assert "--port: not allowed with argument --uds" in output


def test_the_traceback_of_an_application_begins_in_its_own_code(serve: type[Command]) -> None:
    output = serve("unimportable:app", "--port", "0").end()[1]
    assert re.match(r'Traceback \(most recent call last\):\n  File "[^"]*unimportable\.py"', output)


def test_an_application_without_lifespan_fails_where_one_is_asked_for(serve: type[Command]) -> None:
    code, output = serve("trouble:make()", "--port", "0", "--lifespan", "on").end()
    assert code == 1
    assert "does not support the lifespan protocol: it raised NotImplementedError()" in output


def test_a_signal_during_start_up_ends_it(serve: type[Command]) -> None:
    command = serve("trouble:hangs", "--port", "0")
    command.read_until("about to hang")
    command.popen.terminate()
    code, output = command.end()
    assert code == 1
    assert "stopped before the application's start-up was complete" in output


def test_a_request_that_hangs_is_cut_off_after_the_drain_timeout(serve: type[Command], tmp_path: Path) -> None:
    command = serve("trouble:slow", "--port", "0", "--drain-timeout", "0.2")
    with command.request(f"/?{tmp_path / 'never'}") as client:
        command.read_until("a request has come")
        command.popen.terminate()
        code, output = command.end()
        assert (code, client.recv(4096)) == (0, b"")
    assert "1 connections and 1 requests are cut off after 0.2 s" in output


def test_a_second_signal_does_not_wait_for_the_drain(serve: type[Command], tmp_path: Path) -> None:
    command = serve("trouble:slow", "--port", "0", "--drain-timeout", "600")
    with command.request(f"/?{tmp_path / 'never'}"):
        command.read_until("a request has come")
        command.popen.send_signal(signal.SIGINT)
        command.read_until("waiting for 1 requests, at most 600 s; a second signal cuts them off")
        command.popen.send_signal(signal.SIGINT)
        code, output = command.end()
    assert (code, "are cut off on request" in output) == (0, True)


def test_the_lifeline_ends_it_with_its_parent(serve: type[Command]) -> None:
    reading, writing = os.pipe()
    popen = subprocess.Popen(
        [sys.executable, "-m", "pytest_fastr.serve", "trouble:classic", "--path", str(APPS), "--port", "0",
         "--lifeline-fd", str(reading)],
        pass_fds=(reading,), start_new_session=True, stderr=subprocess.PIPE,
    )  # fmt: skip
    with popen:
        try:
            os.close(reading)
            assert popen.stderr is not None
            assert b"serving on" in popen.stderr.readline()
            os.close(writing)
            assert popen.wait(20) == 0
        finally:
            popen.kill()


def request(port: int, text: str) -> bytes:
    """What is answered to these bytes until the connection closes."""
    with socket.create_connection(("127.0.0.1", port), 20) as client:
        client.sendall(text.encode())
        return b"".join(iter(lambda: client.recv(4096), b""))


def ask_for_three(command: Command) -> str:
    """A request, one that the engine refuses, and one that fails. Returns what the server said until its end."""
    port = command.port()
    request(port, "GET /a?b=1 HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
    request(port, "GET /a HTTP/1.1\r\nhost: a b\r\n\r\n")
    request(port, "GET /raise HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
    command.popen.terminate()
    code, output = command.end()
    assert code == 0
    return output


def test_without_options_only_what_went_wrong_is_said(serve: type[Command]) -> None:
    output = ask_for_three(serve("logs:app", "--port", "0"))
    assert "RuntimeError" in output
    assert "GET /a" not in output
    assert "refused" not in output


def test_log_lines_for_people(serve: type[Command]) -> None:
    output = ask_for_three(serve("logs:app", "--port", "0", "--access-log"))
    assert re.search(
        r"^\d{4}\S+ INFO    pytest_fastr\.access GET /a\?b=1 200 \d+\.\d ms 127\.0\.0\.1:\d+$", output, re.M
    )
    assert re.search(r"INFO    pytest_fastr\.engine request refused method=GET path=/a status=400", output)
    assert re.search(r"ERROR   pytest_fastr\.server Exception in ASGI application", output)
    assert "connection accepted" not in output


def test_log_lines_for_machines(serve: type[Command]) -> None:
    output = ask_for_three(
        serve("logs:app", "--port", "0", "--access-log", "--log-format", "json", "--log-level", "debug")
    )
    lines = [json.loads(line) for line in output.splitlines()]
    by_message = {line["message"]: line for line in lines}
    answered = by_message["GET /a?b=1 200"]
    assert (answered["logger"], answered["level"]) == ("pytest_fastr.access", "info")
    assert (answered["method"], answered["path"], answered["query"], answered["status"]) == ("GET", "/a", "b=1", 200)
    assert answered["duration_ms"] >= 0
    assert by_message["request refused"]["status"] == 400
    failed = next(line for line in lines if "exception" in line)
    assert failed["exception"].splitlines()[0].startswith("Traceback")
    messages = [line["message"] for line in lines]
    assert messages.count("connection accepted") == 3 == messages.count("connection closed")


def test_an_application_that_configures_logging_does_not_silence_the_server(serve: type[Command]) -> None:
    output = ask_for_three(serve("logs:silencing()", "--port", "0", "--access-log"))
    assert "GET /a?b=1 200" in output
