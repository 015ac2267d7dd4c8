"""What is sent to a server under test, and what its answers mean.

For scenarios, as docs/scenarios.md has them::

    from pytest_fastr import load

    login = load.post("/login", json={"name": "${name}"}, capture={"token": load.from_json("/token")})
    items = load.get("/items", headers={"authorization": "Bearer ${token}"}, check=[load.contains("id")])
    shop = load.scenario(load.flow(login, items), feeds=[load.csv("users.csv")])
"""

from pytest_fastr.load.check import (
    body_bytes,
    body_hash,
    contains,
    from_body,
    from_header,
    from_json,
    header_has,
    header_is,
    json_has,
    json_is,
    matches,
)
from pytest_fastr.load.feed import Feed, csv, feed, json_lines
from pytest_fastr.load.holes import Var, var
from pytest_fastr.load.outcome import describe_failures, describe_outcome, describe_status, failures
from pytest_fastr.load.request import RequestSpec, build_request
from pytest_fastr.load.scenario import (
    Flow,
    Scenario,
    delete,
    flow,
    get,
    head,
    patch,
    post,
    put,
    request,
    scenario,
)

__all__ = [
    "Feed",
    "Flow",
    "RequestSpec",
    "Scenario",
    "Var",
    "body_bytes",
    "body_hash",
    "build_request",
    "contains",
    "csv",
    "delete",
    "describe_failures",
    "describe_outcome",
    "describe_status",
    "failures",
    "feed",
    "flow",
    "from_body",
    "from_header",
    "from_json",
    "get",
    "head",
    "header_has",
    "header_is",
    "json_has",
    "json_is",
    "json_lines",
    "matches",
    "patch",
    "post",
    "put",
    "request",
    "scenario",
    "var",
]
