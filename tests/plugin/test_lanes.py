"""pytest --perf: a route of FastAPI that has left its lane turns its test red, whatever the clock says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_fastr import _native
from support.project import Project

pytestmark = pytest.mark.skipif(_native.DEBUG_BUILD, reason="a debug build voids every measurement: maturin develop -r")

SHOP = """
from fastapi import FastAPI
from starlette.middleware.base import BaseHTTPMiddleware

app = FastAPI(openapi_url=None)


@app.get("/items/{item_id}")
async def item(item_id: int) -> int:
    return item_id
"""
MIDDLEWARE = """
app.add_middleware(BaseHTTPMiddleware, dispatch=lambda request, call_next: call_next(request))
"""
# Whatever the middleware costs, only the lane may turn a test red.
SETTINGS = """
[tool.pytest-fastr]
app = "shop:app"
users = 2
duration = "300ms"
epochs = 2
warmup_max = "200ms"
gate = ["cpu"]
limit = { cpu = "9900%" }
"""
TEST = "def test_item(perf):\n    perf.get('/items/3?x=1')\n"
NODE = "test_perf.py::test_item"
SENTENCE = "GET /items/{item_id} left its lane: typed -> asgi (the app has the middleware BaseHTTPMiddleware)"


@pytest.fixture
def shop(project: Project) -> Project:
    """A FastAPI application with one measured route, all committed on main."""
    project.write("shop.py", SHOP)
    project.configure(SETTINGS)
    project.test(TEST)
    project.make_repository()
    return project


def paired(project: Project, *args: str) -> tuple[pytest.RunResult, dict[str, Any]]:
    result, (test,) = project.results("--perf-against", "main", *args)
    return result, test


def said(result: pytest.RunResult) -> str:
    return " ".join(result.stdout.str().split())


def baseline_file(project: Project) -> Path:
    (file,) = (one for one in project.path.glob("baselines/*/*.json") if one.name != "profile.json")
    return file


def stored(project: Project) -> dict[str, Any]:
    test: dict[str, Any] = json.loads(baseline_file(project).read_text())["tests"][NODE]
    return test


def test_a_change_that_takes_a_route_out_of_its_lane_is_red(shop: Project) -> None:
    shop.write("shop.py", SHOP + MIDDLEWARE)
    result, test = paired(shop)
    result.assert_outcomes(failed=1)
    assert (test["verdict"], test["mode"], test["load"]["mount"]) == ("regressed", "paired", "asgi")
    assert test["metrics"]["cpu"]["verdict"] != "regressed"
    assert test["lane"] == {
        "route": "GET /items/{item_id}",
        "lane": "asgi",
        "reasons": ["the app has the middleware BaseHTTPMiddleware"],
        "baseline": "typed",
        "verdict": "regressed",
        "message": SENTENCE,
    }
    # In the failure, and below the table.
    assert said(result).count(SENTENCE) == 2
    assert "lane typed -> asgi regressed" in said(result)
    assert 'lanes = "report"' in said(result)


def test_a_lane_that_was_left_is_said_even_where_nothing_can_be_measured(shop: Project) -> None:
    shop.write("shop.py", SHOP + MIDDLEWARE)
    result, test = paired(shop, "--perf-duration", "1ms")
    result.assert_outcomes(failed=1)
    assert test["verdict"] == "invalid"
    assert test["validity"][0]["message"].startswith(f"{SENTENCE}; besides, ")


def test_an_app_object_has_lanes_as_well(shop: Project) -> None:
    shop.write("conftest.py", "import pytest, shop\n\n@pytest.fixture\ndef perf_app():\n    return shop.app\n")
    result, (test,) = shop.results()
    result.assert_outcomes(passed=1)
    assert (test["lane"]["route"], test["lane"]["lane"]) == ("GET /items/{item_id}", "typed")


def test_a_change_that_leaves_the_route_in_its_lane_is_not_red(shop: Project) -> None:
    shop.write("shop.py", SHOP.replace("return item_id", "return item_id + 1"))
    result, test = paired(shop)
    result.assert_outcomes(passed=1)
    assert (test["lane"]["baseline"], test["lane"]["lane"]) == ("typed", "typed")
    assert (test["lane"]["verdict"], test["lane"]["message"]) == ("equivalent", "")
    assert " lane" not in said(result)


def test_a_better_lane_is_said_and_not_gated(shop: Project) -> None:
    shop.write("shop.py", SHOP + MIDDLEWARE)
    shop.commit()
    shop.write("shop.py", SHOP)
    result, test = paired(shop)
    result.assert_outcomes(passed=1)
    assert test["lane"]["verdict"] == "improved"
    assert "GET /items/{item_id} has a better lane: asgi -> typed" in said(result)


@pytest.mark.parametrize("lanes", ["report", "off"])
def test_lanes_can_be_said_only_or_switched_off(shop: Project, lanes: str) -> None:
    shop.configure(SETTINGS + f'lanes = "{lanes}"\n')
    shop.write("shop.py", SHOP + MIDDLEWARE)
    result, test = paired(shop)
    result.assert_outcomes(passed=1)
    assert (SENTENCE in said(result)) is (lanes == "report")
    if lanes == "off":
        assert test["lane"] is None
    else:
        assert (test["lane"]["verdict"], test["lane"]["message"]) == (None, SENTENCE)
    # What the change does to the gate itself is named.
    assert "`lanes` was " in said(result)


def test_the_baseline_keeps_the_lane_and_a_worse_one_needs_a_reason(shop: Project) -> None:
    shop.run("--perf", "--perf-update").assert_outcomes(passed=1)
    assert stored(shop)["lane"] == "typed"
    shop.write("shop.py", SHOP + MIDDLEWARE)
    result, (test,) = shop.results()
    result.assert_outcomes(failed=1)
    assert (test["verdict"], test["mode"], test["lane"]["baseline"]) == ("regressed", "stored", "typed")
    assert SENTENCE in said(result)
    assert f'pytest --perf --perf-update "{NODE}" --perf-reason "..."' in said(result)

    before = baseline_file(shop).read_bytes()
    refused = shop.run("--perf", "--perf-update")
    refused.assert_outcomes(failed=1)
    assert SENTENCE in said(refused)
    assert baseline_file(shop).read_bytes() == before

    shop.run("--perf", "--perf-update", "--perf-reason", "we log requests").assert_outcomes(passed=1)
    assert stored(shop)["lane"] == "asgi"
    assert [era["reason"] for era in stored(shop)["eras"]] == ["we log requests"]
    _, (test,) = shop.results()
    assert test["lane"]["verdict"] == "equivalent"


def test_a_baseline_without_a_lane_says_nothing(shop: Project) -> None:
    shop.run("--perf", "--perf-update").assert_outcomes(passed=1)
    file = baseline_file(shop)
    document = json.loads(file.read_text())
    del document["tests"][NODE]["lane"]
    file.write_text(json.dumps(document))
    shop.write("shop.py", SHOP + MIDDLEWARE)
    result, (test,) = shop.results()
    result.assert_outcomes(passed=1)
    assert (test["lane"]["lane"], test["lane"]["baseline"], test["lane"]["verdict"]) == ("asgi", None, None)


def test_an_app_of_another_framework_has_no_lanes(project: Project) -> None:
    project.test("def test_item(perf):\n    perf.get('/items')\n")
    result, (test,) = project.results()
    result.assert_outcomes(passed=1)
    assert (test["lane"], test["load"]["mount"]) == (None, "asgi")


TOLD = """
import gc

from pytest_fastr.web import FastrAPI
from shop import app as plain

face = FastrAPI(openapi_url=None)


def native_sides() -> int:
    return sum(type(one).__name__ == "NativeSide" for one in gc.get_objects())


@plain.get("/mount")
@face.get("/mount")
async def mount() -> int:
    return native_sides()


@face.get("/face")
async def measured() -> int:
    return 1
"""


def test_the_mount_of_a_test_is_its_own(shop: Project) -> None:
    shop.write("told.py", TOLD)
    shop.configure(SETTINGS.replace("shop:app", "told:plain"))
    shop.test(
        """
        import urllib.request

        import pytest

        def sides(url):
            return int(urllib.request.urlopen(url + "/mount", timeout=10).read())

        def test_plain(perf, perf_server):
            assert sides(perf_server) == 0
            perf.get("/items/3")

        @pytest.mark.perf(mount="native")
        def test_native(perf, perf_server):
            assert sides(perf_server) == 1
            perf.get("/items/3")

        @pytest.mark.perf(app="told:face")
        def test_face(perf, perf_server):
            assert sides(perf_server) == 1
            perf.get("/face")

        @pytest.mark.perf(app="told:face", mount="asgi")
        def test_face_as_deployed(perf, perf_server):
            assert sides(perf_server) == 0
            perf.get("/face")
        """
    )
    result, tests = shop.results("--perf-update")
    result.assert_outcomes(passed=4)
    mounts = {test["nodeid"].partition("::")[2]: test["load"]["mount"] for test in tests}
    assert mounts == {
        "test_plain": "asgi", "test_native": "native", "test_face": "native", "test_face_as_deployed": "asgi",
    }  # fmt: skip
    # The lane is that of the routes, whatever the mount.
    assert [test["lane"]["lane"] for test in tests][:2] == ["typed", "typed"]
    kept = json.loads(baseline_file(shop).read_text())["tests"]
    assert {name.partition("::")[2]: one["load"]["mount"] for name, one in kept.items()} == mounts
