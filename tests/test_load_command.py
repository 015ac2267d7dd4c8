"""pytest-fastr load: a server is loaded without a test."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from pytest_fastr import Server
from pytest_fastr.cli import main

SEEN: list[tuple[str, str, bytes]] = []


async def app(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    SEEN.append((scope["method"], scope["path"], body))
    status = 404 if scope["path"] == "/missing" else 201 if scope["method"] == "POST" else 200
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def url() -> Iterator[str]:
    SEEN.clear()
    with Server(app, lifespan=False) as server:
        yield server.url


def document(capsys: pytest.CaptureFixture[str], *args: str, code: int = 0) -> dict[str, Any]:
    """Runs the command and reads the JSON that it prints."""
    assert main(["load", *args, "--json", "-"]) == code
    read: dict[str, Any] = json.loads(capsys.readouterr().out)
    return read


def test_a_number_of_requests_is_sent_exactly(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    result = document(capsys, f"{url}/items", "--users", "3", "--requests", "200")
    assert result["requests"] == 200
    assert result["outcomes"] == {"ok": 200}
    assert result["errors"] == 0
    assert len(SEEN) == 200
    assert result["rps"] == pytest.approx(200 / result["duration_s"])
    for times in (result["service_time_us"], result["response_time_us"]):
        assert times["count"] == 200
        assert 0 < times["p50"] <= times["p90"] <= times["max"]
        assert times["p999"] is None  # no ten answers lie beyond it
        assert times["hdr_v2"].startswith("HISTFAA")
    assert result["open_loop"] is False
    assert "closed-loop" in [note["code"] for note in result["validity"]]


def test_at_a_rate_every_request_of_the_schedule_is_sent(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    result = document(capsys, url, "--rate", "200", "--duration", "500ms", "--users", "4")
    assert result["scheduled"] == 100
    assert result["requests"] == 100
    assert result["queue"]["dropped"] == 0
    assert result["open_loop"] is True
    assert sum(result["series"]["ok"]) == 100
    assert len(SEEN) == 100


def test_stages_last_as_long_as_they_say_and_send_their_area(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    result = document(capsys, url, "--rate", "0", "--stages", "400ms:200,200ms:200", "--users", "4")
    assert result["scheduled"] == pytest.approx(80)
    assert result["requests"] == 80


def test_users_can_come_in_stages(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    result = document(capsys, url, "--stages", "200ms:3,100ms:0", "--think", "5ms")
    assert result["shape"].startswith("closed loop, up to 3 users")
    assert result["requests"] > 10


def test_a_body_is_posted_from_text_or_file(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "body.json"
    file.write_bytes(b'{"a": 1}')
    header = ("--header", "content-type: application/json")
    document(capsys, f"{url}/orders", "--body", f"@{file}", *header, "--expect", "201", "--requests", "2")
    document(capsys, f"{url}/orders", "--body", "plain", "--method", "put", "--requests", "1", "--users", "1")
    assert SEEN == [("POST", "/orders", b'{"a": 1}')] * 2 + [("PUT", "/orders", b"plain")]


def test_without_keep_alive_every_request_connects(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    result = document(capsys, url, "--requests", "20", "--users", "2", "--no-keep-alive")
    assert result["connect_time_us"]["count"] == 20


def test_errors_fail_the_command_and_are_told_by_their_kind(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["load", f"{url}/missing", "--requests", "20"]) == 1
    out = capsys.readouterr().out
    assert "20 x 404 Not Found" in out
    assert "nothing was measured" in out
    result = document(capsys, f"{url}/missing", "--requests", "5", "--users", "1", "--expect", "404")
    assert result["errors"] == 0


def test_a_broken_limit_fails_the_command_and_a_kept_one_does_not(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    kept = ("--limit", "p50<1m", "--limit", "errors<1%")
    assert main(["load", url, "--requests", "50", *kept]) == 0
    assert "p50<1m: kept" in capsys.readouterr().out
    assert main(["load", url, "--requests", "50", "--limit", "p50<1us"]) == 1
    assert "p50<1us: broken" in capsys.readouterr().out
    assert main(["load", url, "--requests", "50", "--limit", "p999<1m"]) == 0
    assert "p999<1m: kept, at most" in capsys.readouterr().out
    assert main(["load", url, "--requests", "50", "--limit", "p999<1us"]) == 1
    assert "too short to tell" in capsys.readouterr().out


def test_where_nobody_listens_the_run_is_void(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert main(["load", f"http://127.0.0.1:{port}/", "--users", "1", "--duration", "30s"]) == 1
    out = capsys.readouterr().out
    assert "connection refused" in out
    assert "no connection could be made" in out


def test_too_many_errors_end_the_run(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    abort = ("--abort-errors", "10%", "--abort-grace", "100ms")
    result = document(capsys, f"{url}/missing", "--rate", "100", "--duration", "60s", *abort, code=1)
    assert result["ended_early"] == "error_rate"
    assert result["duration_s"] < 30


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--rate", "5", "--think", "1s"], "--think"),
        (["--poisson"], "--rate"),
        (["--rate", "-1"], "above 0"),
        (["--rate", "0"], "above 0"),
        (["--rate", "nan"], "above 0"),
        (["--users", "0"], "--users"),
        (["--requests", "0"], "--requests"),
        (["--requests", "5", "--duration", "1s"], "not both"),
        (["--duration", "5x"], "--duration"),
        (["--header", "nonsense"], "NAME: VALUE"),
        (["--header", "a b: c"], "not allowed"),
        (["--body", "@/no/such/file"], "No such file"),
        (["--limit", "speed>5"], "unknown metric"),
        (["--stages", "5"], "TIME:TARGET"),
        (["--think", "2s-1s"], "longer than the second"),
        (["--abort-errors", "200%"], "share"),
        (["--expect", "99"], "status code"),
        (["--rate", "1e9"], "at most 1,000,000"),
        (["--stages", "1s:2e6", "--rate", "1"], "TIME:TARGET"),
        (["--limit", "errors<101%"], "100 %"),
        (["--check", "ok"], "KIND:WHAT"),
        (["--check", "sha256:12"], "64_HEX_DIGITS"),
        (["--check", "status:200"], "known are"),
        (["--check", "matches:("], "regular expression"),
        (["--check", "json:a=1"], "--check 'json:a=1': "),
        (["--check-every", "0", "--check", "bytes:2"], "--check-every"),
        (["--check-every", "3"], "give a --check too"),
        (["--insecure"], "belong to an https URL"),
        (["--insecure", "--cacert", "x"], "not both"),
        (["--auth", "a:b", "--header", "Authorization: c"], "not both"),
        (["--auth", "me"], "USER:PASSWORD"),
        (["--pid", "0"], "no such process"),
        (["--until", "p98:5%"], "p99:5%"),
        (["--until", "p99:0%"], "smallest"),
        (["--until", "rps:1%", "--requests", "5"], "not both"),
        (["--find-rate"], "needs a --limit"),
        (["--find-rate", "--limit", "p99<1s", "--rate", "5"], "leave --rate out"),
        (["--scenario", "nowhere.py:it"], "no such file"),
        (["--scenario", "nowhere"], "FILE.py:NAME"),
        (["--scenario", "a.py:b", "--body", "x"], "--body belongs to a single request"),
        (["--cacert", "/no/such/file"], "https URL"),
        (["--users", "10000000"], "ulimit -n"),
    ],
)
def test_a_mistake_is_named_and_nothing_is_sent(
    url: str, args: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["load", url, *args]) == 2
    assert words in capsys.readouterr().err
    assert SEEN == []


def test_another_machine_is_not_loaded_unless_told_to(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["load", "http://192.0.2.1/"]) == 2
    assert "--allow-remote" in capsys.readouterr().err


def test_the_result_goes_into_a_file_beside_the_text(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "result.json"
    assert main(["load", url, "--requests", "10", "--json", str(file)]) == 0
    assert json.loads(file.read_text())["requests"] == 10
    assert "requests   10" in capsys.readouterr().out


def test_a_result_that_cannot_be_written_is_refused_before_the_run(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["load", url, "--requests", "10", "--json", str(tmp_path / "no" / "where.json")]) == 2
    assert "--json" in capsys.readouterr().err
    assert SEEN == []


def test_users_that_never_come_are_refused(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["load", url, "--stages", "1s:0"]) == 2
    assert "number of users is 0" in capsys.readouterr().err


def test_the_text_fits_a_narrow_terminal(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for columns in (100, 66, 44, 30):
        monkeypatch.setenv("COLUMNS", str(columns))
        assert main(["load", url, "--rate", "300", "--duration", "400ms"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= columns
        assert any(line.startswith("response") for line in lines)


def test_answers_are_checked_and_told_by_what_does_not_hold(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    good = (
        "--check",
        "contains:o",
        "--check",
        "matches:^ok$",
        "--check",
        "bytes:2",
        "--check",
        "header:content-length=2",
    )
    assert document(capsys, url, "--requests", "10", *good)["errors"] == 0
    result = document(capsys, url, "--requests", "10", "--check", "json:/ok=true", code=1)
    assert result["outcomes"] == {"check_failed": 10}
    assert result["failure_details"] == {"check_failed": {'the JSON value at "/ok" is true': 10}}
    result = document(capsys, url, "--requests", "10", "--check", "contains:no", "--check-every", "5", code=1)
    assert result["outcomes"] == {"ok": 8, "check_failed": 2}


def test_a_scenario_of_a_file_is_played(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "helper.py").write_text("PATH = '/b'\n")
    file = tmp_path / "flows.py"
    file.write_text(
        "from helper import PATH\nfrom pytest_fastr import load\n"
        "shop = load.scenario(load.flow(load.get('/a'), load.get(PATH), name='both'), load.get('/missing'))\n"
        "other = 5\n"
    )
    result = document(capsys, url, "--scenario", f"{file}:shop", "--requests", "9", "--users", "1", code=1)
    assert [path for _, path, _ in SEEN] == ["/a", "/b", "/missing"] * 3
    assert {name: one["requests"] for name, one in result["by_request"].items()} == {
        "GET /a": 3, "GET /b": 3, "GET /missing": 3,
    }  # fmt: skip
    assert result["flows"][0] == {"name": "both", "completed": 3, "failed": 0, "cut": 0}
    for name, words in (("other", "a int of that name"), ("nobody", "no such name")):
        assert main(["load", url, "--scenario", f"{file}:{name}"]) == 2
        assert words in capsys.readouterr().err
    for text, words in (("a = 1\n1 / 0", ":2 fails with ZeroDivisionError"), ("import sys; sys.exit(3)", "SystemExit")):
        file.write_text(text)
        assert main(["load", url, "--scenario", f"{file}:shop"]) == 2
        assert words in capsys.readouterr().err


def test_a_run_that_never_comes_to_a_request_is_void(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "flows.py"
    file.write_text(
        "from pytest_fastr import load\ns = load.scenario(load.flow(load.get('/a'), load.get('/b'), pause='30s'))"
    )
    assert main(["load", url, "--scenario", f"{file}:s", "--duration", "200ms", "--users", "2"]) == 1
    out = capsys.readouterr().out
    assert "ended before it came to GET /b" in out
    assert "2 cut short by the end" in out


def test_a_server_that_closes_without_an_answer_is_not_passed_over(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                peer, _ = listener.accept()
                with peer:
                    peer.recv(4096)
                    peer.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                    if not peer.recv(4096):
                        return

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        result = document(capsys, url, "--users", "1", "--requests", "10")
        thread.join(10)
    assert not thread.is_alive()
    assert result["outcomes"] == {"ok": 10}
    assert result["resent"] == 9
    assert "resent" in [note["code"] for note in result["validity"]]


def test_a_run_ends_when_it_knows_enough(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    result = document(capsys, url, "--until", "rps:90%", "--duration", "60s", "--users", "2")
    assert result["precision"] <= 0.9
    assert result["duration_s"] < 30
    result = document(capsys, url, "--until", "p99:0.2%", "--duration", "0.3", "--users", "2")
    assert [note["code"] for note in result["validity"] if note["level"] == "warn"].count("precision") == 1


def test_the_highest_rate_that_keeps_the_limits_is_searched(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    args = ("--find-rate", "--duration", "200ms", "--users", "4")
    result = document(capsys, url, *args, "--limit", "max<1us", code=1)
    assert not any(step["kept"] for step in result["search"])
    assert result["search"][-1]["rate"] == 1.0
    rates = [step["rate"] for step in result["search"]]
    assert rates == sorted(rates, reverse=True)


def test_the_server_s_cost_is_known_by_its_process(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    result = document(capsys, url, "--requests", "200", "--pid", str(os.getpid()))
    assert result["server"]["cpu_us_per_request"] > 0
    assert result["server"]["peak_rss_bytes"] > 0
    assert document(capsys, url, "--requests", "20")["server"]["cpu_us_per_request"] is None


@pytest.fixture
def https(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The URL of an https server, and the certificate to trust."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with ThreadingHTTPServer(("127.0.0.1", 0), Hello) as server:
        server.daemon_threads = True
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"https://localhost:{server.server_port}/", str(tmp_path / "ca.pem")
        server.shutdown()
        thread.join()


class Hello(BaseHTTPRequestHandler):
    """Answers every request with a kilobyte, on connections that stay open."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:  # the name that http.server asks for
        self.send_response(200)
        self.send_header("content-length", "1000")
        self.end_headers()
        self.wfile.write(b"x" * 1000)

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_https_is_loaded_from_a_server_that_proves_its_name(
    https: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    url, trusted = https
    for extra in ((), ("--no-keep-alive",)):
        result = document(
            capsys, url, "--users", "2", "--requests", "40", "--cacert", trusted, "--check", "bytes:1000", *extra
        )
        assert result["outcomes"] == {"ok": 40}
        assert result["transport"] == "tls"
        assert result["connect_time_us"]["count"] == (40 if extra else 2)
    assert document(capsys, url, "--users", "2", "--requests", "10", "--insecure")["outcomes"] == {"ok": 10}


def test_another_name_than_the_certificate_s_is_a_failure_with_a_hint(
    https: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    url, trusted = https
    address = url.replace("localhost", "127.0.0.1")
    assert main(["load", address, "--users", "1", "--requests", "1", "--cacert", trusted]) == 1
    assert "the URL must have a name that the certificate has" in " ".join(capsys.readouterr().out.split())


def test_a_certificate_of_a_stranger_is_not_trusted(
    https: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, _ = https
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "stranger.pem"))
    assert main(["load", url, "--users", "1", "--requests", "1", "--cacert", str(tmp_path / "stranger.pem")]) == 1
    assert "TLS failed: invalid peer certificate: UnknownIssuer" in capsys.readouterr().out
    (tmp_path / "no.pem").write_text("nothing")
    assert main(["load", url, "--requests", "1", "--cacert", str(tmp_path / "no.pem")]) == 2
    assert "no certificate" in capsys.readouterr().err


def test_a_unix_socket_is_loaded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "app.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                while peer.recv(4096):
                    peer.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http+unix://{str(path).replace('/', '%2F')}/"
        result = document(capsys, url, "--users", "1", "--requests", "25")
        thread.join(10)
    assert not thread.is_alive()
    assert result["transport"] == "unix"
    assert result["outcomes"] == {"ok": 25}


def interrupted(url: str, *args: str) -> tuple[bytes, bytes]:
    """Output and errors of the command, which gets Ctrl-C at the first request."""
    command = [sys.executable, "-m", "pytest_fastr.cli", "load", url, *args]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ}) as process:
        try:
            while not SEEN:
                assert process.poll() is None
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 130, err
    return out, err


def test_ctrl_c_ends_a_run_with_the_result_so_far(url: str) -> None:
    out, _ = interrupted(url, "--duration", "60s", "--users", "2")
    assert b"requests" in out
    # What was in flight is no failure of the server.
    assert b", 0 failed," in out


def test_ctrl_c_before_the_load_begins_says_that_nothing_was_measured(url: str) -> None:
    out, err = interrupted(url, "--warm-up", "60s")
    assert out == b""
    assert err == b"pytest-fastr: stopped before the load began; nothing was measured\n"


def test_without_a_drain_what_is_not_over_at_the_end_is_unfinished(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        result = document(capsys, url, "--rate", "10", "--users", "1", "--duration", "300ms", "--drain", "0", code=1)
    assert result["outcomes"] == {"unfinished": 3}
    assert result["duration_s"] < 5
