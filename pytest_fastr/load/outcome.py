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
# What the system says of these is what their words say.
_SELF_EXPLAINING = ("connect_refused", "fd_exhausted", "reset")
_TLS_HINTS = (
    (
        "CaUsedAsEndEntity",
        " (it is an authority's own: trust it by --cacert FILE, or anyone: --insecure)",
    ),
    ("UnknownIssuer", " (trust its authority by --cacert FILE, or anyone: --insecure)"),
    ("BadSignature", " (trust its authority by --cacert FILE, or anyone: --insecure)"),
    ("not valid for name", " (the URL must have a name that the certificate has)"),
    ("InvalidContentType", " (does it speak https there?)"),
)
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
    if outcome == "tls_failed":
        hints = (hint for sign, hint in _TLS_HINTS if sign in detail)
        return f"{describe_outcome(outcome)}: {reason}{next(hints, '')}"
    if outcome == "check_failed":
        return f"this does not hold: {reason}"
    return f"{describe_outcome(outcome)}: {reason}"


def failures(outcomes: Mapping[str, int]) -> dict[str, int]:
    """The kinds that are no good answers, with their counts."""
    return {kind: count for kind, count in outcomes.items() if kind != "ok" and count}


def failure_lines(
    outcomes: Mapping[str, int],
    statuses: Mapping[int, int],
    details: Mapping[str, Mapping[str, int]],
    expected: str = "",
) -> list[tuple[int, str]]:
    """How often what went wrong, most often first: counts and words. ``expected``: the status of a good answer."""
    instead = f" instead of {expected}" if expected else ""
    lines = []
    for kind, count in failures(outcomes).items():
        if kind == "unexpected_status" and statuses:
            lines += [(seen, describe_status(code) + instead) for code, seen in statuses.items()]
            continue
        told = {} if kind in _SELF_EXPLAINING else details.get(kind, {})
        lines += [(seen, describe_detail(kind, detail)) for detail, seen in told.items()]
        untold = count - sum(told.values())
        if untold > 0:
            lines.append((untold, describe_outcome(kind)))
    return sorted(lines, key=lambda line: (-line[0], line[1]))


def describe_failures(
    outcomes: Mapping[str, int],
    statuses: Mapping[int, int],
    expected: str,
    details: Mapping[str, Mapping[str, int]] | None = None,
) -> str:
    """All failures of a load, most often first: ``31 of 400 requests failed: 31 x 500 Internal Server Error ...``.

    ``expected``: the status of a good answer, in words.
    """
    parts = [f"{count} x {words}" for count, words in failure_lines(outcomes, statuses, details or {}, expected)]
    bad, total = sum(failures(outcomes).values()), sum(outcomes.values())
    return f"{bad} of {total} requests failed: " + "; ".join(parts)


def describe_expected(expect: int | None) -> str:
    """The status of a good answer; None: 200 to 399."""
    return "2xx or 3xx" if expect is None else describe_status(expect)


def describe_status(code: int) -> str:
    """``500 Internal Server Error``."""
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)
