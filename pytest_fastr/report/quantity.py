"""How numbers and names are written: three significant digits, the unit by magnitude, never `nan`.

What is missing or not finite is written as `-`.
"""

from __future__ import annotations

import math

MISSING = "-"

_TITLES = {
    "cpu": "CPU per request",
    "throughput": "throughput",
    "p50": "median response time",
    "p90": "p90 response time",
    "p99": "p99 response time",
    "memory": "peak memory",
    "time": "time per call",
}
_MICROSECONDS = {"ns": 0.001, "us": 1.0, "us/call": 1.0, "ms": 1000.0, "s": 1_000_000.0}


def metric_title(name: str, unit: str = "") -> str:
    """The metric in words; its unit tells calls from requests."""
    return "CPU per call" if name == "cpu" and unit == "us/call" else _TITLES.get(name, name)


MOST_SHARE = 10.0
"""Sizes from here on are told as "more than": their digits mean nothing any more."""


def time_text(microseconds: float | None) -> str:
    """`850 ns`, `213 us`, `4.10 ms`, `1.23 s`."""
    return _scaled(microseconds, ((0.001, "ns"), (1.0, "us"), (1000.0, "ms"), (1_000_000.0, "s")))


def bytes_text(size: float | None) -> str:
    """`512 B`, `38.1 MiB`, `1.20 GiB`."""
    return _scaled(size, ((1.0, "B"), (1024.0, "KiB"), (1024.0**2, "MiB"), (1024.0**3, "GiB")))


def rate_text(per_second: float | None) -> str:
    """`1,230`, `12.3`: a rate without its unit."""
    if per_second is None or not math.isfinite(per_second):
        return MISSING
    return f"{per_second:,.0f}" if abs(per_second) >= 99.95 else _three_digits(per_second)


def percent_text(fraction: float | None) -> str:
    """`+18.3 %`: a change, always with its sign."""
    number = signed_percent(fraction)
    return number if number == MISSING else f"{number} %"


def share_text(fraction: float | None) -> str:
    """`18.3 %`, `5 %`: a size without a sign."""
    if fraction is None or not math.isfinite(fraction):
        return MISSING
    if abs(fraction) >= MOST_SHARE:
        return f"more than {MOST_SHARE:.0%}".replace("%", " %")
    return f"{abs(fraction) * 100:,.1f}".removesuffix(".0") + " %"


def signed_percent(fraction: float | None) -> str:
    """`+18.3`: a change in percent without the unit."""
    if fraction is None or not math.isfinite(fraction):
        return MISSING
    # Rounded first: what rounds to zero has no sign of its own.
    rounded = round(fraction * 100, 1) + 0.0
    return f"{rounded:+,.1f}" if abs(rounded) < 1000 else f"{rounded:+,.0f}"


def interval_text(low: float | None, high: float | None) -> str:
    """`[+16.9, +19.7]` in percent; empty where neither end is known."""
    ends = (signed_percent(low), signed_percent(high))
    return "" if ends == (MISSING, MISSING) else f"[{ends[0]}, {ends[1]}]"


def value_text(value: float | None, unit: str) -> str:
    """A metric's value with its unit."""
    if value is None or not math.isfinite(value):
        return MISSING
    if unit in _MICROSECONDS:
        return time_text(value * _MICROSECONDS[unit])
    if unit == "bytes":
        return bytes_text(value)
    return f"{rate_text(value)} {unit}".rstrip()


def printable(text: str, ascii_only: bool = False) -> str:
    """The text on one line, with every character escaped that a terminal would act on or cannot show."""
    return "".join(
        one if one.isprintable() and (one.isascii() or not ascii_only) else one.encode("unicode_escape").decode()
        for one in text
    )


def _scaled(value: float | None, scales: tuple[tuple[float, str], ...]) -> str:
    if value is None or not math.isfinite(value):
        return MISSING
    # Three digits are taken first, so that 999.7 us becomes 1.00 ms and not 1000 us.
    rounded = float(f"{value:.3g}")
    factor, unit = next((scale for scale in reversed(scales) if abs(rounded) >= scale[0]), scales[0])
    return f"{_three_digits(value / factor)} {unit}"


def _three_digits(value: float) -> str:
    rounded = float(f"{value:.3g}")
    if rounded == 0:
        return "0"
    decimals = max(0, 2 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:,.{min(decimals, 3)}f}"
