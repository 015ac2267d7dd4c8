"""Placeholders: where they are seen, and how the value is written at each place. What arrives at a server is in
test_scenario.py."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_fastr import load
from pytest_fastr.errors import LoadError
from pytest_fastr.load import holes

SLOTS = {"name": 0, "id": 1}
ANYTHING: Any = 5


def parts_of(request: load.RequestSpec) -> list[bytes | tuple[str, int]]:
    return holes.parts(request.body, SLOTS)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("${name}", [("text", 0)]),
        ("a ${name}-${id}", [b"a ", ("text", 0), b"-", ("text", 1)]),
        ("$5 ${} ${a-b} $name {name} $$", [b"$5 ${} ${a-b} $name {name} $$"]),
        ("$${name}", [b"${name}"]),
        ("$$${name}", [b"$", ("text", 0)]),
        ("$$$${name}", [b"$${name}"]),
    ],
)
def test_a_placeholder_is_a_name_in_braces_and_two_dollars_before_it_are_one(text: str, parts: Any) -> None:
    assert parts_of(load.post("/", data=text)) == parts
    assert parts_of(load.post("/", data=text.encode())) == parts


def test_json_is_written_as_json_whatever_its_content_type_is_called() -> None:
    for kind in ("application/json", "Application/JSON", "text/x-json", "application/vnd.api+json"):
        request = load.post("/", json={"a": "<${name}>", "b": load.var("id")}, headers={"Content-Type": kind})
        assert parts_of(request) == [b'{"a":"<', ("json_text", 0), b'>","b":', ("json_value", 1), b"}"]


def test_text_is_written_as_its_content_type_says() -> None:
    for kind, form in [
        ("application/json; charset=utf-8", "json_text"),
        ("application/ld+json", "json_text"),
        ("Application/x-www-form-urlencoded", "form"),
        ("text/csv", "text"),
    ]:
        assert parts_of(load.post("/", data="${name}", headers={"content-type": kind})) == [(form, 0)]


def test_a_form_is_written_as_a_form_whatever_its_content_type_is_called() -> None:
    request = load.post("/", data={"a": ["${name}", load.var("id")]}, headers={"content-type": "text/plain"})
    assert parts_of(request) == [b"a=", ("form", 0), b"&a=", ("form", 1)]


def test_a_file_name_cannot_end_its_field() -> None:
    body = parts_of(load.post("/", data={"n": ["1", "2"]}, files={"up": ("${name}.txt", b"<${id}>")}))
    assert [part for part in body if isinstance(part, tuple)] == [("field", 0), ("text", 1)]
    assert isinstance(body[0], bytes)
    assert body[0].count(b'name="n"') == 2


def test_a_path_that_is_one_placeholder_is_a_link() -> None:
    for link in (load.get("${name}"), load.get(load.var("name"))):
        assert link.name == "GET ${name}"
        assert holes.parts(link.path.encode(), SLOTS) == [("link", 0)]
    assert holes.parts(load.get("/${name}").path.encode(), SLOTS) == [b"/", ("url", 0)]


def test_a_name_in_reports_shows_placeholders_and_the_query() -> None:
    assert load.get("/orders/${id}", params={"q": "${name}"}).name == "GET /orders/${id}?q=${name}"
    assert load.get("/a b").name == load.build_request("GET", "/a b").name


def test_a_measured_request_has_no_placeholders() -> None:
    request = load.build_request("POST", "/${id}", json={"a": "${name}"})
    assert (request.placeholders, request.body) == ((), b'{"a":"${name}"}')


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: load.get("${id}/a"), r"path '\${id}/a' must start with '/'"),
        (lambda: load.get("$${id}"), r"path '\${id}' must start with '/'"),
        (lambda: load.get("/", headers={"x-${id}": "1"}), r"header name 'x-\${id}'"),
        (lambda: load.get("/", headers={"x": "${id}ж"}), r"value '\${id}ж' must be text in Latin-1"),
    ],
)
def test_a_refusal_shows_placeholders_as_they_were_written(make: Any, words: str) -> None:
    with pytest.raises(LoadError, match=words):
        make()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: load.get("/", auth="ann:secret"), "auth= takes"),
        (lambda: load.get("/", auth=("a:b", "c")), "without a colon"),
        (lambda: load.post("/", files={"a": b""}, headers={"Content-Type": "x/y"}), "content-type out"),
        (lambda: load.post("/", files={"a": ("a", b"", "x\r\ny: z")}), r"files\['a'\]"),
        (lambda: load.post("/", data=[1]), "data= takes a mapping, text or bytes, not list"),
        (lambda: load.post("/", data="\ud800"), "data= cannot be written as UTF-8"),
        (lambda: load.get("/", expect="200"), "expect='200'"),
        (lambda: load.get("/", check=["contains"]), "check= takes .* not 'contains'"),
        (lambda: load.get("/", check=[load.from_json("/a")]), r"check= takes .* not \('json', '/a'\)"),
        (lambda: load.get("/", check=[load.matches("(?=a)")]), "look-around"),
        (lambda: load.build_request("GET", "/", checks=[load.json_has("a")]), "GET /: .* no JSON pointer"),
        (lambda: load.get("/", capture={"a": load.json_is("/a", 1)}), "capture 'a' takes"),
        (lambda: load.get("/", capture={"a": "/a"}), "capture 'a' takes"),
        (lambda: load.get("/", capture={"a": load.from_json("a")}), "no JSON pointer"),
        (lambda: load.get("/", capture=["a"]), "capture= takes a mapping"),
        (lambda: load.contains(ANYTHING), "contains"),
        (lambda: load.scenario(load.get("/"), start=[ANYTHING]), "start= takes requests"),
        (lambda: load.scenario(load.get("/"), feeds=[ANYTHING]), "feeds= takes feeds"),
    ],
)  # fmt: skip
def test_what_is_of_a_wrong_kind_is_refused_where_it_is_written(make: Any, words: str) -> None:
    with pytest.raises(LoadError, match=words) as raised:
        make()
    assert "secret" not in str(raised.value)


def test_one_check_one_start_request_and_one_feed_need_no_list() -> None:
    get = load.get("/${a}", check=load.contains("x"))
    scenario = load.scenario(get, start=load.get("/login"), feeds=load.feed([{"a": 1}]))
    assert get.checks == (("contains", b"x"),)
    assert [one.name for one in scenario.start] == ["GET /login"]
    assert scenario.feeds[0].rows == (("1",),)


def test_a_start_request_takes_values_of_users_and_not_of_flows() -> None:
    feeds = [load.feed([{"name": "ann"}])]
    with pytest.raises(LoadError, match=r"POST /login: takes \$\{name\} from a feed"):
        load.scenario(load.get("/"), start=load.post("/login", json={"name": "${name}"}), feeds=feeds)
    kept = load.feed([{"name": "ann"}], per_user=True)
    load.scenario(load.get("/"), start=load.post("/login", json={"name": "${name}"}), feeds=kept)
    token = load.get("/token", capture={"token": load.from_json("/token")})
    scenario = load.scenario(load.get("/${name}/${token}"), start=[token, load.get("/me/${token}")], feeds=feeds)
    assert [one.name for one in scenario.requests][1:] == ["GET /token", "GET /me/${token}"]
