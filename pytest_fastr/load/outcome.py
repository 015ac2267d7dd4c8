"""Failed requests, in words a person can act on."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

_WORDS = {
    "connect_refused": "connection refused: nothing listens there any more",
    "connect_timeout": "no connection within the time limit",
    "connect_failed": "the connection could not be made",
    "reset": "connection reset by the server",
    "eof": "the server closed the connection in the middle of an answer",
    "timeout": "no answer within the time limit",
    "protocol_error": "the answer was no valid HTTP",
    "unexpected_status": "unexpected status",
    "check_failed": "the answer failed its check",
    "unfinished": "not over when the run and its drain time ended",
}


def describe_outcome(outcome: str) -> str:
    """One kind of failure in words."""
    return _WORDS.get(outcome, outcome)


def failures(outcomes: Mapping[str, int]) -> dict[str, int]:
    """The kinds that are no good answers, with their counts."""
    return {kind: count for kind, count in outcomes.items() if kind != "ok" and count}


def describe_failures(outcomes: Mapping[str, int], statuses: Mapping[int, int], expected: int | None) -> str:
    """All failures of a load, worst first: ``31 of 400 requests failed: 31 x status 500 ...``."""
    bad = failures(outcomes)
    total = sum(outcomes.values())
    parts = []
    for kind, count in sorted(bad.items(), key=lambda item: -item[1]):
        if kind == "unexpected_status" and statuses:
            seen = sorted(((n, code) for code, n in statuses.items() if code != expected and n), reverse=True)
            codes = ", ".join(f"{n} x {describe_status(code)}" for n, code in seen)
            wanted = "2xx or 3xx" if expected is None else describe_status(expected)
            parts.append(f"{codes} instead of {wanted}")
        else:
            parts.append(f"{count} x {describe_outcome(kind)}")
    return f"{sum(bad.values())} of {total} requests failed: " + "; ".join(parts)


def describe_status(code: int) -> str:
    """``500 Internal Server Error``."""
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)
