"""Scenarios against a real server: what arrives there, and what comes of it."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_fastr import Server, load
from pytest_fastr.errors import ConfigError, LoadError
from pytest_fastr.load.result import LoadReport
from pytest_fastr.load.run import LoadPlan, run_plan
from pytest_fastr.load.shape import Closed, Open, Shape
from pytest_fastr.load.url import parse_target

# Of {"ok": true}.
HASH = "6bc0da1f42f96fc37b8bd7ed20ba57606d2a0da5cda2b135c7854fbdc985b8a3"


class Shop:
    """Answers by its path, and keeps every request as it came."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.tokens: dict[str, int] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while (message := await receive()).get("more_body"):
            body += message["body"]
        body += message.get("body", b"")
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        request = {
            "method": scope["method"],
            "target": scope["raw_path"].decode()
            + ("?" + scope["query_string"].decode() if scope["query_string"] else ""),
            "headers": headers,
            "body": body,
            "peer": scope["client"],
        }
        self.seen.append(request)
        status, answer, extra = self.answer(request)
        content = json.dumps(answer).encode()
        fields = [(b"content-length", str(len(content)).encode()), (b"content-type", b"application/json"), *extra]
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": content})

    def answer(self, request: dict[str, Any]) -> tuple[int, Any, list[tuple[bytes, bytes]]]:
        path, headers = request["target"].partition("?")[0], request["headers"]
        if path == "/login":
            token = f't-{len(self.tokens)} &"ü'
            self.tokens[token] = 0
            return 200, {"token": token, "id": len(self.tokens), "deep": [{"ok": True}]}, [
                (b"x-session", f"s{len(self.tokens)}".encode()), (b"set-cookie", b"sid=abc; Path=/; HttpOnly"),
            ]  # fmt: skip
        if path == "/items":
            token = headers.get("authorization", "").removeprefix("Bearer ").encode("latin-1").decode()
            if token not in self.tokens:
                return 401, {"detail": "no such token"}, []
            self.tokens[token] += 1
            return 200, {"items": [{"id": 7}], "count": 3}, []
        if path == "/fails":
            return 500, {}, []
        return 200, {"ok": True}, []

    def targets(self) -> list[str]:
        return [request["target"] for request in self.seen]


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def url(shop: Shop) -> Iterator[str]:
    with Server(shop, lifespan=False) as server:
        yield server.url


def run(url: str, scenario: load.Scenario, count: int, users: int = 1, shape: Shape | None = None) -> LoadReport:
    return run_plan(LoadPlan(scenario, shape or Closed(users), count=count), parse_target(url))


def test_a_value_goes_from_an_answer_to_the_next_request_of_the_same_user(shop: Shop, url: str) -> None:
    login = load.post("/login", json={"name": "${name}"}, capture={"token": load.from_json("/token")})
    items = load.get("/items", headers={"authorization": "Bearer ${token}"}, check=[load.json_is("/count", 3)])
    names = load.feed([{"name": name} for name in ("ann", "bob", "eve", "nobody")], per_user=True)
    report = run(url, load.scenario(items, start=[login], feeds=[names]), 60, users=3)
    assert (report.ok, report.errors) == (60, 0)
    logins = [json.loads(request["body"])["name"] for request in shop.seen if request["target"] == "/login"]
    assert sorted(logins) == ["ann", "bob", "eve"]
    assert sorted(shop.tokens.values()) == [20, 20, 20]
    assert report.requests == sum(shop.tokens.values())


def test_a_link_of_an_answer_is_followed_on_the_server_that_is_loaded(shop: Shop, url: str) -> None:
    rows = [{"next": link} for link in ("https://shop.example/items?page=2#end", "/items?page=3", "items")]
    report = run(url, load.scenario(load.get("${next}", expect=None), feeds=[load.feed(rows)]), 3)
    assert report.requests == 3
    assert [request["target"] for request in shop.seen] == ["/items?page=2", "/items?page=3", "/items"]


def test_every_place_of_a_request_takes_values_and_writes_them_as_it_must(shop: Shop, url: str) -> None:
    nasty = 'a b&"\\/é\n'
    rows = [{"who": nasty, "number": 7, "flag": True, "raw": b"\x00\xff"}]
    scenario = load.scenario(
        load.flow(
            load.post("/login", capture={"id": load.from_json("/id"), "session": load.from_header("x-session"),
                                         "tag": load.from_body(r'"ok": (\w+)')}),
            load.post("/orders/${who}/x", params={"q": "${who}", "n": load.var("number")},
                      headers={"x-who": "<${who}>"}, name="json",
                      json={"id": load.var("id"), "text": "no ${id} $${id} ${who}", "who": load.var("who"),
                            "list": [load.var("flag"), "${flag}"], "${session}": "${tag}"}),
            load.post("/form", data={"who": "${who}", "id": load.var("id")}, name="form"),
            load.post("/raw", data=b"\x01${raw}\x02$", name="raw"),
            load.post("/files", name="files", data={"note": "${who}"},
                      files={"up": ("a.txt", b"<${who}>", "text/plain")}),
            load.get("/auth", auth=("${who}", "p${number}"), name="auth"),
        ),
        feeds=[load.feed(rows)],
    )  # fmt: skip
    report = run(url, scenario, 6)
    assert report.errors == 0, report.details
    _, as_json, form, raw, files, auth = shop.seen
    encoded = "a%20b%26%22%5C%2F%C3%A9%0A"
    assert as_json["target"] == f"/orders/{encoded}/x?q={encoded}&n=7"
    assert as_json["headers"]["x-who"].encode("latin-1").decode() == '<a b&"\\/é >'
    assert json.loads(as_json["body"]) == {
        "id": 1, "text": f"no 1 ${{id}} {nasty}", "who": nasty, "list": [True, "true"], "s1": "true",
    }  # fmt: skip
    assert form["body"].decode() == "who=" + encoded.replace("%20", "+") + "&id=1"
    assert raw["body"] == b"\x01\x00\xff\x02$"
    assert nasty.encode() in files["body"]
    assert f"<{nasty}>".encode() in files["body"]
    assert files["headers"]["content-type"].startswith("multipart/form-data; boundary=")
    assert int(files["headers"]["content-length"]) == len(files["body"])
    assert auth["headers"]["authorization"] == "Basic " + base64.b64encode(f"{nasty}:p7".encode()).decode()


def test_a_mix_is_exact_and_told_apart_by_name(shop: Shop, url: str) -> None:
    scenario = load.scenario(load.flow(load.get("/a"), weight=3), load.get("/b"), load.get("/fails"))
    report = run(url, scenario, 50, users=4)
    assert Counter(shop.targets()) == {"/a": 30, "/b": 10, "/fails": 10}
    by_name = {one.name: (one.requests, one.errors) for one in report.by_request}
    assert by_name == {"GET /a": (30, 0), "GET /b": (10, 0), "GET /fails": (10, 10)}
    assert report.by_request[2].statuses == {500: 10}
    assert sum(one.response.count for one in report.by_request) == report.response.count


def test_a_flow_ends_at_its_first_failure(shop: Shop, url: str) -> None:
    scenario = load.scenario(load.flow(load.get("/a"), load.get("/fails"), load.get("/never"), name="trip"))
    report = run(url, scenario, 10)
    assert Counter(shop.targets()) == {"/a": 5, "/fails": 5}
    assert [(flow.name, flow.completed, flow.failed) for flow in report.flows] == [("trip", 0, 5)]


def test_cookies_stay_with_their_user_and_only_where_they_are_wanted(shop: Shop, url: str) -> None:
    steps = (load.post("/login"), load.get("/next"))
    run(url, load.scenario(load.flow(*steps), cookies=True), 4)
    assert [request["headers"].get("cookie") for request in shop.seen] == [None, "sid=abc", "sid=abc", "sid=abc"]
    shop.seen.clear()
    run(url, load.scenario(load.flow(*steps)), 4)
    assert not any("cookie" in request["headers"] for request in shop.seen)


def test_what_does_not_hold_is_counted_in_words(url: str) -> None:
    scenario = load.scenario(
        load.get("/a", check=[load.contains("true"), load.json_is("/ok", False)]),
        load.get("/b", check=[load.header_is("content-type", "text/html")]),
        load.get("/c", capture={"token": load.from_json("/token")}),
        load.get("/d", check=[load.body_bytes(12), load.body_hash(HASH),
                              load.header_has("content-length"), load.matches("^.{3}k"), load.json_has("/ok")]),
    )  # fmt: skip
    report = run(url, scenario, 8)
    assert report.details["check_failed"] == {
        'the JSON value at "/ok" is false': 2,
        'the header content-type is "text/html"': 2,
        'there is a JSON value at "/token" to capture': 2,
    }
    assert report.outcomes == {"ok": 2, "check_failed": 6}


def test_only_every_so_manieth_answer_is_checked(url: str) -> None:
    report = run(url, load.scenario(load.get("/a", check=[load.contains("nothing")], look_every=5)), 20)
    assert report.outcomes == {"ok": 16, "check_failed": 4}


def test_a_start_that_fails_is_said_and_nothing_is_loaded(shop: Shop, url: str) -> None:
    with pytest.raises(LoadError, match='"GET /fails" failed: expected status 200, got 500'):
        run(url, load.scenario(load.get("/a"), start=[load.get("/fails")]), 5)
    assert "/a" not in shop.targets()


def test_a_rate_is_of_flows(shop: Shop, url: str) -> None:
    flow = load.flow(load.get("/a"), load.get("/b"), pause="1ms-2ms")
    report = run_plan(LoadPlan(load.scenario(flow), Open(200.0, 10), duration_s=0.5), parse_target(url))
    assert report.scheduled == 100
    assert report.errors == 0
    # A flow that is under way at the end is cut short.
    counts = Counter(shop.targets())
    assert counts["/a"] == 100
    assert 90 <= counts["/b"] <= 100
    assert report.requests == sum(counts.values())


def test_feeds_give_each_flow_its_row(shop: Shop, url: str, tmp_path: Path) -> None:
    names = tmp_path / "names.csv"
    names.write_text('name,quote\r\nann,"a ""b"", c"\nbob,\n\n', encoding="utf-8-sig")
    lines = tmp_path / "lines.jsonl"
    lines.write_text('{"size": 1.5}\n\n{"size": null}\n{"size": [1]}\n')
    scenario = load.scenario(
        load.get("/${name}/${size}?${quote}", name="one"), feeds=[load.csv(names), load.json_lines(lines)]
    )
    run(url, scenario, 6)
    quote = "a%20%22b%22%2C%20c"
    assert shop.targets() == [f"/ann/1.5?{quote}", "/bob/null", f"/ann/%5B1%5D?{quote}",
                              "/bob/1.5", f"/ann/null?{quote}", "/bob/%5B1%5D"]  # fmt: skip


def test_a_shuffled_feed_uses_all_its_rows_by_the_seed(shop: Shop, url: str) -> None:
    feed = load.feed(({"n": n} for n in range(50)), shuffled=True)
    scenario = load.scenario(load.get("/${n}", name="one"), feeds=[feed])
    taken = []
    for seed in (1, 1, 2):
        shop.seen.clear()
        run_plan(LoadPlan(scenario, Closed(1), count=100, seed=seed), parse_target(url))
        taken.append(shop.targets())
    assert taken[0] == taken[1] != taken[2]
    assert 30 < len(set(taken[0])) <= 50


def test_a_request_without_placeholders_and_a_connection_for_each_are_sent_alike(shop: Shop, url: str) -> None:
    scenario = load.scenario(load.post("/a", json={"price": "$5"}, auth=("ann", "x:y")))
    report = run_plan(LoadPlan(scenario, Closed(2), count=4, keep_alive=False), parse_target(url))
    assert report.connect.count == 4
    assert {request["body"] for request in shop.seen} == {b'{"price":"$5"}'}
    assert shop.seen[0]["headers"]["authorization"] == "Basic YW5uOng6eQ=="
    assert shop.seen[0]["headers"]["content-length"] == "14"


GET = load.get("/")
ANYTHING: Any = "GET /"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: load.scenario(), "at least one flow"),
        (lambda: load.flow(), "at least one request"),
        (lambda: load.flow(ANYTHING), "not str"),
        (lambda: load.scenario(GET, ANYTHING), "not str"),
        (lambda: load.flow(GET, weight=0), "weight=0"),
        (lambda: load.flow(GET, weight=True), "weight=True"),
        (lambda: load.flow(GET, pause="2s-1s"), "longer than the second"),
        (lambda: load.flow(GET, pause="soon"), "pause"),
        (lambda: load.scenario(load.get("/${token}")), r"nothing provides \$\{token\}"),
        (lambda: load.scenario(load.get("/${nam}"), feeds=[load.feed([{"name": 1}])]), r"did you mean \$\{name\}"),
        (
            lambda: load.scenario(load.flow(load.get("/${a}"), load.get("/", capture={"a": load.from_header("x")}))),
            "no request before it",
        ),
        (lambda: load.scenario(load.get("/"), load.post("/", name="GET /")), "two different requests"),
        (lambda: load.scenario(GET, GET), "two different flows"),
        (lambda: load.scenario(GET, feeds=[load.feed([{"a": 1}]), load.feed([{"a": 2}])]), "two feeds"),
        (lambda: load.scenario(load.get("/", check=[load.matches("(")])), "regular expression"),
        (lambda: load.scenario(load.get("/", check=[load.json_has("a")])), "JSON pointer"),
        (lambda: load.get("/", capture={"a-b": load.from_header("x")}), "capture 'a-b'"),
        (lambda: load.get("/", look_every=0), "look_every=0"),
        (lambda: load.get("/", auth=("a", "b"), headers={"Authorization": "x"}), "not both"),
        (lambda: load.get("/", timeout="-1s"), "timeout"),
        (lambda: load.post("/", json={"a": float("nan")}), "json="),
        (lambda: load.post("/", json={}, files={"a": b""}), "files="),
        (lambda: load.post("/", files={"a": "text"}), r"files\['a'\]"),
        (lambda: load.json_is("/a", {1, 2}), "json_is"),
        (lambda: load.body_hash("abc"), "64 hexadecimal"),
        (lambda: load.body_bytes(-1), "body_bytes"),
        (lambda: load.feed([]), "no row"),
        (lambda: load.feed([{}]), "at least one value"),
        (lambda: load.feed([{"a": 1}, {"b": 1}]), "row 2: has b instead of a"),
        (lambda: load.feed([{"a b": 1}]), "column 'a b'"),
        (lambda: load.feed([{"a": object()}]), "row 1: a cannot be written"),
        (lambda: load.csv("no-such-file.csv"), "no-such-file.csv: No such file"),
    ],
)  # fmt: skip
def test_what_cannot_be_played_is_refused_before_the_load(make: Any, words: str) -> None:
    with pytest.raises((LoadError, ConfigError), match=words) as raised:
        make()
    assert "\n" not in str(raised.value) or "regular" in words


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "", "must name the columns"),
        ("a.csv", "a,b\n1\n", "a.csv:2: 1 values for 2 columns"),
        ("a.csv", "a,a\n1,2\n", "two columns"),
        ("a.csv", "a\n", "there is no row"),
        ("a.csv", 'a\n"x\n', "no CSV"),
        ("a.jsonl", "{}\n", "at least one value"),
        ("a.jsonl", '{"a": 1}\n[1]\n', "a.jsonl:2: a line must be a JSON object"),
        ("a.jsonl", '{"a": 1}\n{\n', "a.jsonl:2: this is no JSON"),
        ("a.jsonl", '{"a": 1}\n{"a": 1, "b": 2}\n', "a.jsonl:2: has a, b instead of a"),
    ],
)
def test_a_file_that_is_no_feed_is_refused_with_its_line(tmp_path: Path, name: str, text: str, words: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(LoadError, match=words):
        (load.csv if name.endswith("csv") else load.json_lines)(path)
