"""The values that pass from the gate to the report: plain, frozen, and complete.

A is the baseline's (reference's) side, B the candidate's, always. A renderer needs nothing besides these, and
decides nothing. `profile` describes the hardware that a `SessionReport` speaks of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar, Literal

from pytest_fastr.gate.evidence import Evidence
from pytest_fastr.gate.profile import HardwareProfile


class Verdict(str, Enum):
    """What is known about a metric, a test or a session."""

    REGRESSED = "regressed"
    """Worse by the limit or more, and the interval lies beyond zero."""
    IMPROVED = "improved"
    """The mirror image of regressed."""
    EQUIVALENT = "equivalent"
    """The interval's bad end lies below the limit: no regression, proven."""
    INCONCLUSIVE = "inconclusive"
    """Neither could be shown."""
    NEW = "new"
    """There is no baseline to compare with."""
    INVALID = "invalid"
    """A rule of validity voided the result, or there is none."""

    # Python versions differ in how a str enum formats itself.
    def __str__(self) -> str:
        return self.value


class Outcome(str, Enum):
    """What a verdict does to the build."""

    PASS = "pass"
    FAIL = "fail"

    def __str__(self) -> str:
        return self.value


_SEVERITY = (
    Verdict.INVALID,
    Verdict.REGRESSED,
    Verdict.NEW,
    Verdict.INCONCLUSIVE,
    Verdict.IMPROVED,
    Verdict.EQUIVALENT,
)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict that speaks for all of them. Improved, where the rest is equivalent.

    Of nothing it is invalid: what was not measured has not passed.
    """
    seen = set(verdicts)
    return next((verdict for verdict in _SEVERITY if verdict in seen), Verdict.INVALID)


def severity(verdict: Verdict) -> int:
    """Where the verdict stands among all, 0 being the worst."""
    return _SEVERITY.index(verdict)


@dataclass(frozen=True, slots=True)
class Policy:
    """What the verdicts that are neither good nor bad do to the build."""

    inconclusive: Literal["pass", "fail"] = "pass"
    new: Literal["pass", "fail"] = "pass"


def policy_for(inconclusive: Literal["pass", "fail"], new: Literal["auto", "pass", "fail"], in_ci: bool) -> Policy:
    """The policy of a configuration. `auto`: a test without a baseline passes locally and fails in CI."""
    if new == "auto":
        return Policy(inconclusive, "fail" if in_ci else "pass")
    return Policy(inconclusive, new)


def outcome_of(verdict: Verdict, policy: Policy) -> Outcome:
    """Whether the verdict lets the build pass."""
    if verdict is Verdict.INCONCLUSIVE:
        return Outcome(policy.inconclusive)
    if verdict is Verdict.NEW:
        return Outcome(policy.new)
    return Outcome.PASS if verdict in (Verdict.EQUIVALENT, Verdict.IMPROVED) else Outcome.FAIL


@dataclass(frozen=True, slots=True)
class MetricResult:
    """One metric of one test, compared."""

    name: str
    unit: str
    """`us`, `ns`, `s`, `rps`, `bytes`, or any other word to print behind the number."""
    direction: Literal["lower", "higher"]
    """Which way is better."""
    baseline: float | None = None
    candidate: float | None = None
    change: float | None = None
    """Relative change of the candidate as a fraction: 0.02 is 2 % more."""
    low: float | None = None
    """Lower end of the change's interval."""
    high: float | None = None
    """Upper end of the change's interval."""
    limit: float | None = None
    """The change for the worse, as a positive fraction, that counts as a regression."""
    verdict: Verdict | None = None
    """None: shown, not gated."""
    smallest_detectable: float | None = None
    """The smallest change that this run could have seen, as a positive fraction."""
    notes: tuple[str, ...] = ()
    log_ratio: float | None = None
    """ln(candidate / other side) as this run measured it; in `stored` mode the other side is the reference app."""
    log_ratio_se: float | None = None
    """Its standard error within this run."""

    @property
    def worsening(self) -> float | None:
        """The change for the worse: positive is worse, whichever way the metric counts."""
        if self.change is None:
            return None
        return self.change if self.direction == "lower" else -self.change


@dataclass(frozen=True, slots=True)
class AbsoluteResult:
    """A limit that no baseline moves, and the value it was held against: microseconds, requests a second or bytes;
    None: not known."""

    limit: str
    metric: str
    value: float | None
    verdict: Verdict
    """`equivalent` (kept), `regressed` (broken) or `inconclusive` (not known)."""
    at_most: bool = False
    """The value is a bound: there were too few answers for the quantile, which is no longer than the longest."""
    at_least: bool = False
    """The value is that of a lower quantile: there were too few answers for this one, which is no shorter."""


@dataclass(frozen=True, slots=True)
class LaneResult:
    """The lane of the route that takes a test's request, and the lane that such a request had on the other side."""

    route: str
    """Method and path of the route: `GET /items/{item_id}`."""
    lane: str
    """`fast`, `typed`, `full` or `asgi`."""
    reasons: tuple[str, ...] = ()
    """Why it is in no better one."""
    baseline: str | None = None
    """None: not known, so that nothing is compared."""
    verdict: Verdict | None = None
    """`regressed`, `improved` or `equivalent`. None: nothing was compared, or it is shown and not gated."""
    message: str = ""
    """One sentence where the lane is another one."""


@dataclass(frozen=True, slots=True)
class ValidityNote:
    """Something that can make a number wrong, measured beside it."""

    level: Literal["void", "warn"]
    """`void` makes the test invalid, `warn` is said."""
    code: str
    """A stable short name of the rule, such as `generator-bound`."""
    message: str
    """One sentence with the number that the rule looked at, and what to do."""


@dataclass(frozen=True, slots=True)
class TestReport:
    """One perf test: what was measured, and what that means."""

    __test__: ClassVar[bool] = False  # pytest collects classes by the name Test*

    nodeid: str
    path: str
    """The test's file, relative to the root directory."""
    line: int
    """The test's first line, counted from 1."""
    verdict: Verdict
    requests: int = 0
    errors: Mapping[str, int] = field(default_factory=dict)
    """Errors by kind."""
    validity: tuple[ValidityNote, ...] = ()
    metrics: Mapping[str, MetricResult] = field(default_factory=dict)
    load: Mapping[str, object] = field(default_factory=dict)
    """What was done: `users`, `duration_s`, `epochs`, `requests` (their names), `mode`. JSON values only."""
    rps: float | None = None
    p50_us: float | None = None
    p99_us: float | None = None
    cpu_us_per_request: float | None = None
    peak_rss_bytes: float | None = None
    confirmed: bool | None = None
    """Whether a red result was seen again with new processes; None when no look was red."""
    looks: int = 1
    """How often it was judged, each time with more epochs pooled."""
    output: str = ""
    """The tail of the server's log."""
    mode: str = "stored"
    """What it was compared with: `stored`, `paired` (another git ref), `equal` (itself), or `none`."""
    against: str = ""
    """What it was compared with, for a person."""
    absolute: tuple[AbsoluteResult, ...] = ()
    """Limits that no baseline moves."""
    lane: LaneResult | None = None
    """The lane of its route; None: its request takes none of FastAPI's, or lanes are off."""
    where: tuple[str, ...] = ()
    """Where the time of a regressed test went: lines of text."""
    evidence: Evidence | None = None
    """What plots are drawn from. None: nothing was measured."""

    @property
    def is_function(self) -> bool:
        """Whether it measures a function of the tests' own process, and not requests."""
        return "function" in self.load


@dataclass(frozen=True, slots=True)
class SessionReport:
    """All perf tests of one pytest session."""

    profile: HardwareProfile
    tests: tuple[TestReport, ...]
    started: str
    """ISO 8601, with a time zone."""
    duration_s: float
    versions: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    against: str | None = None
    """The other git ref, for a person; None: there was none."""
    changes: tuple[str, ...] = ()
    """What a reader must know besides: what differs between the two refs, and which baselines there are: sentences."""
    exit_code: int | None = None
    """How pytest ended, by its exit code as far as it was known when this was written. None: not told."""
    failed: tuple[str, ...] = ()
    """Node ids of the tests and files that failed, for whatever reason."""
