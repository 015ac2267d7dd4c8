"""Two finished runs held against each other: what both were measured against is compared, the rest is only shown.

Absolute numbers of two runs differ by 8 to 27 % on shared machines without any change of the code. Their log ratios to
the same other side (the frozen reference app, or one commit) do not, and are compared with the spread that the gate
assumes between single sessions. Pure functions on reports: A is the earlier run, B the later one.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from pytest_fastr import _native
from pytest_fastr.gate.basis import UNKNOWN_FLOOR, prior_spread
from pytest_fastr.gate.compare import CONFIDENCE
from pytest_fastr.gate.model import MetricResult, SessionReport, TestReport, Verdict
from pytest_fastr.gate.profile import HardwareProfile

FALSE_ALARM = 0.01
"""Of the whole comparison, divided over what is judged."""
_POWER = 0.8
_USUAL_LIMIT = 0.05
NOT_THE_LOAD = frozenset({"duration_s", "epochs", "generator_utilisation", "cpu_pressure"})
"""What may differ between runs of one load: how long it was offered, and how the machine fared."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One metric in both runs. ``change``, ``low``, ``high``: from A to B, as fractions."""

    metric: str
    unit: str
    a: float | None
    """A's absolute value."""
    b: float | None
    change: float | None
    low: float | None = None
    """Ends of the 95 % interval. None: absolute numbers, of which there is none."""
    high: float | None = None
    limit: float | None = None
    verdict: Verdict | None = None
    """None: shown, not judged."""
    smallest_detectable: float | None = None


@dataclass(frozen=True, slots=True)
class Pairing:
    """One test in both runs."""

    nodeid: str
    mode: str
    against: str
    request: str
    indicative: str
    """Why nothing can be judged, so that absolute numbers are shown; empty: it was judged."""
    differences: tuple[Difference, ...]

    @property
    def is_compared(self) -> bool:
        """Whether any metric was judged."""
        return any(one.verdict is not None for one in self.differences)


@dataclass(frozen=True, slots=True)
class TwoRuns:
    """All that is known of the two."""

    pairs: tuple[Pairing, ...]
    added: tuple[str, ...]
    """Tests that only B has."""
    removed: tuple[str, ...]
    notes: tuple[str, ...]
    """What differs around the tests: sentences."""

    @property
    def worse(self) -> tuple[Pairing, ...]:
        """Tests with a metric that is worse than its limit, beyond its interval."""
        return tuple(pair for pair in self.pairs if any(one.verdict is Verdict.REGRESSED for one in pair.differences))


def compare_runs(a: SessionReport, b: SessionReport, limit: float | None = None) -> TwoRuns:
    """Compares the runs. ``limit``: of every metric, as a fraction; None: each metric's own one in B."""
    first, second = _by_key(a.tests), _by_key(b.tests)
    profiles = _profiles_differ(a.profile, b.profile)
    common = [(first[key], test) for key, test in second.items() if key in first]
    reasons = [profiles or _why_not(one, other) for one, other in common]
    judged = sum(len(_gated(one, other)) for (one, other), reason in zip(common, reasons, strict=True) if not reason)
    return TwoRuns(
        pairs=tuple(
            _pair(one, other, reason, limit, FALSE_ALARM / max(judged, 1))
            for (one, other), reason in zip(common, reasons, strict=True)
        ),
        added=tuple(_title(test) for key, test in second.items() if key not in first),
        removed=tuple(_title(test) for key, test in first.items() if key not in second),
        notes=tuple(_notes(a, b, profiles)),
    )


_Key = tuple[str, str, str, int]


def _by_key(tests: Sequence[TestReport]) -> dict[_Key, TestReport]:
    """Tests by node id, mode and request; a test that measures a request more than once has it by number."""
    seen: Counter[tuple[str, str, str]] = Counter()
    found = {}
    for test in tests:
        key = (test.nodeid, test.mode, _request(test))
        found[(*key, seen[key])] = test
        seen[key] += 1
    return found


def _request(test: TestReport) -> str:
    return str(test.load.get("request", ""))


def _title(test: TestReport) -> str:
    return f"{test.nodeid} ({test.mode})"


def _profiles_differ(a: HardwareProfile, b: HardwareProfile) -> str:
    keys = (asdict(a.key), asdict(b.key))
    changed = [name.replace("_", " ") for name, value in keys[0].items() if keys[1][name] != value]
    return f"the hardware profiles differ ({', '.join(changed)})" if changed else ""


def _why_not(a: TestReport, b: TestReport) -> str:
    for name, test in (("A", a), ("B", b)):
        if test.verdict is Verdict.INVALID:
            codes = ", ".join(note.code for note in test.validity if note.level == "void")
            return f"{name}'s result is invalid ({codes or 'a metric is missing'})"
    if a.mode not in ("stored", "paired"):
        return "it was compared with itself" if a.mode == "equal" else "it was not measured against anything"
    changed = _load_changes(a.load, b.load)
    if changed:
        return f"the loads differ: {changed}"
    if a.mode == "paired":
        # Only a commit is the same thing in two runs: what a server at a URL or a branch is may have changed.
        if not re.search(r"(^|\()[0-9a-f]{7,40}\)?$", a.against):
            return "the other side is not known to be the same in both"
        if _commit(a.against) != _commit(b.against):
            return f"they were measured against different commits ({a.against}, {b.against})"
    if not any(_is_known(a, b, name) for name in b.metrics):
        return "a file holds no log ratios: pytest-fastr was older, or there were too few answers"
    return ""


def _commit(against: str) -> str:
    return against.rpartition("(")[2].rstrip(")")


def _load_changes(a: Mapping[str, object], b: Mapping[str, object]) -> str:
    names = [name for name in {**a, **b} if name not in NOT_THE_LOAD and a.get(name) != b.get(name)]
    return ", ".join(f"{name} {a.get(name)} -> {b.get(name)}" for name in names)


def _is_known(a: TestReport, b: TestReport, metric: str) -> bool:
    found = (a.metrics.get(metric), b.metrics.get(metric))
    return metric in prior_spread(b.load) and all(
        one is not None and one.log_ratio is not None and one.log_ratio_se is not None for one in found
    )


def _gated(a: TestReport, b: TestReport) -> list[str]:
    """The metrics to judge: those that decide in one of the runs, and can be compared."""
    return [
        name
        for name, metric in b.metrics.items()
        if _is_known(a, b, name) and (metric.verdict is not None or a.metrics[name].verdict is not None)
    ]


def _pair(a: TestReport, b: TestReport, reason: str, limit: float | None, false_alarm: float) -> Pairing:
    gated = [] if reason else _gated(a, b)
    differences = []
    for name, metric in b.metrics.items():
        before = a.metrics.get(name)
        if before is None:
            continue
        if reason or not _is_known(a, b, name):
            differences.append(_absolute(before, metric))
        else:
            noise = _noise(a, b, before, metric)
            difference = _difference(before, metric, noise, limit, false_alarm)
            differences.append(difference if name in gated else replace(difference, verdict=None))
    return Pairing(b.nodeid, b.mode, b.against, _request(b), reason, tuple(differences))


def _absolute(a: MetricResult, b: MetricResult) -> Difference:
    change = None
    if a.candidate is not None and b.candidate is not None and a.candidate > 0:
        change = b.candidate / a.candidate - 1
    is_known = change is not None and math.isfinite(change)
    return Difference(b.name, b.unit, a.candidate, b.candidate, change if is_known else None)


@dataclass(frozen=True, slots=True)
class _Noise:
    """What the difference of two log ratios is uncertain by: its standard error, and the degrees of freedom of that."""

    se: float
    df: float

    def beyond(self, probability: float) -> float:
        """How far from the truth it lies with no more than this probability, to one side."""
        return _native.student_t_quantile(probability, self.df) * self.se


def _noise(a: TestReport, b: TestReport, before: MetricResult, after: MetricResult) -> _Noise:
    """Both runs' own errors, known from their epochs, and the spread between sessions, which is assumed."""
    spread = prior_spread(b.load)[after.name] if b.mode == "stored" else UNKNOWN_FLOOR[0]
    own = [(before.log_ratio_se or 0.0, _epochs(a)), (after.log_ratio_se or 0.0, _epochs(b))]
    se = math.hypot(own[0][0], own[1][0], math.sqrt(2) * spread)
    # Welch and Satterthwaite's, as shares of the whole.
    return _Noise(se, 1 / max(sum((one / se) ** 4 / (epochs - 1) for one, epochs in own), 1e-6))


def _epochs(test: TestReport) -> int:
    epochs = test.load.get("epochs")
    return max(epochs, 2) if isinstance(epochs, int) else 2


def _difference(a: MetricResult, b: MetricResult, noise: _Noise, limit: float | None, false_alarm: float) -> Difference:
    """Judges as the gate does: worse by the limit or more, and beyond zero at the false-alarm rate."""
    moved = (b.log_ratio or 0.0) - (a.log_ratio or 0.0)
    bound = next(one for one in (limit, b.limit, a.limit, _USUAL_LIMIT) if one is not None and one > 0)
    lower_is_better = b.direction == "lower"
    rise, fall = math.log1p(bound), -math.log1p(-min(bound, 0.99))
    worse_by, better_by = (rise, fall) if lower_is_better else (fall, rise)
    worsening = moved if lower_is_better else -moved
    red = noise.beyond(1 - false_alarm)
    if worsening >= worse_by and worsening > red:
        verdict = Verdict.REGRESSED
    elif -worsening >= better_by and -worsening > red:
        verdict = Verdict.IMPROVED
    elif worsening + noise.beyond(CONFIDENCE) < worse_by:
        verdict = Verdict.EQUIVALENT
    else:
        verdict = Verdict.INCONCLUSIVE
    reach, seen = noise.beyond(0.5 + CONFIDENCE / 2), max(worse_by, red) + noise.beyond(_POWER)
    return Difference(
        metric=b.name,
        unit=b.unit,
        a=a.candidate,
        b=b.candidate,
        change=_change(moved),
        low=_change(moved - reach),
        high=_change(moved + reach),
        limit=bound,
        verdict=verdict,
        smallest_detectable=_change(seen) if lower_is_better else -_change(-seen),
    )


def _change(log_ratio: float) -> float:
    # A file may hold any finite number; beyond this a change has no meaning.
    return math.expm1(min(max(log_ratio, -20.0), 20.0))


def _notes(a: SessionReport, b: SessionReport, profiles: str) -> Iterator[str]:
    if profiles:
        yield f"{profiles}: {a.profile.slug}, {b.profile.slug}"
    for name in sorted({*a.versions, *b.versions}):
        before, after = (one.versions.get(name, "not known") for one in (a, b))
        if before != after:
            yield f"{name} differs: {before}, then {after}"
    recorded = (asdict(a.profile.recorded), asdict(b.profile.recorded))
    for name in ("kernel", "libc", "virtualisation"):
        if recorded[0][name] != recorded[1][name]:
            yield f"{name} differs: {recorded[0][name] or 'not known'}, then {recorded[1][name] or 'not known'}"
