"""pytest --perf --perf-against: another git ref is the other side of the run."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from pytest_fastr import _native
from support.project import APP, FAST, Project
from support.repository import git

pytestmark = pytest.mark.skipif(_native.DEBUG_BUILD, reason="a debug build voids every measurement: maturin develop -r")

TEST = """
    def test_items(perf):
        perf.get("/items")
    """


@pytest.fixture
def repository(project: Project) -> Project:
    """The project as a git repository, with a test, all committed on main."""
    project.test(TEST)
    project.make_repository()
    return project


def measured(project: Project, *args: str, ref: str = "main") -> tuple[pytest.RunResult, list[dict[str, object]]]:
    result, tests = project.results("--perf-against", ref, *args)
    cache = project.path.parent / "cache"
    assert not list(cache.rglob("*.py")), "the other ref's checkout was left behind"
    assert git(project.path, "worktree", "list").count("\n") == 0
    return result, tests


def test_a_slower_working_tree_is_red_and_says_against_what(repository: Project) -> None:
    repository.write("shop.py", APP.replace("range(300 ", "range(9000 "))
    result, (test,) = measured(repository)
    result.assert_outcomes(failed=1)
    assert (test["verdict"], test["mode"], test["confirmed"]) == ("regressed", "paired", True)
    assert str(test["against"]).startswith("main (")
    text = result.stdout.str()
    assert "test_perf.py::test_items: regressed against main (" in text
    assert "@pytest.mark.perf(limit=" in text
    assert "against main (" in text.splitlines()[-1] + text


def test_a_faster_working_tree_is_green(repository: Project) -> None:
    repository.write("shop.py", APP.replace("range(300 ", "range(9000 "))
    repository.commit()
    repository.write("shop.py", APP)
    result, (test,) = measured(repository)
    result.assert_outcomes(passed=1)
    assert test["verdict"] == "improved"


def test_nothing_of_the_checkout_changes(repository: Project) -> None:
    repository.write("staged.txt", "staged")
    git(repository.path, "add", "staged.txt")
    repository.write("shop.py", APP + "\n# unstaged\n")
    before = git(repository.path, "status", "--porcelain=v2"), git(repository.path, "rev-parse", "HEAD")
    measured(repository)
    assert (git(repository.path, "status", "--porcelain=v2"), git(repository.path, "rev-parse", "HEAD")) == before


def test_a_test_that_the_ref_lacks_is_new_and_passes_in_ci(repository: Project) -> None:
    repository.monkeypatch.setenv("CI", "true")
    repository.write("shop.py", APP.replace('404 if path == "/missing"', '404 if path == "/gone"'))
    repository.test(TEST.replace("items", "missing"))
    result, (test,) = measured(repository)
    result.assert_outcomes(passed=1)
    assert (test["verdict"], test["mode"]) == ("new", "paired")
    text = " ".join(result.stdout.str().split())
    assert "has no such test, and did not answer as expected" in text
    assert "test_perf.py::test_missing is new" in text
    assert "test_perf.py::test_items was removed" in text


def test_a_test_that_the_ref_has_and_cannot_answer_fails(repository: Project) -> None:
    repository.test(TEST.replace("/items", "/missing"))
    repository.commit()
    repository.write("shop.py", APP.replace('404 if path == "/missing"', '404 if path == "/gone"'))
    result, (test,) = measured(repository)
    result.assert_outcomes(failed=1)
    assert test["verdict"] == "invalid"
    assert "has this test, and could not be measured" in result.stdout.str()


def test_a_ref_that_does_not_start_makes_no_test_new_by_another_name(repository: Project) -> None:
    repository.write("shop.py", "import nothing_of_this_name")
    repository.commit()
    repository.write("shop.py", APP)
    repository.test(TEST.replace("test_items", "test_renamed"))
    result, (test,) = measured(repository)
    result.assert_outcomes(failed=1)
    assert test["verdict"] == "invalid"
    assert "could not be served" in result.stdout.str()


def test_each_side_has_its_own_environment_and_folder(repository: Project) -> None:
    told = """
        import os
        from pathlib import Path
        from shop import app as inner

        SIDE = Path("side.txt").read_text().strip()
        assert os.environ["SIDE"] == SIDE, (os.environ["SIDE"], SIDE)
        assert ("ONLY" in os.environ) == (SIDE == "candidate")
        assert os.environ["SHARED"] == {"baseline": "for all", "candidate": "its own"}[SIDE]

        async def app(scope, receive, send):
            await inner(scope, receive, send)
        """
    repository.write("told.py", told)
    repository.write("side.txt", "baseline")
    repository.commit()
    repository.write("side.txt", "candidate")
    sides = '[tool.pytest-fastr.env]\nSHARED = "for all"\n'
    sides += '[tool.pytest-fastr.against.env]\nbaseline = { SIDE = "baseline" }\n'
    repository.configure(
        FAST.replace("shop:app", "told:app")
        + sides
        + 'candidate = { SIDE = "candidate", ONLY = "1", SHARED = "its own" }\n'
    )
    result, (test,) = measured(repository)
    result.assert_outcomes(passed=1)
    assert test["verdict"] in ("equivalent", "inconclusive", "improved")


def test_ignored_files_are_copied_and_the_checkout_is_prepared(repository: Project) -> None:
    repository.write(
        "built.py",
        """
        from pathlib import Path
        from shop import app
        assert Path("private.txt").read_text() == "secret"
        assert Path("made.txt").is_file()
        """,
    )
    repository.commit()
    repository.write("private.txt", "secret")
    repository.write("made.txt", "by hand")
    against = '[tool.pytest-fastr.against]\nprepare = "touch made.txt"\ncopy = ["private.txt"]\n'
    repository.configure(FAST.replace("shop:app", "built:app") + against)
    result, _ = measured(repository)
    result.assert_outcomes(passed=1)
    repository.configure(FAST.replace("shop:app", "built:app") + against.replace("touch", "cat missing; touch -x"))
    result = repository.run("--perf", "--perf-against", "main")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*prepare*"])
    assert "missing" in result.stderr.str()


def test_a_cache_folder_in_the_project_is_not_taken_for_it(repository: Project) -> None:
    repository.monkeypatch.setenv("PYTEST_FASTR_CACHE", "inside")
    result = repository.run("--perf", "--perf-against", "main")
    result.assert_outcomes(passed=1)
    assert "is new" not in result.stdout.str()
    assert git(repository.path, "status", "--porcelain") == ""


def test_an_installed_copy_is_not_what_is_compared(repository: Project) -> None:
    elsewhere = repository.path.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "other.py").write_text(APP)
    repository.monkeypatch.setenv("PYTHONPATH", f"{elsewhere}{os.pathsep}{repository.path}")
    repository.configure(FAST.replace("shop:app", "other:app"))
    result, (test,) = measured(repository)
    result.assert_outcomes(failed=1)
    assert test["verdict"] == "invalid"
    assert "runs the application from" in result.stdout.str()
    assert "which is not the checkout" in " ".join(result.stdout.str().split())


def test_an_object_cannot_be_paired_and_it_says_why(repository: Project) -> None:
    repository.write(
        "conftest.py",
        """
        import pytest, shop

        @pytest.fixture
        def perf_app():
            return shop.app
        """,
    )
    result, (test,) = measured(repository)
    result.assert_outcomes(passed=1)
    assert (test["verdict"], test["mode"]) == ("new", "stored")
    assert "another ref's cannot be made here" in " ".join(result.stdout.str().split())
    result, (test,) = measured(repository, "--perf-mode", "paired")
    result.assert_outcomes(failed=1)
    assert test["verdict"] == "invalid"


def test_with_a_stored_baseline_both_gate(repository: Project) -> None:
    repository.run("--perf", "--perf-update").assert_outcomes(passed=1)
    _, tests = measured(repository)
    assert [test["mode"] for test in tests] == ["paired", "stored"]
    _, tests = measured(repository, "--perf-mode", "paired")
    assert [test["mode"] for test in tests] == ["paired"]


def test_what_a_change_does_to_the_gate_itself_is_said(repository: Project) -> None:
    repository.configure(FAST + '\nlimit = { cpu = "400%" }\n')
    result, _ = measured(repository)
    assert "limit.cpu" in result.stdout.str()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--perf-against", "mian"], "mian"),
        (["--perf-against", "--perf"], "expected one argument"),
        (["--perf-mode", "paired"], "give --perf-against REF"),
        (["--perf-against", "main", "--perf-update"], "leave --perf-against out"),
        (["--perf-against", "main", "--perf-aa"], "leave --perf-against and --perf-update out"),
        (["--perf-reason", "because"], "--perf-update"),
        (["--perf-against", "main", "--perf-mode", "stored"], "leave --perf-against out"),
        (["--perf-update", "--perf-reason", " "], "is empty"),
        (["--perf-budget", "soon"], "--perf-budget"),
        (["--perf-against", "main", "--perf-against-python", "/no/such/python"], "/no/such/python"),
    ],
)
def test_a_mistake_in_the_options_costs_nothing(repository: Project, args: list[str], words: str) -> None:
    result = repository.run("--perf", *args)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert words in result.stderr.str()
    assert "collected" not in result.stdout.str()


def test_another_interpreter_serves_the_ref(repository: Project) -> None:
    link = Path(sys.executable).with_name("python3")
    result, (test,) = measured(repository, f"--perf-against-python={link}")
    result.assert_outcomes(passed=1)
    assert test["mode"] == "paired"


def test_absolute_limits_are_held_beside_the_others(repository: Project) -> None:
    repository.test(
        """
        import pytest

        @pytest.mark.perf(limit={"p50": "10us", "rps": ">1", "memory": "4GB", "cpu": "900%"})
        def test_items(perf):
            perf.get("/items")
        """
    )
    result, (test,) = measured(repository)
    result.assert_outcomes(failed=1)
    kept = {one["limit"]: one["verdict"] for one in test["absolute"]}  # type: ignore[attr-defined]
    assert kept == {"p50<10us": "regressed", "rps>1": "equivalent", "memory<4GB": "equivalent"}
    assert "p50<10us is broken" in result.stdout.str()


def test_tails_at_a_rate_have_their_own_metrics(repository: Project) -> None:
    repository.configure(FAST.replace('"450ms"', '"3s"'))
    repository.test(
        """
        import pytest

        @pytest.mark.perf(rate=1000)
        def test_items(perf):
            perf.get("/items")
        """
    )
    result, (test,) = measured(repository)
    metrics = test["metrics"]
    assert isinstance(metrics, dict)
    assert "p99 at 1000 a second: " in " ".join(result.stdout.str().split())
    assert metrics["rate_p99"]["verdict"] is not None
    assert metrics["rate_p50"]["candidate"] > 0


def test_an_app_compared_with_itself_is_stored_for_its_hardware(repository: Project) -> None:
    result = repository.run("--perf", "--perf-aa")
    assert "of 1 builds" in " ".join(result.stdout.str().split())
    assert [path.name for path in repository.path.glob("baselines/*/*.json")] == ["equals.json"]
    # A profile with nothing but that has no baselines, and the next run learns from it.
    _, (test,) = measured(repository)
    assert test["mode"] == "paired"


def test_a_rate_that_neither_side_can_keep_is_worthless(repository: Project) -> None:
    repository.test(
        """
        import pytest

        @pytest.mark.perf(rate=40_000)
        def test_items(perf):
            perf.get("/items")
        """
    )
    result, (test,) = measured(repository)
    result.assert_outcomes(failed=1)
    assert test["verdict"] == "invalid"
    assert "of 40000 requests a second, main (" in " ".join(result.stdout.str().split())
