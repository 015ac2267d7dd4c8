"""The ASGI scope is uvicorn's, for odd request targets too.

Left out of the comparison: ``client``, ``server`` (the ports differ) and ``state`` (uvicorn passes an empty one to
applications without a lifespan; here there is none).

Deliberate differences, each tested below:

* Fields of one name stand together, in the order of their first: the engine's header table keeps the order within a
  name, which is the order that has a meaning (RFC 9110, 5.3).
* A target that is no path, such as CONNECT's, is refused with 400. An absolute one without a path means ``/``
  (RFC 9110, 4.2.3); uvicorn answers 400.
* Unknown methods reach the application; uvicorn's parser answers 400.
* In `X-Forwarded-For` what is no address is no client; uvicorn passes any word on.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

import pytest

HOST = b"host: h\r\n"

HEADS = {
    "root": b"GET / HTTP/1.1\r\n",
    "query": b"GET /a?b=c&d=%20+e HTTP/1.1\r\n",
    "empty query": b"GET /a? HTTP/1.1\r\n",
    "only a query": b"GET /?? HTTP/1.1\r\n",
    "question mark in the query": b"GET /a?b?c HTTP/1.1\r\n",
    "space": b"GET /a%20b HTTP/1.1\r\n",
    "escaped slash": b"GET /a%2Fb%2fc HTTP/1.1\r\n",
    "escaped percent": b"GET /100%25 HTTP/1.1\r\n",
    "twice escaped": b"GET /a%2520b HTTP/1.1\r\n",
    "stray percent": b"GET /50%/x%zz/%4 HTTP/1.1\r\n",
    "utf-8": b"GET /caf%C3%A9/%E2%82%AC/%F0%9F%98%80 HTTP/1.1\r\n",
    "no utf-8": b"GET /%ff/%C3%28/%E2%82 HTTP/1.1\r\n",
    "null byte": b"GET /a%00b HTTP/1.1\r\n",
    "line break": b"GET /a%0d%0ab HTTP/1.1\r\n",
    "dots": b"GET /a/../b/./c HTTP/1.1\r\n",
    "double slash": b"GET //a//b// HTTP/1.1\r\n",
    "semicolon": b"GET /a;b=c/d;e HTTP/1.1\r\n",
    "plus": b"GET /a+b HTTP/1.1\r\n",
    "sub-delimiters": b"GET /~!$&'()*+,;=:@ HTTP/1.1\r\n",
    "braces": b"GET /{a}[b] HTTP/1.1\r\n",
    "quote": b'GET /"a" HTTP/1.1\r\n',
    "absolute form": b"GET http://other.example:81/a%20b?c=d HTTP/1.1\r\n",
    "asterisk": b"OPTIONS * HTTP/1.1\r\n",
    "fragment": b"GET /a#b HTTP/1.1\r\n",
    "fragment behind a query": b"GET /a?b#c HTTP/1.1\r\n",
    "long": b"GET /" + b"a" * 4000 + b"?" + b"b" * 4000 + b" HTTP/1.1\r\n",
    "http/1.0": b"GET /a HTTP/1.0\r\n",
    "delete": b"DELETE /a HTTP/1.1\r\n",
    "patch": b"PATCH /a HTTP/1.1\r\ncontent-length: 0\r\n",
    "a method of WebDAV": b"PROPFIND /a HTTP/1.1\r\n",
    "header case": b"GET / HTTP/1.1\r\nX-MiXeD-Case: VaLuE\r\n",
    "header bytes": b"GET / HTTP/1.1\r\nx-latin: caf\xe9\r\nx-utf8: \xc3\xa9\r\n",
    "empty header": b"GET / HTTP/1.1\r\nx-empty:\r\nx-blank:   \r\n",
    "header order": b"GET / HTTP/1.1\r\nb: 1\r\na: 2\r\nc: 3\r\n",
    "repeated header": b"GET / HTTP/1.1\r\ncookie: a=1\r\ncookie: b=2\r\nx-last: 1\r\n",
    "underscore": b"GET / HTTP/1.1\r\nx_under: 1\r\n",
    "forwarded for": b"GET / HTTP/1.1\r\nx-forwarded-for: 192.0.2.7\r\n",
    "forwarded for by two": b"GET / HTTP/1.1\r\nx-forwarded-for: 192.0.2.6, 192.0.2.7\r\n",
    "forwarded by ourselves": b"GET / HTTP/1.1\r\nx-forwarded-for: 192.0.2.6, 127.0.0.1\r\n",
    "forwarded for IPv6": b"GET / HTTP/1.1\r\nx-forwarded-for: 2001:db8::7\r\n",
    "forwarded for twice": b"GET / HTTP/1.1\r\nx-forwarded-for: 192.0.2.6\r\nx-forwarded-for: 127.0.0.1\r\n",
    "forwarded for in brackets": b"GET / HTTP/1.1\r\nx-forwarded-for: [2001:db8::7]\r\n",
    "forwarded for nobody": b"GET / HTTP/1.1\r\nx-forwarded-for:\r\n",
    "forwarded proto": b"GET / HTTP/1.1\r\nx-forwarded-proto: https\r\n",
    "forwarded proto http": b"GET / HTTP/1.1\r\nx-forwarded-proto: http\r\nx-forwarded-for: 192.0.2.7\r\n",
    "forwarded proto twice": b"GET / HTTP/1.1\r\nx-forwarded-proto: https\r\nx-forwarded-proto: http\r\n",
    "forwarded nonsense": b"GET / HTTP/1.1\r\nx-forwarded-proto: gopher\r\n",
}


@pytest.fixture
def scopes(both_servers: Callable[..., tuple[int, int]], ask: Callable[..., Any]) -> Callable[..., list[Any]]:
    def both(head: bytes, root_path: str = "") -> list[Any]:
        answers = [ask(port, head + HOST + b"\r\n") for port in both_servers("scope_echo:app", root_path)]
        return [ast.literal_eval(one.body.decode()) if one.status == 200 else one.status for one in answers]

    return both


@pytest.mark.parametrize("name", HEADS)
def test_the_scope_is_uvicorns(scopes: Callable[..., list[Any]], name: str) -> None:
    oracle, ours = scopes(HEADS[name])
    assert ours == oracle


@pytest.mark.parametrize("name", ["root", "query", "utf-8", "escaped slash", "absolute form"])
def test_the_scope_behind_a_prefix_is_uvicorns(scopes: Callable[..., list[Any]], name: str) -> None:
    oracle, ours = scopes(HEADS[name], "/api/v1")
    assert ours == oracle
    assert ours["root_path"] == "/api/v1"


def test_fields_of_one_name_stand_together(scopes: Callable[..., list[Any]]) -> None:
    oracle, ours = scopes(b"GET / HTTP/1.1\r\na: 1\r\nb: 2\r\na: 3\r\n")
    assert oracle["headers"][:3] == [(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]
    assert ours["headers"][:3] == [(b"a", b"1"), (b"a", b"3"), (b"b", b"2")]


def test_a_forwarded_client_is_an_address(scopes: Callable[..., list[Any]]) -> None:
    oracle, ours = scopes(b"GET / HTTP/1.1\r\nx-forwarded-for: 192.0.2.6, unknown\r\n")
    assert (oracle["client"], ours.get("client")) == (("unknown", 0), None)


@pytest.mark.parametrize("head", [b"CONNECT h:80 HTTP/1.1\r\n", b"GET a HTTP/1.1\r\n"])
def test_a_target_without_a_path_is_refused(scopes: Callable[..., list[Any]], head: bytes) -> None:
    assert scopes(head)[1] == 400


def test_an_absolute_target_without_a_path_means_the_root(scopes: Callable[..., list[Any]]) -> None:
    oracle, ours = scopes(b"GET http://other.example HTTP/1.1\r\n")
    assert (oracle, ours["path"], ours["raw_path"]) == (400, "/", b"/")


def test_an_unknown_method_reaches_the_application(scopes: Callable[..., list[Any]]) -> None:
    oracle, ours = scopes(b"BREW /pot HTTP/1.1\r\n")
    assert (oracle, ours["method"]) == (400, "BREW")
