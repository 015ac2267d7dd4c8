"""A GitHub for tests: the endpoints that the report asks, with the limits that GitHub documents.

* check runs: 50 annotations a request, 65,535 characters of summary and text, and a commit that is known
  (https://docs.github.com/rest/checks/runs)
* comments: 65,535 characters (https://github.com/orgs/community/discussions/27190)
* lists: pages of at most 100, told by `Link` (https://docs.github.com/rest/using-the-rest-api/using-pagination)
* tokens: a fork's may only read (https://docs.github.com/actions/security-guides/automatic-token-authentication)
* rate limits (https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api)

Faults are planted: each applies to the next request that it matches, and is then used up.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

MOST_ANNOTATIONS = 50
MOST_TEXT = 65_535
WRITE = frozenset({"checks", "pull-requests"})


@dataclass
class Fault:
    """What happens to a request instead of its answer, or after it was carried out."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    message: str = ""
    body: bytes | None = None
    drop: bool = False
    """The connection ends without an answer."""
    cut: bool = False
    """The answer of the request ends in its middle."""
    carried_out: bool = False
    """The request takes effect all the same: only its answer is lost."""
    method: str = ""
    path: str = ""
    """A pattern that the path matches; empty: any."""

    def matches(self, method: str, path: str) -> bool:
        return self.method in ("", method) and re.search(self.path, path) is not None


@dataclass
class Seen:
    """A request as it came."""

    method: str
    path: str
    query: dict[str, str]
    body: Any


class Refusal(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class FakeGitHub:
    """Its state, and the rules."""

    def __init__(self) -> None:
        self.url = ""
        self.repository = "acme/shop"
        self.tokens = {"good": WRITE, "fork": frozenset(), "personal": WRITE}
        self.bots = {"good", "fork"}
        self.commits = {"a" * 40}
        self.pulls: list[dict[str, Any]] = []
        self.comments: list[dict[str, Any]] = []
        self.checks: list[dict[str, Any]] = []
        self.faults: list[Fault] = []
        self.seen: list[Seen] = []
        self.page_size = 100

    def plant(self, *faults: Fault) -> None:
        """Faults for the requests to come."""
        self.faults += faults

    def requests(self, method: str) -> list[Seen]:
        """What came by this method."""
        return [one for one in self.seen if one.method == method]

    def fault(self, method: str, path: str) -> Fault | None:
        """The next fault for a request, which is used up by it."""
        found = next((one for one in self.faults if one.matches(method, path)), None)
        if found is not None:
            self.faults.remove(found)
        return found

    def answer(self, seen: Seen, token: str) -> tuple[int, Any]:
        """Carries a request out."""
        if token not in self.tokens:
            raise Refusal(401, "Bad credentials")
        if seen.path == "/user":
            return 200, self._user(token)
        base = f"/repos/{self.repository}"
        for method, pattern, permission, act in self._routes(token):
            match = re.fullmatch(base + pattern, seen.path)
            if match is None or method != seen.method:
                continue
            if permission and permission not in self.tokens[token]:
                raise Refusal(403, "Resource not accessible by integration")
            return (201 if method == "POST" else 200), act(seen, *match.groups())
        raise Refusal(404, "Not Found")

    def _routes(self, token: str) -> list[tuple[str, str, str, Callable[..., Any]]]:
        return [
            ("POST", "/check-runs", "checks", self._create_check),
            ("GET", r"/check-runs/(\d+)", "", lambda _, number: self._shown(self._check(number))),
            ("PATCH", r"/check-runs/(\d+)", "checks", self._update_check),
            ("GET", "/commits/([0-9a-f]+)/check-runs", "", self._checks_of),
            ("GET", r"/issues/(\d+)/comments", "", self._comments_of),
            ("POST", r"/issues/(\d+)/comments", "pull-requests", lambda *one: self._create_comment(token, *one)),
            ("PATCH", r"/issues/comments/(\d+)", "pull-requests", self._update_comment),
            ("GET", "/pulls", "", self._list_pulls),
        ]

    def _user(self, token: str) -> dict[str, Any]:
        if token in self.bots:
            raise Refusal(403, "Resource not accessible by integration")
        return {"login": token, "type": "User"}

    def _create_check(self, seen: Seen) -> Any:
        if seen.body.get("head_sha") not in self.commits:
            raise Refusal(422, "No commit found for SHA")
        run = {**seen.body, "id": 100 + len(self.checks), "annotations": [], "history": [seen.body["status"]]}
        self.checks.append(run)
        self._output(run, seen.body.get("output"))
        return self._shown(run)

    def _update_check(self, seen: Seen, number: str) -> Any:
        run = self._check(number)
        self._output(run, seen.body.get("output"))
        changes = {name: value for name, value in seen.body.items() if name != "output"}
        if changes.get("status") == "completed" and "conclusion" not in changes:
            raise Refusal(422, "Missing conclusion")
        run.update(changes)
        run["history"].append(run["status"])
        return self._shown(run)

    def _output(self, run: dict[str, Any], output: Any) -> None:
        if output is None:
            return
        if not output.get("title") or "summary" not in output:
            raise Refusal(422, "Invalid request: title and summary are required")
        if any(len(output.get(name, "")) > MOST_TEXT for name in ("summary", "text")):
            raise Refusal(422, f"Only {MOST_TEXT} characters are allowed")
        added = output.get("annotations", [])
        if len(added) > MOST_ANNOTATIONS:
            raise Refusal(422, f"Invalid request. No more than {MOST_ANNOTATIONS} items are allowed")
        for one in added:
            if not one["path"] or one["start_line"] < 1 or not one["message"]:
                raise Refusal(422, "Invalid annotation")
        run["annotations"] += added
        run["output"] = {name: value for name, value in output.items() if name != "annotations"}

    def _check(self, number: str) -> dict[str, Any]:
        return self.checks[int(number) - 100]

    def _shown(self, run: dict[str, Any]) -> dict[str, Any]:
        shown = {name: value for name, value in run.items() if name not in ("annotations", "history")}
        output = {**run.get("output", {}), "annotations_count": len(run["annotations"])}
        return {**shown, "output": output, "html_url": f"https://github.com/{self.repository}/runs/{run['id']}"}

    def _checks_of(self, seen: Seen, sha: str) -> Any:
        name = seen.query.get("check_name")
        runs = [self._shown(run) for run in self.checks if run["head_sha"] == sha and name in (None, run["name"])]
        return {"total_count": len(runs), "check_runs": runs}

    def _comments_of(self, seen: Seen, number: str) -> Any:
        return [one for one in self.comments if one["issue"] == int(number)]

    def comment(self, number: int, body: str, login: str, kind: str) -> dict[str, Any]:
        """Somebody's comment."""
        made = {
            "id": 500 + len(self.comments),
            "issue": number,
            "body": body,
            "user": {"login": login, "type": kind},
            "html_url": f"https://github.com/{self.repository}/pull/{number}#issuecomment-{500 + len(self.comments)}",
        }
        self.comments.append(made)
        return made

    def _create_comment(self, token: str, seen: Seen, number: str) -> Any:
        _require_length(seen.body["body"])
        bot = token in self.bots
        return self.comment(int(number), seen.body["body"], f"{token}[bot]" if bot else token, "Bot" if bot else "User")

    def _update_comment(self, seen: Seen, number: str) -> Any:
        _require_length(seen.body["body"])
        found = self.comments[int(number) - 500]
        found["body"] = seen.body["body"]
        return found

    def _list_pulls(self, seen: Seen) -> Any:
        owner, _, branch = seen.query.get("head", "").partition(":")
        state = seen.query.get("state", "open")
        return [
            one
            for one in self.pulls
            if one["state"] == state and one["head"]["user"]["login"] == owner and one["head"]["ref"] == branch
        ]

    def pull(self, number: int, head: str, sha: str, state: str = "open") -> None:
        """A pull request. ``head``: `owner/repository:branch`."""
        repository, _, branch = head.partition(":")
        owner = repository.partition("/")[0]
        place = {"ref": branch, "sha": sha, "user": {"login": owner}, "repo": {"full_name": repository}}
        self.pulls.append({"number": number, "state": state, "head": place})


def _require_length(body: str) -> None:
    if len(body) > MOST_TEXT:
        raise Refusal(422, "body is too long (maximum is 65536 characters)")


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, *args: object) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PATCH(self) -> None:
        self._serve()

    def _serve(self) -> None:
        hub = self.server.hub
        address = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        seen = Seen(self.command, address.path, query, body)
        hub.seen.append(seen)
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        fault = hub.fault(self.command, address.path)
        if fault is None or fault.carried_out or fault.cut:
            status, headers, content = self._carried_out(hub, seen, token)
        if fault is not None:
            if fault.drop:
                self.close_connection = True
                return
            if fault.cut:
                self._send(status, headers, content, len(content) // 2)
                return
            status, headers = fault.status, fault.headers
            content = fault.body if fault.body is not None else json.dumps({"message": fault.message}).encode()
        self._send(status, headers, content, len(content))

    def _send(self, status: int, headers: dict[str, str], content: bytes, until: int) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:until])
        self.close_connection = self.close_connection or until < len(content)

    def _carried_out(self, hub: FakeGitHub, seen: Seen, token: str) -> tuple[int, dict[str, str], bytes]:
        try:
            status, value = hub.answer(seen, token)
        except Refusal as refusal:
            return refusal.status, {}, json.dumps({"message": refusal.message}).encode()
        headers: dict[str, str] = {}
        if isinstance(value, list):
            value, headers = self._paged(hub, seen, value)
        return status, headers, json.dumps(value).encode()

    def _paged(self, hub: FakeGitHub, seen: Seen, items: list[Any]) -> tuple[list[Any], dict[str, str]]:
        size = min(int(seen.query.get("per_page", 30)), hub.page_size)
        number = int(seen.query.get("page", 1))
        page = items[(number - 1) * size : number * size]
        if number * size >= len(items):
            return page, {}
        following = urlencode({**seen.query, "page": number + 1})
        last = urlencode({**seen.query, "page": -(-len(items) // size)})
        base = f"{hub.url}{seen.path}"
        return page, {"Link": f'<{base}?{following}>; rel="next", <{base}?{last}>; rel="last"'}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, hub: FakeGitHub) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hub = hub


@contextmanager
def fake_github() -> Iterator[FakeGitHub]:
    """A GitHub on a port of its own."""
    hub = FakeGitHub()
    server = _Server(hub)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
