"""Limits of a load run, as a person writes them: ``p99<50ms``, ``rps>2000``, ``errors<1%``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pytest_fastr.errors import LoadError
from pytest_fastr.keys import parse_duration
from pytest_fastr.load.result import QUANTILES, LoadReport

_FORM = re.compile(
    r"\s*(?P<metric>[a-z0-9_]+)\s*(?P<sign>[<>])\s*(?P<value>[0-9.]+)\s*(?P<unit>us|ms|s|m|%)?\s*", re.ASCII
)
_TIMES = (*QUANTILES, "max", "mean")
_KNOWN = f"{', '.join(_TIMES)} (of the response time, such as p99<50ms), rps>2000 and errors<1%"


@dataclass(frozen=True, slots=True)
class Limit:
    """``metric`` must stay below (``<``) or above (``>``) ``bound``: microseconds, requests a second, or a share."""

    text: str
    metric: str
    sign: str
    bound: float


@dataclass(frozen=True, slots=True)
class LimitResult:
    """A limit and the value it was held against; None: the run was too short to tell."""

    limit: Limit
    value: float | None
    at_most: bool = False
    """The value is a bound: there were too few answers for the quantile, which is no longer than the longest."""

    @property
    def is_known(self) -> bool:
        """Whether the run could tell."""
        return self.value is not None

    @property
    def kept(self) -> bool:
        """Whether the value is known and lies on the right side of the bound."""
        if self.value is None:
            return False
        return self.value < self.limit.bound if self.limit.sign == "<" else self.value > self.limit.bound


def parse_limit_text(text: str) -> Limit:
    """A limit from its text. Raises LoadError that names what to change."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise LoadError(f"limit {text!r}: write a metric, < or >, and a bound; known are {_KNOWN}")
    metric, sign, number, unit = match["metric"], match["sign"], match["value"], match["unit"] or ""
    try:
        value = float(number)
    except ValueError:
        raise LoadError(f"limit {text!r}: {number!r} is no number") from None
    if metric in _TIMES:
        if sign != "<" or unit not in ("us", "ms", "s", "m"):
            raise LoadError(f"limit {text!r}: a time has an upper limit with its unit, such as {metric}<50ms")
        bound = value if unit == "us" else parse_duration(f"{number}{unit}", f"limit {text!r}") * 1e6
        return Limit(text.strip(), metric, sign, bound)
    if metric == "rps":
        if sign != ">" or unit:
            raise LoadError(f"limit {text!r}: throughput has a lower limit without unit, such as rps>2000")
        return Limit(text.strip(), metric, sign, value)
    if metric == "errors":
        if sign != "<" or unit != "%":
            raise LoadError(f"limit {text!r}: errors have an upper limit in percent, such as errors<1%")
        if value > 100:
            raise LoadError(f"limit {text!r}: no more than 100 % of the requests can fail")
        return Limit(text.strip(), metric, sign, value / 100)
    raise LoadError(f"limit {text!r}: unknown metric {metric!r}; known are {_KNOWN}")


def hold(report: LoadReport, limits: tuple[Limit, ...]) -> tuple[LimitResult, ...]:
    """Every limit with the value it is held against."""
    return tuple(_hold(report, limit) for limit in limits)


def errors_are_limited(results: tuple[LimitResult, ...]) -> bool:
    """Whether a limit says how many requests may fail; without one none may."""
    return any(result.limit.metric == "errors" for result in results)


def why_refused(report: LoadReport, results: tuple[LimitResult, ...]) -> str:
    """Why a run is no success, in words: a limit that was not kept, failed requests where no limit allows them, or a
    void note. Empty: it is one."""
    for result in results:
        if not result.kept:
            return result.limit.text if result.is_known else f"{result.limit.text}: the run was too short to tell"
    if report.errors and not errors_are_limited(results):
        return f"{report.errors:,} request{'s' if report.errors > 1 else ''} failed"
    return next((note.message for note in report.notes if note.level == "void"), "")


def _hold(report: LoadReport, limit: Limit) -> LimitResult:
    value, longest = _value(report, limit.metric), report.response.max_us
    if value is None and limit.metric in QUANTILES and longest is not None and longest < limit.bound:
        return LimitResult(limit, longest, at_most=True)
    return LimitResult(limit, value)


def _value(report: LoadReport, metric: str) -> float | None:
    if metric == "rps":
        return report.rps
    if metric == "errors":
        return report.errors / report.requests if report.requests else None
    if metric == "max":
        return report.response.max_us
    if metric == "mean":
        return report.response.mean_us
    return report.response.quantiles_us[metric]
