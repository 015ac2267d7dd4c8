"""Names of applications are understood, and what is wrong with them is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_fastr.errors import AppImportError
from pytest_fastr.mount import AppRef

APPS = Path(__file__).parents[1] / "apps"


@pytest.fixture(autouse=True)
def apps_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(APPS)


@pytest.mark.parametrize("text", ["shop.main:app", "a:b.c", "m:make()", " m:app ", "größe:app"])
def test_a_name_is_read_and_written_back(text: str) -> None:
    assert str(AppRef.parse(text)) == text.strip()


@pytest.mark.parametrize("text", ["", "app", "a:", ":b", "a:b:c", "a/b:c", "m:make(1)", "a..b:c", "1a:b"])
def test_what_is_no_name_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(AppImportError, match=r"write 'module:attr', e\.g\. 'shop\.main:app'"):
        AppRef.parse(text)


@pytest.mark.parametrize(
    "text", ["trouble:hangs", "trouble:make()", "trouble:classic", "trouble:Classic()", "everyday:app"]
)
def test_an_application_is_loaded(text: str) -> None:
    assert callable(AppRef.parse(text).load())


@pytest.mark.parametrize(("text", "message"), [
    ("troubel:app", "there is no module 'troubel'; run from the folder"),
    ("trouble.sub:app", "there is no module 'trouble.sub'"),
    ("needs_a_missing_module:app", "importing 'needs_a_missing_module' failed: No module named 'a_module_that"),
    ("unimportable:app", "importing 'unimportable' raised LookupError: no settings"),
    ("trouble:hang", "no attribute 'hang'; did you mean 'hangs'"),
    ("trouble:zzzzzz", "no attribute 'zzzzzz'$"),
    ("trouble:classic.inner", "no attribute 'inner'"),
    ("trouble:number", "is an object of type int, not an application"),
    ("trouble:number()", "'number' is a int, not a factory; drop the"),
    ("trouble:make", r"looks like a factory: write 'trouble:make\(\)'"),
    ("trouble:make_nothing()", "the factory raised LookupError: no settings"),
    ("trouble:hangs()", "the factory raised TypeError"),
])  # fmt: skip
def test_what_cannot_be_loaded_says_why(text: str, message: str) -> None:
    with pytest.raises(AppImportError, match=message):
        AppRef.parse(text).load()
