"""Servers that run already: what is compared with what, how wide, and what must be said about it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pytest_fastr.apps import UrlApp
from pytest_fastr.errors import MeasurementError
from pytest_fastr.gate.basis import PRIOR_SPREAD
from pytest_fastr.gate.equals import Equals
from pytest_fastr.gate.measure import Pair
from pytest_fastr.gate.model import ValidityNote


def refuse_equals(app: UrlApp) -> None:
    """Raises MeasurementError: comparisons of equals need two of them."""
    raise MeasurementError(
        f"{app.url} cannot be compared with itself: --perf-aa needs a second server of the same application, and this "
        "one is not started here; deselect the test, or give its `command`"
    )


def refuse_ref(app: UrlApp, title: str) -> None:
    """Raises MeasurementError: nobody can serve another ref's state at a URL."""
    raise MeasurementError(
        f"{app.url} cannot be compared with {title}: what runs at a URL is not started here, so nobody serves the "
        "other ref; give its `command` instead, or start both servers yourself and leave --perf-against out for "
        "{ url = ..., against = ... }"
    )


def refuse_limits(pair: Pair, limits: Mapping[str, object]) -> None:
    """Raises MeasurementError for absolute limits on what cannot be known."""
    lost = sorted(pair.unmeasured & limits.keys())
    if lost:
        raise MeasurementError(
            f"{pair.b.request.name}: the limit of {' and '.join(lost)} cannot be held, since the `pid` of "
            f"{pair.b.source.app} is not given: give it, or leave the limit out"
        )


RUNNING_SPREAD = {**PRIOR_SPREAD, "cpu": 0.08, "throughput": 0.08}
"""What two processes of one application differ by until this hardware has shown it, as a log ratio's standard
deviation: once in a dozen pairs 22 % of CPU time (2 cores, busy with other work)."""

UNPLACED_SPREAD = {
    **RUNNING_SPREAD, "throughput": 0.12, "p50": 0.20, "p90": 0.20, "p99": 0.20, "rate_p50": 0.20,
}  # fmt: skip
"""The same where the generator shares its core with one of them, and nobody can tell with which: once in a dozen pairs
18 % of throughput."""


def floors(equals: Equals, pair: Pair) -> dict[str, tuple[float, float]]:
    """What two processes of one application differ by, per metric: a log ratio's standard deviation and its degrees of
    freedom. As this hardware's comparisons of equals have it, where those shared a core as this pair does.

    Elsewhere fresh processes in every epoch average that out. Here it stays in the ratio, whatever the load time.
    """
    if pair.unmeasured:
        return {metric: (spread, math.inf) for metric, spread in UNPLACED_SPREAD.items()}
    known = {metric: _spread(ratios) for metric, ratios in equals.epoch_ratios().items()}
    return {metric: known.get(metric) or (prior, math.inf) for metric, prior in RUNNING_SPREAD.items()}


def _spread(tests: Sequence[Sequence[float]]) -> tuple[float, float] | None:
    """The spread of epochs within tests, pooled. None where no test has two epochs."""
    freedom = sum(len(epochs) - 1 for epochs in tests if epochs)
    if freedom < 1:
        return None
    squares = sum((ratio - sum(epochs) / len(epochs)) ** 2 for epochs in tests for ratio in epochs)
    return math.sqrt(squares / freedom), float(freedom)


def notes(pair: Pair) -> tuple[ValidityNote, ...]:
    """What a reader must know about a comparison with a server that runs already."""
    if not pair.is_running:
        return ()
    said = [
        ValidityNote(
            "warn",
            "same-processes",
            "a server at a URL: every epoch loads the same processes anew, so what two processes of one application "
            "differ by is in the result, and only larger changes are told",
        )
    ]
    if pair.unmeasured:
        message = (
            "CPU time and memory per request are not known, since the `pid` of a server at a URL is not given: "
            "throughput and response times decide alone"
        )
        said.append(ValidityNote("warn", "cpu-unknown", message))
    return tuple(said)
