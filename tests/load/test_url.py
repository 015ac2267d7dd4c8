"""URLs that may be loaded, and the words for those that may not."""

from __future__ import annotations

import pytest

from pytest_fastr.errors import LoadError
from pytest_fastr.load.url import Tls, parse_target


def test_a_loopback_url_is_resolved_and_keeps_its_host_and_query() -> None:
    target = parse_target("http://127.0.0.1:8123/items?a=1&b=%20")
    assert (target.address, target.port) == ("127.0.0.1", 8123)
    assert (target.host, target.path, target.transport) == ("127.0.0.1:8123", "/items?a=1&b=%20", "tcp")


def test_without_path_and_port_they_are_the_usual_ones() -> None:
    target = parse_target("http://localhost")
    assert (target.path, target.port, target.host) == ("/", 80, "localhost")
    assert parse_target("http://[::1]:99").address == "::1"


def test_https_asks_the_server_to_prove_its_name() -> None:
    target = parse_target("https://localhost/items", roots=b"pem")
    assert (target.port, target.transport) == (443, "tls")
    assert target.tls == Tls("localhost", b"pem", True)
    unverified = parse_target("https://127.0.0.1:8443/", verify=False).tls
    assert unverified is not None
    assert not unverified.verify


def test_a_unix_socket_is_named_by_its_encoded_path() -> None:
    target = parse_target("http+unix://%2Frun%2Fapp.sock/items")
    assert (target.address, target.port, target.path, target.transport) == ("/run/app.sock", None, "/items", "unix")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("127.0.0.1:8000/", "scheme"),
        ("ftp://127.0.0.1/", "scheme 'ftp'"),
        ("http://", "names no host"),
        ("http://127.0.0.1:99999/", "no URL"),
        ("http+unix://run%2Fapp.sock/", "no absolute path"),
        ("http://me:secret@127.0.0.1/", "--header"),
        ("http://no-such-host.invalid/", "cannot be resolved"),
        ("http://192.0.2.1/", "--allow-remote"),
    ],
)
def test_what_cannot_be_loaded_is_refused_with_the_way_out(url: str, words: str) -> None:
    with pytest.raises(LoadError, match=words) as raised:
        parse_target(url)
    assert "secret" not in str(raised.value)


def test_another_machine_is_loaded_when_that_was_said() -> None:
    assert parse_target("http://192.0.2.1/", allow_remote=True).address == "192.0.2.1"
