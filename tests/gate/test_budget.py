"""The time of a session, and what becomes of tests when it is short."""

from __future__ import annotations

from pytest_fastr.gate.budget import LEAST_SHARE, Budget


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_few_tests_get_what_they_ask_for() -> None:
    assert Budget(600.0, tests=4).duration_s(5.0, epochs=6) == 5.0


def test_many_tests_share_what_there_is_and_none_gets_less_than_a_fifth() -> None:
    many = Budget(600.0, tests=50).duration_s(5.0, epochs=6)
    assert 5.0 * LEAST_SHARE < many < 5.0
    assert Budget(600.0, tests=50).duration_s(5.0, epochs=6, comparisons=2) < many
    assert Budget(1.0, tests=1000).duration_s(5.0, epochs=6) == 5.0 * LEAST_SHARE


def test_a_further_look_must_leave_the_other_tests_their_first_one() -> None:
    clock = Clock()
    session = Budget(100.0, tests=3, clock=clock)
    with session.spending():
        clock.now_s += 20
        session.first_look(20.0)
        # 20 of 100 s are used, and two tests of about 20 s are to come.
        assert session.allows(40.0)
        assert not session.allows(40.1)
        clock.now_s += 30
        assert not session.allows(11.0)


def test_after_the_last_test_only_the_clock_counts() -> None:
    clock = Clock()
    session = Budget(100.0, tests=1, clock=clock)
    with session.spending():
        session.first_look(20.0)
        clock.now_s += 90
        assert session.allows(10.0)
        assert not session.allows(10.1)


def test_time_that_nothing_is_measured_in_costs_nothing() -> None:
    clock = Clock()
    session = Budget(100.0, tests=2, clock=clock)
    clock.now_s += 1000
    for _ in range(2):
        with session.spending():
            clock.now_s += 20
            session.first_look(20.0)
        clock.now_s += 1000
    assert session.allows(60.0)
    assert not session.allows(60.1)
