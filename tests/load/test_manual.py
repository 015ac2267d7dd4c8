"""The examples of docs/scenarios.md do what it says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pytest_fastr import Server
from pytest_fastr.load.run import LoadPlan, run_plan
from pytest_fastr.load.shape import Closed
from pytest_fastr.load.url import parse_target

MANUAL = Path(__file__).parents[2] / "docs" / "scenarios.md"


class Shop:
    def __init__(self) -> None:
        self.orders: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        status, answer = self.answer(scope["path"], dict(scope["headers"]), body)
        content = json.dumps(answer).encode()
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": content})

    def answer(self, path: str, headers: dict[bytes, bytes], body: bytes) -> tuple[int, Any]:
        if path == "/login":
            user = json.loads(body)
            return 200, {"token": f"{user['name']}:{user['password']}"}
        if path == "/items":
            name = headers[b"authorization"].decode().removeprefix("Bearer ").partition(":")[0]
            return 200, {"items": [{"id": len(name)}], "count": 3}
        if path.startswith("/orders/"):
            self.orders.append((path, json.loads(body)))
            return 201, {}
        return 200, {}


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "users.csv").write_text("name,password\nann,1\nwilliam,2\n")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for example in re.findall(r"```python\n(.*?)```", MANUAL.read_text(), re.DOTALL):
        exec(example, names)
    shop = Shop()
    with Server(shop, lifespan=False) as server:
        plan = LoadPlan(names["shop"], Closed(2), count=20)
        report = run_plan(plan, parse_target(server.url))
    assert (report.errors, report.details) == (0, {})
    begun = {one.name: one.requests for one in report.by_request}
    # Three flows of two requests to one of one; the last ones may be cut short.
    assert begun["GET /health"] in (2, 3)
    assert begun["POST /login"] == 0
    bought = dict(shop.orders)
    assert bought == {
        "/orders/3": {"item": 3, "note": "for ann"},
        "/orders/7": {"item": 7, "note": "for william"},
    }
