"""What is asked of every server: requests, the answers that are right, and how many connections ask."""

from __future__ import annotations

import json

from measuring.asks import Ask, Workload

HELLO = {"message": "Hello, World!"}
ORDER = {
    "id": 42,
    "customer": "Ada Lovelace",
    "email": "ada@example.com",
    "paid": True,
    "discount": 0.15,
    "comment": "leave it at the door",
    "lines": [
        {"sku": "A-1001", "quantity": 2, "price": 9.95},
        {"sku": "B-2002", "quantity": 1, "price": 129.5},
        {"sku": "C-3003", "quantity": 12, "price": 0.75},
    ],
}


def _sync_and_async() -> list[Workload]:
    post = json.dumps(ORDER, separators=(",", ":")).encode()
    wrong = json.dumps({**ORDER, "lines": [{"sku": "A-1001", "quantity": "two", "price": 9.95}]}).encode()
    search = {"q": "rust", "limit": 25, "active": False}
    made = []
    for kind in ("sync", "async"):
        root = f"/{kind}"
        made += [
            Workload(f"W1-{kind}", f"constant JSON, {kind} handler", Ask(f"{root}/hello", HELLO)),
            Workload(
                f"W2-{kind}", f"integer in the path, {kind} handler", Ask(f"{root}/users/42", {"id": 42}),
                bad=Ask(f"{root}/users/abc", None),
            ),
            Workload(
                f"W3-{kind}", f"typed query, {kind} handler",
                Ask(f"{root}/search?q=rust&limit=25&active=false", search),
                bad=Ask(f"{root}/search?q=rust&limit=many", None),
            ),
            Workload(
                f"W4-{kind}", f"validated body echoed, {kind} handler", Ask(f"{root}/orders", ORDER, "POST", post),
                bad=Ask(f"{root}/orders", None, "POST", wrong),
            ),
            Workload(
                f"W4-model-{kind}", f"the same with a response model, {kind} handler",
                Ask(f"{root}/orders-model", ORDER, "POST", post),
                bad=Ask(f"{root}/orders-model", None, "POST", wrong),
            ),
        ]  # fmt: skip
    return made


def _routes() -> list[Workload]:
    made = []
    for size, count in (("10k", 10_000), ("100k", 100_000)):
        for place, index in (("first", 0), ("middle", count // 2), ("last", count - 1)):
            made += [
                Workload(
                    f"W5-{size}-literal-{place}", f"{count:,} literal routes, the {place}",
                    Ask(f"/r/{index}", {"route": index}), routes=f"literals:{count}",
                ),
                Workload(
                    f"W5-{size}-template-{place}", f"{count:,} templates, the {place}",
                    Ask(f"/t{index}/7", {"route": index, "id": 7}), routes=f"templates:{count}",
                ),
            ]  # fmt: skip
    return made


def _beside_and_waiting() -> list[Workload]:
    fast, busy = Ask("/async/hello", HELLO), Ask("/busy", {"total": 299_995})
    beside = [
        Workload(
            f"W6-{others}", f"constant JSON on 4 connections, {others} beside it that compute", fast, connections=4,
            beside=busy if others else None, beside_connections=others,
        )
        for others in (0, 1, 4)
    ]  # fmt: skip
    return [*beside, Workload("W7", "1 ms of waiting, async handler", Ask("/sleep", HELLO), connections=64)]


WORKLOADS = [*_sync_and_async(), *_routes(), *_beside_and_waiting()]


def chosen(names: list[str]) -> list[Workload]:
    """The workloads of these names or beginnings of names (``W5``, ``W5-10k``); all for none. Raises ValueError."""
    for name in names:
        if not any(_is(workload, name) for workload in WORKLOADS):
            raise ValueError(f"no workload {name!r}: {', '.join(workload.name for workload in WORKLOADS)}")
    return [workload for workload in WORKLOADS if not names or any(_is(workload, name) for name in names)]


def _is(workload: Workload, name: str) -> bool:
    return workload.name == name or workload.name.startswith(f"{name}-")
