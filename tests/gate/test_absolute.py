"""Absolute limits, held against a real measurement."""

from __future__ import annotations

import pytest

from pytest_fastr.config import AbsoluteLimit, parse_limits
from pytest_fastr.gate.absolute import hold, notes
from pytest_fastr.gate.epochs import EpochPool
from pytest_fastr.gate.measure import LoadShape, Pair, Samples, measure
from pytest_fastr.gate.model import AbsoluteResult, Verdict
from pytest_fastr.gate.selftest import side_with


@pytest.fixture(scope="module")
def samples() -> Samples:
    """Two short epochs of an app that counts."""
    pool = EpochPool(1)
    pair = Pair(side_with(1, 0.0, "one"), side_with(1, 0.0, "other"))
    try:
        return measure(pool, pair, LoadShape(4, 0.4, 2, 0.3), range(2), lambda *_: None)
    finally:
        pool.close()


def limits(**given: object) -> dict[str, AbsoluteLimit]:
    return dict(parse_limits(given, "it").absolute)


def test_each_limit_has_its_value(samples: Samples) -> None:
    results = {one.metric: one for one in hold(samples, limits(p50="10s", rps=">1", memory="900GB", cpu="10s"))}
    assert {one.verdict for one in results.values()} == {Verdict.EQUIVALENT}
    stretch = samples.stretch
    assert results["rps"].value == pytest.approx(stretch.requests * 1e9 / stretch.duration_ns)
    p50 = stretch.quantile_ns(0.5)
    assert p50 is not None
    assert results["p50"].value == p50 / 1000
    assert results["memory"].value == samples.candidate.peak_rss_bytes
    assert results["cpu"].value is not None


def test_what_lies_beyond_its_limit_is_regressed(samples: Samples) -> None:
    broken = hold(samples, limits(p50="1us", rps=">900000000", memory="1kB", cpu="1us"))
    assert {one.verdict for one in broken} == {Verdict.REGRESSED}


def test_a_quantile_with_too_few_answers_is_no_longer_than_the_longest(samples: Samples) -> None:
    assert samples.stretch.quantile_ns(0.999) is None or samples.stretch.requests >= 10_000
    if samples.stretch.requests >= 10_000:
        pytest.skip("this machine answered so often that p99.9 is known")
    (kept,) = hold(samples, limits(p999="100s"))
    assert (kept.verdict, kept.at_most) == (Verdict.EQUIVALENT, True)
    (broken,) = hold(samples, limits(p999="1us"))
    assert (broken.verdict, broken.at_least) == (Verdict.REGRESSED, True)
    assert notes([broken]) == ()


def test_what_could_not_be_told_is_said() -> None:
    unknown = AbsoluteResult("p999<1s", "p999", None, Verdict.INCONCLUSIVE)
    (note,) = notes([unknown, AbsoluteResult("rps>1", "rps", 2.0, Verdict.EQUIVALENT)])
    assert (note.level, note.code) == ("warn", "absolute")
    assert note.message.startswith("p999<1s could not be told")
