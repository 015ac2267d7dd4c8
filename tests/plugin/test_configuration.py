"""Mistakes in configuration, options and markers: one clear error, and an exit code that is not 0."""

from __future__ import annotations

from fnmatch import fnmatch

import pytest

from support.project import Project

TEST = "def test_items(perf):\n    perf.get('/')\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[tool.pytest-fastr]\napp = "shop:app"\nuser = 3\n', "*unknown key `user`; did you mean `users`?*"),
        ("[tool.pytest-fastr]\nusers = 0\n", "*`users` is 0*whole number from 1 up*"),
        ("[tool.pytest-fastr\n", "*pyproject.toml*"),
        ('[tool.pytest-fastr]\nduration = "5 hours"\n', "*duration above zero*"),
    ],
)
def test_a_mistake_in_the_configuration_ends_the_run(project: Project, text: str, words: str) -> None:
    project.configure(text)
    project.test(TEST)
    result = project.run("--perf")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert any(fnmatch(line, words) for line in [*result.outlines, *result.errlines]), result.outlines


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--perf-update",), "*give both*"),
        (("--perf-json=x.json",), "*--perf-json writes what --perf measures: give both*"),
        (("--perf", "--perf-json=."), "*is a folder: name a file*"),
        (("--perf", "--perf-json=shop.py/x.json"), "*--perf-json*cannot be written*shop.py is no folder*"),
        (("--perf", "--perf-json", "test_perf.py"), "*--perf-json 'test_perf.py' cannot*it is code*would be lost*"),
        (("--perf", "--perf-csv=pyproject.toml"), "*--perf-csv*it is code or configuration*"),
        (("--perf", "--perf-json=x", "--junitxml=x"), "*--junitxml and --perf-json name the same file*"),
        (("--perf", "--perf-csv=x", "--log-file=./x"), "*--log-file and --perf-csv name the same file*"),
        (("--perf", "--perf-json=x", "--benchmark-json=x"), "*--benchmark-json and --perf-json name the same file*"),
        (("--perf", "--perf-baselines", "/"), "*write --perf-baselines=/*"),
        (("--perf", "--perf-epochs", "0"), "*must be 1 to 100*"),
        (("--perf", "--perf-duration", "soon"), "*--perf-duration*duration above zero*"),
    ],
)
def test_a_mistake_in_an_option_ends_the_run(project: Project, args: tuple[str, ...], words: str) -> None:
    project.test(TEST)
    result = project.run(*args)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([words])
    assert "def test" in (project.path / "test_perf.py").read_text()


@pytest.mark.parametrize(
    ("marker", "words"),
    [
        ("user=3", "*unknown argument 'user'; did you mean 'users'?*"),
        ('mount="wsgi"', '*`mount` is \'wsgi\'; it must be "auto" or "asgi" or "native"*'),
        ("20", "*keyword arguments only*"),
        ('limit={"cpus": "2%"}', "*unknown metric `cpus`; did you mean `cpu`?*"),
        ('app="shop"', "*'shop' names no application*"),
        ('app="shop:ap"', "*'shop' has no attribute 'ap'; did you mean 'app'?*"),
        ('app="shp:app"', "*there is no module 'shp'*"),
        ('app="shop:create_app"', "*looks like a factory: write 'shop:create_app()'*"),
    ],
)
def test_a_mistake_in_a_marker_fails_its_test(project: Project, marker: str, words: str) -> None:
    project.test(f"import pytest\n\n@pytest.mark.perf({marker})\ndef test_items(perf):\n    perf.get('/')\n")
    result = project.run()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([words])


def test_no_application_says_the_three_ways_to_name_one(project: Project) -> None:
    project.configure("")
    project.test(TEST)
    result = project.run()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*[[]tool.pytest-fastr]*perf_app*@pytest.mark.perf(app=*"])


def test_a_mistake_is_told_without_the_plugins_source(project: Project) -> None:
    project.test(
        "import pytest\n\n@pytest.mark.perf(user=3)\n" + TEST + "\n\ndef test_path(perf):\n    perf.get('x')\n"
    )
    result = project.run()
    result.assert_outcomes(errors=1, failed=1)
    assert "fixtures.py" not in result.stdout.str()
    result.stdout.fnmatch_lines(["*test_perf.py:9: path 'x' must start with '/'*", "FAILED *must start with*"])


def test_the_folder_of_the_configuration_is_on_the_import_path(project: Project) -> None:
    project.monkeypatch.delenv("PYTHONPATH")
    project.test(TEST, "tests/test_perf.py")
    project.write("elsewhere/file", "")
    project.monkeypatch.chdir(project.path / "elsewhere")
    project.run(str(project.path / "tests")).assert_outcomes(passed=1)
