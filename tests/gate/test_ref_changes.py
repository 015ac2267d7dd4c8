"""What differs between two folders is told, and nothing that does not; no code of theirs runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from pytest_fastr.gate.ref_changes import (
    TestChanges,
    compare_tests,
    gate_changes,
    has_test,
    lock_differences,
    perf_tests,
)


def write(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture
def a(tmp_path: Path) -> Path:
    """The baseline's folder."""
    return write(tmp_path / "a", {"README": ""})


@pytest.fixture
def b(tmp_path: Path) -> Path:
    """The candidate's folder."""
    return write(tmp_path / "b", {"README": ""})


def test_lock_files_that_differ_or_are_on_one_side_are_named(a: Path, b: Path) -> None:
    same = ("Cargo.lock", "same/deep/uv.lock", "requirements/same.txt")
    changed = ("uv.lock", "requirements-dev.txt", "requirements/base.txt", "one/two/poetry.lock", "pylock.dev.toml")
    write(a, {**dict.fromkeys(same, "1"), **dict.fromkeys(changed, "1"), "pdm.lock": "", "notes.txt": "1"})
    write(b, {**dict.fromkeys(same, "1"), **dict.fromkeys(changed, "2"), "Pipfile.lock": "", "notes.txt": "2"})
    assert lock_differences(a, b) == tuple(sorted([*changed, "pdm.lock", "Pipfile.lock"]))
    assert lock_differences(a, a) == ()


@pytest.mark.parametrize(
    "name",
    [".venv/uv.lock", "web/node_modules/package-lock.json", ".git/uv.lock", "1/2/3/uv.lock", "build/uv.lock",
     "1/2/requirements/x.txt", "uv.lock/x", "my-uv.lock"],
)  # fmt: skip
def test_lock_files_of_others_and_deep_ones_do_not_count(a: Path, b: Path, name: str) -> None:
    write(b, {name: ""})
    assert lock_differences(a, b) == ()


def config(root: Path, text: str) -> None:
    write(root, {"pyproject.toml": text})


def test_keys_of_the_configuration_that_differ_are_told_with_both_values(a: Path, b: Path) -> None:
    config(a, '[tool.pytest-fastr]\napp="x:app"\nusers=20\ngate=["cpu"]\n[tool.pytest-fastr.limit]\ncpu="2%"\np99=0.1')
    config(b, '[tool.pytest-fastr]\napp="x:app"\nepochs=4\ngate=["cpu", "p99"]\nlimit={cpu="20%", p99=0.1}')
    assert gate_changes(a, b, "baselines") == (
        "`epochs` was not set and is 4",
        '`gate` was ["cpu"] and is ["cpu", "p99"]',
        "`limit.cpu` was 2% and is 20%",
        "`users` was 20 and is not set",
    )
    assert gate_changes(a, a, "baselines") == ()


def test_a_configuration_that_is_not_there_has_no_keys(a: Path, b: Path) -> None:
    config(b, "[tool.pytest-fastr]\nusers=20\n[tool.other]\nusers=4")
    assert gate_changes(a, b, "baselines") == ("`users` was not set and is 20",)
    config(a, "tool=1")
    assert gate_changes(a, b, "baselines") == ("`users` was not set and is 20",)


@pytest.mark.parametrize("broken", ["[tool", "a = 1\na = 2", "\udcff"])
def test_a_configuration_that_cannot_be_parsed_is_told(a: Path, b: Path, broken: str) -> None:
    (a / "pyproject.toml").write_bytes(os.fsencode(broken))
    config(b, "[tool.pytest-fastr]\nusers=20")
    write(b, {"baselines/x/y.json": ""})
    sentence, second = gate_changes(a, b, "baselines")
    assert sentence.startswith(
        "pyproject.toml of the baseline cannot be parsed, so [tool.pytest-fastr] was not compared: "
    )
    assert second == "baselines/x/y.json was added"


def test_stored_baselines_that_differ_are_named(a: Path, b: Path) -> None:
    same = {"perf/stored/build/same.json": "1", "perf/stored/x/README.md": "1"}
    write(a, {**same, "perf/stored/x/changed.json": "1", "perf/stored/x/removed.json": "1", "elsewhere/x.json": "1"})
    write(b, {**same, "perf/stored/x/changed.json": "2", "perf/stored/x/added.json": "1", "elsewhere/x.json": "2"})
    write(b, {"perf/stored/x/README.md": "2"})
    changes = (
        "perf/stored/x/added.json was added",
        "perf/stored/x/changed.json was changed",
        "perf/stored/x/removed.json was removed",
    )
    assert gate_changes(a, b, "perf/stored") == gate_changes(a, b, "./perf/stored/") == changes
    assert gate_changes(a, b, str(b / "perf")) == ()


MARKED = """
import pytest
LIMITS = {constant}
pytestmark = [pytest.mark.slow, pytest.mark.perf(limit={module}, users=4)]

@pytest.mark.perf(users={users}, limit={function})
async def test_one(perf): ...

@pytest.mark.perf(limit=LIMITS)
def test_two(perf): ...

@pytest.mark.perf(limit={class_})
class TestThings:
    pytestmark = pytest.mark.perf(limit={inside})
    @pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.perf(limit={parameter}))])
    def test_three(self, x, perf): ...

@pytest.mark.other(limit={other})
def test_four(perf): ...
"""
UNCHANGED = dict.fromkeys(("constant", "module", "function", "class_", "inside", "parameter", "other"), "{'cpu': '2%'}")


@pytest.mark.parametrize(
    ("place", "scope"),
    [("module", ""), ("function", "::test_one"), ("constant", "::test_two"), ("parameter", "::TestThings::test_three")],
)
def test_limits_in_markers_that_differ_are_told(a: Path, b: Path, place: str, scope: str) -> None:
    write(a, {"tests/perf/test_a.py": MARKED.format(users=1, **UNCHANGED)})
    write(b, {"tests/perf/test_a.py": MARKED.format(users=2, **{**UNCHANGED, place: "{'cpu': '20%'}", "other": "{}"})})
    assert gate_changes(a, b, "baselines") == (
        f"tests/perf/test_a.py{scope}: limit was {{'cpu': '2%'}} and is {{'cpu': '20%'}}",
    )


def test_a_class_has_the_limits_of_its_decorator_and_of_its_body(a: Path, b: Path) -> None:
    write(a, {"test_a.py": MARKED.format(users=1, **UNCHANGED)})
    write(b, {"test_a.py": MARKED.format(users=1, **{**UNCHANGED, "inside": "dict(cpu='9%')"})})
    assert gate_changes(a, b, "baselines") == (
        "test_a.py::TestThings: limit was {'cpu': '2%'}, {'cpu': '2%'} and is {'cpu': '2%'}, dict(cpu='9%')",
    )


def test_a_limit_may_come_or_go(a: Path, b: Path) -> None:
    plain = "import pytest\ndef test_a(perf): ...\n@pytest.mark.perf\ndef test_b(perf): ..."
    write(a, {"test_a.py": plain})
    write(b, {"test_a.py": plain.replace("def test_a", "@pytest.mark.perf(limit={'p99': 0.5})\ndef test_a")})
    assert gate_changes(a, b, "x") == ("test_a.py::test_a: limit was not set and is {'p99': 0.5}",)
    assert gate_changes(b, a, "x") == ("test_a.py::test_a: limit was {'p99': 0.5} and is not set",)


def test_the_order_of_limits_and_tests_on_one_side_change_nothing(a: Path, b: Path) -> None:
    one = "import pytest\n@pytest.mark.perf(limit={'cpu': 0.1, 'p99': 0.2})\ndef test_a(perf): ..."
    write(a, {"test_a.py": one, "test_old.py": one})
    write(
        b, {"test_a.py": one.replace("'cpu': 0.1, 'p99': 0.2", '"p99": 0.2, "cpu": 0.1') + one[13:].replace("_a", "_b")}
    )
    assert gate_changes(a, b, "baselines") == ()


TESTS = """
import pytest
raise SystemExit("nothing of this may run")

def test_plain(perf): perf.get("/")
async def test_load(other, *, perf_load): await perf_load.run()
def test_other(performance, client): client.get("/")
def helper(perf): ...
@pytest.fixture
def warmed(perf): ...

class TestShop:
    @pytest.mark.perf(users=4)
    def test_items(self, perf): perf.get("/items")
    class TestDeep:
        def test_deep(self, perf): ...

class Helper:
    def test_nothing(self, perf): ...

if pytest:
    def test_under_a_condition(perf): ...

def test_outer():
    def test_inner(perf): ...
"""


def test_tests_that_measure_are_listed_and_no_code_runs(a: Path) -> None:
    write(a, {"tests/perf/test_shop.py": TESTS, "shop_test.py": "def test_x(perf): ...", "shop.py": TESTS})
    path = "tests/perf/test_shop.py"
    assert list(perf_tests(a)) == [
        "shop_test.py::test_x",
        f"{path}::test_plain",
        f"{path}::test_load",
        f"{path}::TestShop::test_items",
        f"{path}::TestShop::TestDeep::test_deep",
        f"{path}::test_under_a_condition",
    ]
    assert list(perf_tests(a, ("bench_*.py",))) == []
    assert len(perf_tests(write(a, {"bench_x.py": TESTS}), ("bench_*.py",))) == 5


@pytest.mark.parametrize(
    "folder", [".venv", "web/node_modules", ".git", "build", "lib/site-packages", "venv", "env", "__pycache__"]
)
def test_folders_of_tools_are_not_entered(a: Path, folder: str) -> None:
    write(a, {f"{folder}/test_x.py": "def test_x(perf): ...", "env/pyvenv.cfg": ""})
    assert perf_tests(a) == {}
    assert len(perf_tests(write(a, {"environment/test_x.py": "def test_x(perf): ..."}))) == 1


@pytest.mark.parametrize("broken", [b"def test_x(perf:", b"perf\0", b"\xff perf", b"def test_x(perf):\n" + b"(" * 5000])
def test_a_file_that_does_not_parse_is_skipped(a: Path, broken: bytes) -> None:
    (a / "test_a.py").write_bytes(broken)
    write(a, {"test_b.py": "def test_x(perf): ..."})
    assert list(perf_tests(a)) == ["test_b.py::test_x"]
    assert not has_test(a, "test_a.py::test_x")


def test_a_warning_about_code_that_is_read_is_none_of_ours(a: Path) -> None:
    write(a, {"test_a.py": "def test_x(perf): perf.get('\\d')"})
    assert list(perf_tests(a)) == ["test_a.py::test_x"]


def test_a_hash_is_of_the_body_alone(a: Path) -> None:
    same = (
        "def test_a(perf): perf.get('/')",
        '@pytest.mark.perf(users=4)\nasync def test_b(self, perf):\n    # a comment\n    perf.get(\n        "/")',
    )
    write(a, {"test_x.py": "\n".join([*same, "def test_c(perf): perf.get('/items')"])})
    first, second, third = perf_tests(a).values()
    assert first == second != third


DEFINED = """
from shared import test_imported, TestImported, x as test_renamed

def test_plain(client): ...
test_made = make("x")

class Base:
    def test_inherited(self): ...
class TestShop(Base):
    def test_items(self): ...
    class TestDeep:
        def test_deep(self): ...
class TestObject(object):
    def test_items(self): ...
class TestForeign(shared.Base): ...
class TestTurn(TestRound): ...
class TestRound(TestTurn): ...
"""


@pytest.mark.parametrize(
    "name",
    ["test_plain", "test_plain[x::y]", "test_made", "test_imported", "test_renamed", "TestShop::test_items",
     "TestShop::TestDeep::test_deep", "TestShop::test_inherited", "TestForeign::test_any", "TestImported::test_any"],
)  # fmt: skip
def test_what_a_file_defines_is_there(a: Path, name: str) -> None:
    write(a, {"sub/test_a.py": DEFINED})
    assert has_test(a, f"sub/test_a.py::{name}")


@pytest.mark.parametrize(
    "nodeid",
    ["sub/test_a.py::test_new", "sub/test_a.py::test_items", "sub/test_a.py::TestShop::test_plain",
     "sub/test_a.py::TestObject::test_inherited", "sub/test_a.py::TestNew::test_items", "sub/test_b.py::test_plain",
     "sub/test_a.py::TestDeep::test_deep", "sub/test_a.py", "sub", "sub/test_a.py::TestRound::test_any"],
)  # fmt: skip
def test_what_a_file_does_not_define_is_not_there(a: Path, nodeid: str) -> None:
    write(a, {"sub/test_a.py": DEFINED})
    assert not has_test(a, nodeid)


def test_new_and_removed_tests_are_told() -> None:
    changes = compare_tests({"a.py::test_x": "1", "a.py::test_b": "2"}, {"a.py::test_x": "9", "a.py::test_c": "3"})
    assert changes == TestChanges(new=("a.py::test_c",), removed=("a.py::test_b",), renamed=())


def test_a_test_with_the_same_body_was_renamed() -> None:
    changes = compare_tests(
        {"a.py::test_x": "1", "a.py::test_y": "2"}, {"b.py::TestA::test_z": "1", "a.py::test_y": "2"}
    )
    assert changes == TestChanges((), (), (("a.py::test_x", "b.py::TestA::test_z"),))


def test_a_test_of_the_same_name_in_another_file_was_moved() -> None:
    changes = compare_tests({"a.py::test_x": "1"}, {"b.py::TestA::test_x": "2"})
    assert changes == TestChanges((), (), (("a.py::test_x", "b.py::TestA::test_x"),))
    changes = compare_tests({"a.py::test_x": "1"}, {"a.py::TestA::test_x": "2"})
    assert changes == TestChanges(("a.py::TestA::test_x",), ("a.py::test_x",), ())


def test_a_body_counts_more_than_a_name() -> None:
    changes = compare_tests({"a.py::test_x": "1"}, {"b.py::test_x": "2", "b.py::test_y": "1"})
    assert changes == TestChanges(("b.py::test_x",), (), (("a.py::test_x", "b.py::test_y"),))


def test_what_could_be_several_is_not_guessed() -> None:
    changes = compare_tests({"a.py::test_x": "1"}, {"b.py::test_y": "1", "b.py::test_z": "1"})
    assert changes == TestChanges(("b.py::test_y", "b.py::test_z"), ("a.py::test_x",), ())
    changes = compare_tests({"a.py::test_x": "1"}, {"b.py::test_x": "2", "c.py::test_x": "3"})
    assert changes == TestChanges(("b.py::test_x", "c.py::test_x"), ("a.py::test_x",), ())
    # Names decide where bodies do not.
    changes = compare_tests({"a.py::test_x": "1"}, {"b.py::test_x": "1", "b.py::test_y": "1"})
    assert changes == TestChanges(("b.py::test_y",), (), (("a.py::test_x", "b.py::test_x"),))
