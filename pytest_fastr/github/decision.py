"""What a result means for a build: the exit code, and the word that GitHub's checks have for it.

Nothing here asks GitHub: a build must not turn green or red with the state of somebody else's servers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from pytest_fastr.gate.model import TestReport, Verdict, severity, worst
from pytest_fastr.report.load_reader import LoadRun
from pytest_fastr.report.result_reader import ResultFile

FailOn = Literal["regressed", "inconclusive", "never"]
Conclusion = Literal["success", "failure", "neutral"]

_RED = {Verdict.REGRESSED, Verdict.INVALID}
_FAILING: dict[FailOn, set[Verdict]] = {
    "regressed": _RED,
    "inconclusive": _RED | {Verdict.INCONCLUSIVE},
    "never": set(),
}
_PASSING = {Verdict.EQUIVALENT, Verdict.IMPROVED}


@dataclass(frozen=True, slots=True)
class PytestOutcome:
    """How pytest ended, besides what it measured."""

    exit_code: int
    failed: frozenset[str] = frozenset()
    """Node ids of the tests and files that failed."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the result means."""

    verdict: Verdict
    counts: Counter[Verdict]
    problems: tuple[str, ...]
    """Why the build fails, as sentences in which no text of the result stands. Empty: it passes."""
    also_failed: tuple[str, ...] = ()
    """Node ids of tests that failed for another reason than their verdict."""

    @property
    def fails(self) -> bool:
        return bool(self.problems)

    @property
    def conclusion(self) -> Conclusion:
        """Neutral where the policy lets pass what was not shown to be good."""
        if self.fails:
            return "failure"
        return "success" if self.verdict in _PASSING else "neutral"

    @property
    def changed(self) -> bool:
        """Whether somebody should be told: numbers moved, or there are none."""
        moved = (Verdict.REGRESSED, Verdict.IMPROVED, Verdict.INVALID)
        return any(self.counts[one] for one in moved) or self.verdict is Verdict.INVALID or bool(self.also_failed)

    @property
    def headline(self) -> str:
        """`2 tests: 1 regressed, 1 equivalent`."""
        total = sum(self.counts.values())
        said = ", ".join(f"{self.counts[one]} {one}" for one in sorted(self.counts, key=severity))
        return f"{total} test{'' if total == 1 else 's'}: {said}" if total else "no test was measured"


def decide(result: ResultFile, fail_on: FailOn, outcome: PytestOutcome | None = None) -> Decision:
    """Judges the result. ``outcome``: how the pytest run that wrote it ended, where that is known better than by it."""
    if outcome is None and result.session.exit_code is not None:
        outcome = PytestOutcome(result.session.exit_code, frozenset(result.session.failed))
    measured: list[TestReport | LoadRun] = [*result.session.tests, *result.loads]
    counts = Counter(one.verdict for one in measured)
    verdict = worst(counts)
    failing = [one for one in sorted(counts, key=severity) if one in _FAILING[fail_on]]
    problems = [f"{counts[one]} {'test is' if counts[one] == 1 else 'tests are'} {one}." for one in failing]
    if not measured and fail_on != "never":
        problems.append("Nothing was measured.")
    failed = frozenset[str]() if outcome is None else outcome.failed
    without = failed & _named(measured, {Verdict.NEW}) if fail_on != "never" else frozenset[str]()
    if without:
        problems.append(f"{_tests(len(without))} without a baseline failed, as `new` of the configuration says.")
    also = tuple(sorted(failed - without - _excused(measured, fail_on)))
    if also:
        problems.append(f"{_tests(len(also))} failed for another reason.")
    if outcome is not None and outcome.exit_code not in (0, 1):
        problems.append(f"pytest ended with exit code {outcome.exit_code}, so the result may not be all of it.")
    elif outcome is not None and outcome.exit_code == 1 and not outcome.failed:
        problems.append("pytest failed without a failed test: its log says why.")
    return Decision(verdict, counts, tuple(problems), also)


def _excused(measured: Collection[TestReport | LoadRun], fail_on: FailOn) -> frozenset[str]:
    """Tests whose failure the verdict explains, so that ``fail_on`` alone says whether it counts."""
    return _named(measured, _RED | {Verdict.INCONCLUSIVE} | ({Verdict.NEW} if fail_on == "never" else set()))


def _named(measured: Collection[TestReport | LoadRun], verdicts: set[Verdict]) -> frozenset[str]:
    return frozenset(one.nodeid for one in measured if one.verdict in verdicts)


def _tests(count: int) -> str:
    return f"{count} test" + ("" if count == 1 else "s")
