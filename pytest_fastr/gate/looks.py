"""Sequential looks at one test: when to measure more, and what a series of looks comes to. Pure functions.

A look judges all epochs measured so far. The first look can only end a test that is not red; a red one, or one that
more epochs could turn red, is looked at again with fresh processes and the epochs of all looks pooled. So a
regression is never called on one set of processes: the pooled epochs must show it at this look's share of the
false-alarm budget, and those after the first look must show it by themselves, by the limit or more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_fastr.gate.compare import Comparison
from pytest_fastr.gate.model import MetricResult, Verdict

LOOKS = (1, 2, 4)
"""How many times the test's epochs have been measured at each look."""
SPENT = (0.9, 0.1, 0.9)
"""Which share of the false-alarm budget each look spends. The first one can call nothing regressed, so it spends none
and is judged as the last one is. The second ends clear cases early, with so little that the last hardly misses it."""
WORTH_A_LOOK = 0.1
"""The least chance of turning red for which more is measured."""

_ONLY_FIRST = "the first processes showed it, those started to confirm it did not"
_ONLY_EARLIER = "an earlier look called it regressed, all epochs together do not"


@dataclass(frozen=True, slots=True)
class Look:
    """``pooled``: every epoch so far, compared. ``later``: those after the first look alone; None at the first."""

    pooled: Comparison
    later: Comparison | None = None


def is_decided(look: Look) -> bool:
    """Whether more epochs would be wasted: a confirmed regression, or nothing that could become one."""
    return bool(confirmed_reds(look)) or max(look.pooled.chances.values(), default=0.0) < WORTH_A_LOOK


def confirmed_reds(look: Look) -> set[str]:
    """The metrics that the pooled epochs call regressed and the later ones show by themselves."""
    if look.later is None:
        return set()
    later = look.later.results
    return {metric for metric in _reds(look.pooled.results) if metric in later and _is_shown(later[metric])}


def outcome_of_looks(looks: Sequence[Look]) -> tuple[dict[str, MetricResult], bool | None]:
    """The last look's results, a red one only where it is confirmed; and whether a red was, None where there was none.

    A metric that any look called regressed and that is not confirmed is inconclusive: its processes disagree.
    """
    last = looks[-1]
    confirmed = confirmed_reds(last)
    suspects = set().union(*(_reds(look.pooled.results) for look in looks))
    results = dict(last.pooled.results)
    for metric in suspects - confirmed:
        result = results[metric]
        if result.verdict is not Verdict.INVALID:
            note = _ONLY_FIRST if result.verdict is Verdict.REGRESSED else _ONLY_EARLIER
            results[metric] = replace(result, verdict=Verdict.INCONCLUSIVE, notes=(*result.notes, note))
    return results, bool(confirmed) if suspects else None


def _reds(results: Mapping[str, MetricResult]) -> set[str]:
    return {metric for metric, result in results.items() if result.verdict is Verdict.REGRESSED}


def _is_shown(result: MetricResult) -> bool:
    return result.worsening is not None and result.limit is not None and result.worsening >= result.limit
