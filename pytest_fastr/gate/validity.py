"""What makes samples worthless or doubtful: a rule, a number, a sentence. Pure functions."""

from __future__ import annotations

import os
import sys
from typing import Literal

from pytest_fastr import _native
from pytest_fastr.gate.measure import LEAST_ANSWERED, Samples, answered_rate
from pytest_fastr.gate.model import ValidityNote

# Above these shares a run is worth a warning.
BUSY_GENERATOR = 0.9
HIGH_STEAL = 0.25
BUSY_WHEN_IDLE = 0.02
OTHER_PROGRAMS = 0.25
UNEVEN_CONNECTIONS = 3.0
MOST_HANDLES = 5


def validity(samples: Samples) -> tuple[ValidityNote, ...]:
    """What makes the samples worthless (void) or doubtful (warn). The numbers are in docs/validity.md."""
    notes: list[ValidityNote] = []

    def note(level: Literal["void", "warn"], code: str, message: str) -> None:
        notes.append(ValidityNote(level=level, code=code, message=message))

    tracing = next((epoch.tracing for epoch in samples.epochs if epoch.tracing), None)
    if tracing:
        note("void", "tracing", f"{tracing} is active in the server: run perf tests without it (--no-cov)")
    if any(epoch.debug_build for epoch in samples.epochs):
        note("void", "debug-build", "the engine is a debug build: install it with `maturin develop --release`")
    sides = [side for epoch in samples.epochs for side in epoch.paired.sides]
    generators = [epoch.paired.generator for epoch in samples.epochs]
    busy = max((one.utilisation or 0.0) for one in generators)
    if busy > BUSY_GENERATOR:
        note(
            "warn",
            "generator",
            f"the load generator was busy {busy:.0%} of the time and may be the limit itself",
        )
    steal = max((one.steal or 0.0) for one in generators)
    if steal > HIGH_STEAL:
        note("warn", "steal", f"the host took {steal:.0%} of the CPU away while this was measured")
    shares = [share for epoch in samples.epochs if (share := other_programs(epoch.paired)) is not None]
    if shares and (share := sum(shares) / len(shares)) > OTHER_PROGRAMS:
        note("warn", "neighbours", f"other programs kept {share:.0%} of this machine's cores busy: intervals are wider")
    if not all(epoch.steady for epoch in samples.epochs):
        note("warn", "warm-up", "throughput was not steady when the warm-up ended: raise `warmup_max`")
    if any(side.processes_changed for side in sides):
        note(
            "warn",
            "processes",
            "the server started or ended processes; the CPU time of ended ones is missing",
        )
    for side, idle in ((samples.pair.a, samples.baseline), (samples.pair.b, samples.candidate)):
        share = _idle_share(idle)
        if share is not None and share > BUSY_WHEN_IDLE:
            note(
                "warn",
                "idle",
                f"{side.title} used {share:.0%} of a core while nothing was asked of it, which is counted as its "
                "requests': end what runs in the background (timers, exporters, reloaders)",
            )
    notes += _rate_notes(samples)
    if sys.platform == "linux" and any(epoch.paired.core is None for epoch in samples.epochs):
        why = "the server's processes are not known" if samples.pair.unmeasured else "the system did not let them"
        note("warn", "placement", f"servers and generator did not share a core ({why}): intervals will be wide")
    if samples.pair.b.source.is_object:
        note("warn", "forked", "an application object: epochs are forks, their hash seed is this process' own")
    if shared := list(dict.fromkeys(handle for epoch in samples.epochs for handle in epoch.shared)):
        note(
            "warn",
            "shared-handles",
            f"the application was forked together with {', '.join(shared[:MOST_HANDLES])}"
            f"{' and more' if len(shared) > MOST_HANDLES else ''}: processes that talk on one connection garble each "
            "other's answers; open it in the application's start-up, or name the application as \"module:attr\"",
        )
    fewest, most = (
        side([epoch.stretch.balance[index] for epoch in samples.epochs]) for index, side in enumerate((min, max))
    )
    if _may_have_workers(samples) and fewest and most / fewest > UNEVEN_CONNECTIONS:
        note(
            "warn",
            "balance",
            f"connections carried from {fewest:,} to {most:,} requests: workers get uneven load, and that decides as "
            "much as their code does",
        )
    return tuple(notes)


def _may_have_workers(samples: Samples) -> bool:
    """Whether several processes may share the candidate's connections."""
    source = samples.pair.b.source
    return source.foreign is not None or source.launch.options.workers > 1


def _rate_notes(samples: Samples) -> list[ValidityNote]:
    """Whether the rate was answered: void where neither side could, and a warning where only one could not."""
    rate = samples.shape.rate
    if rate is None:
        return []
    pairs = [pair for epoch in samples.epochs for pair in epoch.at_rate]
    answered = [answered_rate([pair[index].side for pair in pairs]) for index in (0, 1)]
    slow = [
        f"{side.title} answered {done:.0f}"
        for side, done in zip((samples.pair.a, samples.pair.b), answered, strict=True)
        if done < rate * LEAST_ANSWERED
    ]
    if not slow:
        return []
    message = (
        f"of {rate:g} requests a second, {' and '.join(slow)}: such tails are those of a growing queue; lower `rate`"
    )
    return [ValidityNote("void" if len(slow) == 2 else "warn", "rate", message)]


def other_programs(paired: _native.PairedResult) -> float | None:
    """The share of the machine's cores that was used by neither server nor the generator, 0 to 1. None: not told."""
    generator = paired.generator
    own = [generator.cpu_ns, *(side.cpu_ns for side in paired.sides), *(side.idle_cpu_ns for side in paired.sides)]
    cores = os.cpu_count()
    if generator.busy_cores is None or not cores or any(value is None for value in own[:3]):
        return None
    used = sum(value or 0 for value in own) / generator.wall_ns
    return min(max((generator.busy_cores - used) / cores, 0.0), 1.0)


def is_void(notes: tuple[ValidityNote, ...]) -> bool:
    """Whether one of them voids the result."""
    return any(note.level == "void" for note in notes)


def _idle_share(side: _native.Side) -> float | None:
    """CPU time of a server while it had nothing to do, over that time."""
    if side.idle_cpu_ns is None or not side.idle_ns:
        return None
    return side.idle_cpu_ns / side.idle_ns
