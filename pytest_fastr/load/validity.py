"""What makes the numbers of a load run worthless, doubtful, or easy to misread. The numbers are in docs/load.md."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_fastr import _native
from pytest_fastr.load.result import LoadReport, Note
from pytest_fastr.load.shape import Precision

BUSY_GENERATOR = 0.95
LATE_US = 1000.0
TOO_LATE_US = 10_000.0
# In a shorter run a single stall of the machine is one in ten.
ENOUGH_TO_BE_LATE = 1000
WAITED_FOR_A_CORE = 0.1
HIGH_STEAL = 0.25
UNEVEN_CONNECTIONS = 2.0
NEAR_FLOOR = 1.25
SENT_TWICE = 0.01
RATE_REACHED = 0.99
# Nagle's algorithm holds a small packet back until the last one is acknowledged, and Linux delays that for 40 ms.
DELAYED_ACK_NS = (38_000_000, 46_000_000)
DELAYED_ACK_SHARE = 0.01
FAST_US = 20_000.0


def notes(report: LoadReport, service: _native.Histogram, precision: Precision | None = None) -> tuple[Note, ...]:
    """All notes on a report; ``service`` holds its service times, ``precision`` is what was asked for."""
    return (
        *_void(report),
        *_generator(report),
        *_load(report, precision),
        *_readings(report, service),
    )


def _void(report: LoadReport) -> Iterator[Note]:
    if not report.ok:
        yield Note("void", "nothing", "nothing was measured: no request was answered as expected")
    if report.ended_early == "dead":
        yield Note("void", "dead", "no connection could be made, again and again, so the run ended early")
    if report.ended_early == "error_rate":
        yield Note(
            "void", "error-rate", f"too many requests failed ({report.errors:,} of {report.requests:,}): ended early"
        )
    if report.ok and report.never_sent and report.ended_early != "stopped":
        yield Note("void", "never-sent", f"the run ended before it came to {', '.join(report.never_sent)}")
    busy = report.generator.utilisation
    if report.ok and busy is not None and busy > BUSY_GENERATOR:
        yield Note("void", "generator", f"the generator was the bottleneck: it was busy {busy:.0%} of the time")
    lateness = report.generator.lateness
    late = lateness.quantiles_us["p90"]
    if lateness.count >= ENOUGH_TO_BE_LATE and late is not None and late > TOO_LATE_US:
        yield Note(
            "void", "too-late", f"the generator kept no schedule: it sent one in ten requests {late / 1000:.0f} ms late"
        )


def _generator(report: LoadReport) -> Iterator[Note]:
    generator = report.generator
    # Where too few were sent for a quantile, the worst one speaks.
    late = generator.lateness.quantiles_us["p99"] or generator.lateness.max_us
    if late is not None and late > LATE_US:
        yield Note(
            "warn",
            "late",
            f"requests were sent up to {late / 1000:.1f} ms after they were due (p99, or the worst of a few)",
        )
    if generator.run_queue_wait is not None and generator.run_queue_wait > WAITED_FOR_A_CORE:
        yield Note("warn", "core", f"the generator waited for a core {generator.run_queue_wait:.0%} of the time")
    if generator.steal is not None and generator.steal > HIGH_STEAL:
        yield Note("warn", "steal", f"the host took {generator.steal:.0%} of the CPU away")
    floor = None if generator.floor is None else generator.floor.p50_us
    median = report.service.quantiles_us["p50"]
    if not report.is_open and floor is not None and median is not None and median < floor * NEAR_FLOOR:
        yield Note(
            "info",
            "floor",
            f"half of the answers took {median:.0f} us; on a server that does nothing the generator takes {floor:.0f} "
            "us: such times are the generator's and the system's as much as the server's",
        )


def _load(report: LoadReport, precision: Precision | None) -> Iterator[Note]:
    fewest, most = report.balance
    if not report.is_ramp and fewest and most / fewest > UNEVEN_CONNECTIONS:
        yield Note(
            "warn", "balance", f"connections carried from {fewest:,} to {most:,} requests: workers get uneven load"
        )
    if report.resent > SENT_TWICE * report.requests:
        yield Note(
            "warn",
            "resent",
            f"{report.resent:,} requests were sent twice: the server closed their connections without any answer",
        )
    missed = report.unsent + report.dropped
    if report.scheduled and missed > (1 - RATE_REACHED) * report.scheduled:
        yield Note(
            "warn",
            "rate",
            f"the rate was not reached: {report.scheduled - missed:,} of {report.scheduled:,} due requests were sent "
            "before the end",
        )
    if report.dropped:
        yield Note("warn", "dropped", f"{report.dropped:,} due requests were dropped because too many were queued")
    if precision is not None and (report.precision is None or report.precision > precision.within):
        reached = "too little to tell how precisely" if report.precision is None else f"to {report.precision:.1%}"
        yield Note("warn", "precision", f"wanted was {precision}; when the time was over it was known {reached}")


def _readings(report: LoadReport, service: _native.Histogram) -> Iterator[Note]:
    if report.ended_early == "stopped":
        flight = "counts as unfinished" if report.is_open else "is not counted"
        yield Note("info", "stopped", f"interrupted: this is the result so far; what was in flight {flight}")
    if not report.is_open:
        yield Note(
            "info",
            "closed-loop",
            "a closed loop waits for each answer, so its tail is not what users at a fixed rate would see (--rate)",
        )
    median = report.service.quantiles_us["p50"]
    held = service.count_between(*DELAYED_ACK_NS)
    if median is not None and median < FAST_US and held > DELAYED_ACK_SHARE * report.service.count:
        yield Note(
            "warn",
            "delayed-ack",
            f"{held / report.service.count:.0%} of the answers took about 40 ms, as long as Nagle's algorithm and "
            "delayed acknowledgements hold one back: see that the server sets TCP_NODELAY or writes it in one piece",
        )
