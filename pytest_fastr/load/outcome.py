"""Failed requests, in words a person can act on."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

_WORDS = {
    "connect_refused": "connection refused: nothing listens there",
    "connect_timeout": "no connection within the time limit",
    "fd_exhausted": "no file descriptor was left for the connection (ulimit -n)",
    "connect_failed": "the connection could not be made",
    "tls_failed": "TLS failed",
    "reset": "connection reset by the server",
    "eof": "the server closed the connection in the middle of an answer",
    "timeout": "no answer within the time limit",
    "protocol_error": "the answer was no valid HTTP",
    "unexpected_status": "unexpected status",
    "check_failed": "the answer failed its check",
    "unfinished": "not over when the run and its drain time ended",
}
_PROTOCOL_FAULTS = {
    "bad_head": "its head is no HTTP/1 response",
    "head_too_long": "its head is longer than 64 KiB",
    "bad_status": "a status that is no answer to a plain request",
    "bad_content_length": "its content-length is not one number",
    "bad_chunk_size": "a chunk has no proper size line",
    "bad_chunk_end": "a chunk does not end where its size says",
    "surplus_bytes": "more bytes follow its end",
}


def describe_outcome(outcome: str) -> str:
    """One kind of failure in words."""
    return _WORDS.get(outcome, outcome)


def describe_detail(outcome: str, detail: str) -> str:
    """One reason of a kind of failure in words."""
    reason = _PROTOCOL_FAULTS.get(detail, detail)
    if outcome == "check_failed":
        return f"this does not hold: {reason}"
    return f"{describe_outcome(outcome)}: {reason}"


def failures(outcomes: Mapping[str, int]) -> dict[str, int]:
    """The kinds that are no good answers, with their counts."""
    return {kind: count for kind, count in outcomes.items() if kind != "ok" and count}


def failure_lines(
    outcomes: Mapping[str, int], statuses: Mapping[int, int], details: Mapping[str, Mapping[str, int]]
) -> list[tuple[int, str]]:
    """How often what went wrong, most often first: counts and words."""
    lines = []
    for kind, count in failures(outcomes).items():
        if kind == "unexpected_status" and statuses:
            lines += [(seen, describe_status(code)) for code, seen in statuses.items()]
            continue
        told = details.get(kind, {})
        lines += [(seen, describe_detail(kind, detail)) for detail, seen in told.items()]
        untold = count - sum(told.values())
        if untold > 0:
            lines.append((untold, describe_outcome(kind)))
    return sorted(lines, key=lambda line: (-line[0], line[1]))


def describe_failures(
    outcomes: Mapping[str, int],
    statuses: Mapping[int, int],
    expected: int | None,
    details: Mapping[str, Mapping[str, int]] | None = None,
) -> str:
    """All failures of a load, most often first: ``31 of 400 requests failed: 31 x status 500 ...``.

    ``expected``: the status of a good answer; None: 200 to 399.
    """
    wanted = "2xx or 3xx" if expected is None else describe_status(expected)
    unexpected = {describe_status(code) for code in statuses}
    parts = [
        f"{count} x {words}" + (f" instead of {wanted}" if words in unexpected else "")
        for count, words in failure_lines(outcomes, statuses, details or {})
    ]
    bad, total = sum(failures(outcomes).values()), sum(outcomes.values())
    return f"{bad} of {total} requests failed: " + "; ".join(parts)


def describe_status(code: int) -> str:
    """``500 Internal Server Error``."""
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)
