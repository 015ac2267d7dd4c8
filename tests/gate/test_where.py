"""Which functions are named for a growth, and which are not."""

from __future__ import annotations

import pytest

from pytest_fastr.gate.where import Growth, grown, words
from pytest_fastr.mount.sampler import ENGINE, OTHER, UNSEEN, FunctionSamples, Profile

ROOTS = ("/tmp/base-1", "/home/me/shop")
PYTHON = "/usr/lib/python3.11"
INSTALLED = "/home/me/shop/.venv/lib/python3.11/site-packages"

# File, name, own samples, cumulative samples.
Line = tuple[str, str, int, int]


def profile(samples: int, *lines: Line, root: str = "") -> Profile:
    """A profile; relative files are in ``root``, and lines are numbered differently on every side."""
    functions = tuple(
        FunctionSamples(file if file[:1] in ("/", "<", "") else f"{root}/{file}", name, len(root) + at, own, cumulative)
        for at, (file, name, own, cumulative) in enumerate(lines)
    )
    return Profile(samples, functions)


def compare(
    before: tuple[int, list[Line]], after: tuple[int, list[Line]], costs: tuple[float, float] = (100.0, 120.0)
) -> tuple[Growth, ...]:
    return grown(
        profile(before[0], *before[1], root=ROOTS[0]), profile(after[0], *after[1], root=ROOTS[1]), *costs, ROOTS
    )


def names(growths: tuple[Growth, ...]) -> list[str]:
    return [growth.name for growth in growths]


def test_a_function_is_the_same_under_another_root_and_on_another_line() -> None:
    growths = compare((1000, [("shop/search.py", "rank", 100, 100)]), (1000, [("shop/search.py", "rank", 250, 250)]))
    (one,) = growths
    assert (one.name, one.inclusive) == ("shop/search.py:rank", False)
    assert (one.baseline_us, one.candidate_us) == pytest.approx((10.0, 30.0))
    assert (one.growth_us, one.share) == pytest.approx((20.0, 20 / 120))


def test_installed_packages_and_the_standard_library_are_known_wherever_they_are() -> None:
    before = [
        ("/opt/venv/lib/python3.11/site-packages/orm/query.py", "Query.run", 10, 10),
        (f"{PYTHON}/json/decoder.py", "JSONDecoder.decode", 10, 10),
        ("<string>", "__init__", 10, 10),
        ("", ENGINE, 10, 10),
    ]
    after = [
        (f"{INSTALLED}/orm/query.py", "Query.run", 200, 200),
        ("/opt/python-3.11.7/lib/python3.11/json/decoder.py", "JSONDecoder.decode", 190, 190),
        ("<string>", "__init__", 180, 180),
        ("", ENGINE, 170, 170),
    ]
    growths = compare((1000, before), (1000, after))
    assert names(growths) == [
        "orm/query.py:Query.run", "json/decoder.py:JSONDecoder.decode", "<string>:__init__", ENGINE,
    ]  # fmt: skip
    assert {growth.baseline_us for growth in growths} == {1.0}


def test_what_is_no_function_is_not_named_nor_the_engine_beside_threads_out_of_sight() -> None:
    after: list[Line] = [("", ENGINE, 300, 300), ("", OTHER, 300, 300)]
    assert names(compare((1000, []), (1000, after))) == [ENGINE]
    assert compare((1000, []), (1000, [*after, ("", UNSEEN, 300, 300)])) == ()
    assert compare((1000, [("", UNSEEN, 20, 20)]), (1000, after)) == ()


def test_a_new_function_counts_with_nothing_before() -> None:
    (one,) = compare((1000, [("shop/a.py", "old", 900, 900)]), (1000, [("shop/a.py", "new", 200, 200)]))
    assert (one.name, one.baseline_us) == ("shop/a.py:new", 0.0)
    assert one.candidate_us == pytest.approx(24.0)


def test_the_callee_is_named_and_not_its_callers() -> None:
    before = [("shop/search.py", "rank", 50, 50), ("shop/search.py", "search", 20, 70), ("shop/app.py", "main", 5, 500)]
    after = [
        ("shop/search.py", "rank", 250, 250),
        ("shop/search.py", "search", 20, 270),
        ("shop/app.py", "main", 5, 600),
    ]
    assert names(compare((1000, before), (1000, after))) == ["shop/search.py:rank"]


def test_a_growth_that_is_spread_over_a_library_names_the_innermost_caller_of_the_project() -> None:
    library = [(f"{INSTALLED}/orm/part{at}.py", "step", 10, 10) for at in range(20)]
    more = [(file, name, 25, 25) for file, name, _, _ in library]
    callers = [("shop/items.py", "list_items", 10, 210), ("shop/app.py", "handler", 10, 220), ("app.py", "run", 5, 300)]
    called_more = [
        ("shop/items.py", "list_items", 10, 510),
        ("shop/app.py", "handler", 10, 520),
        ("app.py", "run", 5, 600),
    ]
    (one,) = compare((1000, [*library, *callers]), (1000, [*more, *called_more]))
    assert (one.name, one.inclusive) == ("shop/items.py:list_items", True)
    assert (one.baseline_us, one.candidate_us) == pytest.approx((21.0, 61.2))


def test_a_library_s_function_is_named_together_with_the_project_s_that_calls_it() -> None:
    before = [(f"{PYTHON}/re/_compiler.py", "compile", 10, 10), ("shop/a.py", "clean", 10, 20)]
    after = [(f"{PYTHON}/re/_compiler.py", "compile", 300, 300), ("shop/a.py", "clean", 10, 310)]
    growths = compare((1000, before), (1000, after))
    assert [(one.name, one.inclusive) for one in growths] == [
        ("re/_compiler.py:compile", False),
        ("shop/a.py:clean", True),
    ]


def test_a_growth_elsewhere_explains_no_caller_that_has_grown_less() -> None:
    library = f"{INSTALLED}/orm/load.py"
    before = [("shop/a.py", "render", 10, 10), (library, "load", 10, 10), ("shop/a.py", "items", 10, 20)]
    after = [("shop/a.py", "render", 400, 400), (library, "load", 200, 200), ("shop/a.py", "items", 10, 210)]
    found = names(compare((1000, before), (1000, after)))
    assert found == ["shop/a.py:render", "orm/load.py:load", "shop/a.py:items"]


@pytest.mark.parametrize(("before", "after", "named"), [(100, 140, 0), (100, 150, 1), (0, 9, 0), (0, 40, 1)])
def test_what_sampling_alone_does_is_silent(before: int, after: int, named: int) -> None:
    sides = [(1000, [("a.py", "f", count, count)]) for count in (before, after)]
    assert len(compare(sides[0], sides[1], costs=(100.0, 100.0))) == named


def test_less_than_two_percent_is_silent_however_sure_it_is() -> None:
    sides = [(1_000_000, [("a.py", "f", count, count)]) for count in (100_000, 115_000)]
    assert compare(sides[0], sides[1], costs=(100.0, 100.0)) == ()


def test_sides_of_different_lengths_are_compared_by_cost() -> None:
    lines: list[list[Line]] = [[("a.py", "f", count, count)] for count in (100, 400)]
    assert compare((1000, lines[0]), (4000, lines[1]), costs=(100.0, 100.0)) == ()
    (one,) = compare((1000, lines[0]), (2000, lines[1]), costs=(100.0, 100.0))
    assert (one.baseline_us, one.candidate_us) == pytest.approx((10.0, 20.0))


def test_the_same_share_of_a_greater_cost_is_a_growth() -> None:
    sides = [(5000, [("a.py", "f", 2500, 2500)])] * 2
    (one,) = compare(sides[0], sides[1], costs=(100.0, 150.0))
    assert one.growth_us == pytest.approx(25.0)


@pytest.mark.parametrize(("samples", "costs"), [
    ((0, 100), (100.0, 120.0)), ((100, 0), (100.0, 120.0)), ((100, 100), (0.0, 120.0)),
    ((100, 100), (100.0, float("nan"))), ((100, 100), (float("inf"), 120.0)),
])  # fmt: skip
def test_without_samples_or_costs_nothing_is_named(samples: tuple[int, int], costs: tuple[float, float]) -> None:
    after: list[Line] = [("a.py", "f", samples[1], samples[1])]
    assert compare((samples[0], []), (samples[1], after), costs=costs) == ()


def test_the_greatest_five_are_named_greatest_first() -> None:
    after: list[Line] = [("a.py", f"f{at}", 50 + 10 * at, 1000) for at in range(9)]
    before: list[Line] = [("a.py", f"f{at}", 0, 1000) for at in range(9)]
    growths = compare((1000, before), (1000, after), costs=(100.0, 100.0))
    assert names(growths) == ["a.py:f8", "a.py:f7", "a.py:f6", "a.py:f5", "a.py:f4"]


def test_functions_of_one_name_are_one() -> None:
    twice: list[Line] = [("a.py", "f", 100, 900), ("a.py", "f", 150, 900)]
    (one,) = compare((1000, [("a.py", "f", 100, 900)]), (1000, twice), costs=(100.0, 100.0))
    assert (one.baseline_us, one.candidate_us) == pytest.approx((10.0, 25.0))


def test_the_words_stand_in_columns_of_at_most_76() -> None:
    lines = words((
        Growth("shop/search.py:rank", 12.1, 33.4, 21.3, 0.2),
        Growth("shop/items.py:list_items", 0.0, 1234.5, 1234.5, 0.1, inclusive=True),
        Growth("sqlalchemy/orm/session.py:Session.flush", 1.0, 2.0, 1.0, 0.1),
    ))  # fmt: skip
    assert lines == (
        "shop/search.py:rank               +21.3 us a request (12.1 -> 33.4)",
        "shop/items.py:list_items          +1234 us a request (0.0 -> 1234), with calls",
        ".../orm/session.py:Session.flush  +1.0 us a request (1.0 -> 2.0)",
    )
    assert words(()) == ()
