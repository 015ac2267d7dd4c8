"""What comparisons of equals have shown: kept, bounded, and never misread."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_fastr.errors import BaselineError
from pytest_fastr.gate.equals import MOST_SESSIONS, Equals, EqualsSession, EqualsStore
from pytest_fastr.report.equals_text import equals_text, rate_interval


def session(red: int = 0, ratio: float = 0.01, name: str = "now") -> EqualsSession:
    return EqualsSession(name, 3, red, {"cpu": [(ratio, 0.002), (-ratio, 0.002)]}, {"cpu": [[0.01, -0.01]]})


def test_what_was_stored_is_read_back(tmp_path: Path) -> None:
    store = EqualsStore(tmp_path / "profile")
    assert store.load() == Equals()
    store.append(session())
    store.append(session(red=1))
    stored = store.load()
    assert (stored.builds, stored.red_builds) == (2, 1)
    assert stored.sessions[0] == session()


def test_the_last_sessions_are_kept(tmp_path: Path) -> None:
    store = EqualsStore(tmp_path)
    for number in range(MOST_SESSIONS + 2):
        store.append(session(name=str(number)))
    assert [one.recorded for one in store.load().sessions][:1] == ["2"]


def test_the_floor_is_what_equals_differ_by_beyond_their_errors() -> None:
    (sd, df) = Equals((session(ratio=0.005),)).floors()["cpu"]
    assert sd == pytest.approx((0.005**2 - 0.002**2) ** 0.5)
    assert df == 2
    assert Equals().floors() == {}


def test_what_epochs_differ_by_is_kept_for_all_sessions() -> None:
    assert Equals((session(), session())).epoch_ratios() == {"cpu": [[0.01, -0.01], [0.01, -0.01]]}


def one(red: int = 0, metrics: str = "{}", epochs: str = "{}") -> str:
    """A file with one session."""
    counts = f'"recorded": "", "tests": 1, "red": {red}'
    return (
        f'{{"schema_version": 1, "protocol": 2, "sessions": [{{{counts}, "metrics": {metrics}, "epochs": {epochs}}}]}}'
    )


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", "null", '{"schema_version": 2, "protocol": 2, "sessions": []}',
        '{"schema_version": 1, "protocol": 2, "sessions": {}}', "\xff",
        one(red=2), one(metrics='{"cpu": [[1]]}'), one(metrics='{"cpu": [[NaN, 1]]}'),
        one(metrics='{"cpu": [["a", 1]]}'), one(metrics='{"cpu": [[1, -1]]}'), one(metrics="[]"), one(epochs="[]"),
        one(epochs='{"cpu": [["a"]]}'), one(epochs='{"cpu": [1]}'),
    ],
)  # fmt: skip
def test_what_it_did_not_write_is_refused_and_left_as_it_is(tmp_path: Path, text: str) -> None:
    store = EqualsStore(tmp_path)
    store.path.write_bytes(text.encode("latin-1"))
    with pytest.raises(BaselineError, match=r"equals\.json"):
        store.load()
    with pytest.raises(BaselineError, match=r"equals\.json"):
        store.append(session())
    assert store.path.read_bytes() == text.encode("latin-1")


def test_a_rate_of_builds_has_an_exact_interval() -> None:
    # Known values: 0 of 300 bounds the rate at 1.22 %, 1 of 100 lies between 0.025 % and 5.45 %.
    assert rate_interval(0, 300) == pytest.approx((0.0, 0.01222), abs=1e-5)
    assert rate_interval(1, 100) == pytest.approx((0.000253, 0.05446), abs=1e-5)
    assert rate_interval(3, 3) == pytest.approx((0.2924, 1.0), abs=1e-4)


def test_it_is_told_in_a_sentence() -> None:
    text = equals_text(Equals((session(), session(red=1))))
    assert "1 of 2 builds with a false alarm" in text
    assert "cpu 1 %" in text
    assert equals_text(Equals()) == "nothing was compared with itself"
