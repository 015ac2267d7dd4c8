"""How far a measurement has come, for whoever watches it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from pytest_fastr import _native
from pytest_fastr.load.run import share_and_rps


@dataclass(frozen=True, slots=True)
class Moment:
    """Where a measurement stands: what it does, the share of it that is done (0 to 1), and what its load has shown
    lately (None: not known)."""

    phase: str
    share: float = 0.0
    rps: float | None = None
    p99_us: float | None = None


Show = Callable[[Moment], None]
"""Is called with the present moment, at most every 50 ms and never during a slice."""


def part_of(show: Show, begin: float, share: float, prefix: str = "") -> Show:
    """Shows a part of a longer piece of work: the part begins at ``begin`` and takes ``share`` of the whole."""

    def shown(moment: Moment) -> None:
        show(replace(moment, phase=prefix + moment.phase, share=begin + moment.share * share))

    return shown


def one_after_another(show: Show, phases: Sequence[tuple[str, float]]) -> Iterator[Watch]:
    """A watch for each phase in its order. A phase is its name and the seconds that it takes, about."""
    total_s = sum(seconds for _, seconds in phases)
    begin = 0.0
    for name, seconds in phases:
        share = seconds / total_s
        yield Watch(part_of(show, begin, share), name)
        begin += share


class Watch:
    """Translates the generator's progress in one phase."""

    def __init__(self, show: Show, phase: str) -> None:
        self._show = show
        self._phase = phase

    def __call__(self, progress: _native.Progress) -> None:
        share, rps = share_and_rps(progress)
        self._show(Moment(self._phase, share, rps, latest_p99_us(progress)))


def latest_p99_us(progress: _native.Progress) -> float | None:
    """The 99th percentile of the response times of the last second, in microseconds."""
    return None if progress.latest_ns is None else progress.latest_ns[1] / 1000
