"""Measures one request of one application: epochs of alternating slices against the reference application.

Values in, values out: :func:`measure` turns a plan into :class:`Samples` and judges nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace

from pytest_fastr import _native
from pytest_fastr.errors import MeasurementError
from pytest_fastr.gate.epochs import AppSource, Epoch, EpochPool
from pytest_fastr.load import RequestSpec, build_request, describe_failures, failures
from pytest_fastr.load.outcome import describe_expected
from pytest_fastr.load.run import share_and_rps
from pytest_fastr.mount import ServerProcess
from pytest_fastr.mount.process import describe_exit

# Share of the load time that runs as the user's own closed loop; its throughput and quantiles are what is printed.
STRETCH_SHARE = 0.2
MIN_SLICE_SECONDS = 0.002
# Precision comes from the number of alternations: at 20 ms a round the error within an epoch was twice that at 5 ms.
MAX_ROUND_SECONDS = 0.005
# "Do not cut connections": longer than any round can take.
UNCUT_ROUND_SECONDS = 3600.0
WARM_UP_WINDOW_SECONDS = 0.05
WARM_UP_MIN_WINDOWS = 4
CONNECT_TIMEOUT_SECONDS = 5.0
CHUNKS = 8

REFERENCE_REQUEST = build_request("GET", "/", name="reference")

Show = Callable[[str, float, float | None], None]
"""Draws progress: phase, share done (0 to 1), requests a second so far."""


@dataclass(frozen=True, slots=True)
class LoadShape:
    """How much load. ``duration_s`` is per side, over all epochs.

    ``slice_users`` is the number of connections of a round. It is part of the operating point, on which a cost depends
    by several per cent: compared sessions must share it. None: cut ``users`` until a round is short.
    """

    users: int
    duration_s: float
    epochs: int
    warmup_max_s: float
    slice_users: int | None = None


@dataclass(frozen=True, slots=True)
class EpochSample:
    """What one epoch measured."""

    coin: int
    paired: _native.PairedResult
    stretch: _native.LoadResult
    steady: bool
    tracing: str | None
    debug_build: bool


@dataclass(frozen=True, slots=True)
class Samples:
    """What all epochs of one request measured."""

    request: RequestSpec
    shape: LoadShape
    epochs: tuple[EpochSample, ...]
    forked: bool

    @property
    def later(self) -> Samples:
        """Those of the epochs beyond the shape's own."""
        return replace(self, epochs=self.epochs[self.shape.epochs :])

    def plus(self, more: Samples) -> Samples:
        """With the epochs of another measurement of the same request behind them."""
        return replace(self, epochs=self.epochs + more.epochs)

    @property
    def candidate(self) -> _native.Side:
        """The candidate's sliced requests, merged."""
        return _native.Side.merged([epoch.paired.sides[1] for epoch in self.epochs])

    @property
    def stretch(self) -> _native.Side:
        """The candidate's unsliced requests, merged."""
        return _native.Side.merged([epoch.stretch.side for epoch in self.epochs])


def measure(
    pool: EpochPool, source: AppSource, request: RequestSpec, shape: LoadShape, indices: range, show: Show
) -> Samples:
    """Measures in the epochs ``indices``. Raises MeasurementError when a request fails, in words.

    The servers of the shape's own epochs stay up for the next test of the application, those of more do not.
    """
    samples: list[EpochSample] = []
    with closing(pool.epochs(source, indices, keep=indices.stop <= shape.epochs)) as epochs:
        for number, epoch in enumerate(epochs):
            done = number / len(indices)

            def progress(phase: str, share: float, rps: float | None, done: float = done) -> None:
                show(phase, done + share / len(indices), rps)

            samples.append(_measure_epoch(epoch, request, shape, progress))
            # What the first epoch was cut to holds for all.
            shape = replace(shape, slice_users=samples[0].paired.sides[1].connections)
    return Samples(request, shape, tuple(samples), source.is_object)


def _measure_epoch(epoch: Epoch, request: RequestSpec, shape: LoadShape, show: Show) -> EpochSample:
    plan = _native.ConnectionPlan(shape.users, True, CONNECT_TIMEOUT_SECONDS, request.timeout_s)
    targets = (_target(epoch.reference), _target(epoch.candidate))
    requests = (_wire(REFERENCE_REQUEST, epoch.reference), _wire(request, epoch.candidate))
    slice_plan = _native.ConnectionPlan(
        shape.slice_users or shape.users, True, CONNECT_TIMEOUT_SECONDS, request.timeout_s
    )
    load_s = shape.duration_s / shape.epochs
    control = _Control(show)
    steady = True
    for server, target, wire, spec in zip(
        (epoch.reference, epoch.candidate), targets, requests, (REFERENCE_REQUEST, request), strict=True
    ):
        warm = _native.warm_up(
            target,
            wire,
            plan,
            window=WARM_UP_WINDOW_SECONDS,
            min_windows=WARM_UP_MIN_WINDOWS,
            max_seconds=shape.warmup_max_s,
            control=control,
        )
        steady &= warm.steady
        check(warm.side, spec, server, "warm-up")
    paired = _native.run_paired(
        targets,
        requests,
        slice_plan,
        seconds_per_side=load_s * (1 - STRETCH_SHARE),
        min_slice=MIN_SLICE_SECONDS,
        max_round=MAX_ROUND_SECONDS if shape.slice_users is None else UNCUT_ROUND_SECONDS,
        chunks=CHUNKS,
        seed=epoch.coin,
        core_turn=epoch.index,
        control=control,
    )
    check(paired.sides[0], REFERENCE_REQUEST, epoch.reference, "measurement of the reference application")
    check(paired.sides[1], request, epoch.candidate, "measurement")
    stretch = _native.run_load(targets[1], requests[1], plan, seconds=load_s * STRETCH_SHARE, control=control)
    check(stretch.side, request, epoch.candidate, "measurement")
    ready = epoch.candidate.ready
    assert ready is not None  # spawn and fork return ready servers only
    return EpochSample(epoch.coin, paired, stretch, steady, ready.tracing, ready.debug_build)


class _Control:
    """Translates the generator's progress for the live line."""

    def __init__(self, show: Show) -> None:
        self._show = show

    def __call__(self, progress: _native.Progress) -> None:
        self._show(progress.phase, *share_and_rps(progress))


def _target(server: ServerProcess) -> _native.Target:
    assert server.ready is not None
    return _native.Target(server.ready.host, server.ready.port, [server.pid])


def _wire(request: RequestSpec, server: ServerProcess) -> list[_native.Request]:
    assert server.ready is not None
    return [request.native(server.ready.address)]


def check(side: _native.Side, request: RequestSpec, server: ServerProcess, phase: str) -> None:
    """Raises MeasurementError when any request failed, or none was answered."""
    bad = failures(side.outcomes)
    if not bad and side.requests:
        return
    died = death(server)
    if not bad:
        raise MeasurementError(f"{request.name}: nothing was measured during the {phase}{died}")
    told = describe_failures(side.outcomes, side.statuses, describe_expected(request.expect), side.details)
    raise MeasurementError(f"{request.name}: during the {phase} {told}{died}")


def death(server: ServerProcess) -> str:
    """A clause about the server's end, empty while it lives. A process that is just dying is waited for."""
    return f"; the server process died ({describe_exit(server.exit_code())})" if server.ended_within(0.2) else ""


def ask_once(server: ServerProcess, request: RequestSpec) -> _native.Answer:
    """One real request, not measured. Raises MeasurementError when its answer is not the expected one."""
    answer = _native.once(_target(server), _wire(request, server)[0], request.timeout_s, 2000)
    if answer.outcome == "ok":
        return answer
    statuses = {answer.status: 1} if answer.status else {}
    told = describe_failures({answer.outcome: 1}, statuses, describe_expected(request.expect))
    if answer.status is None:
        told += death(server)
    body = answer.body[:500].decode(errors="replace").strip()
    raise MeasurementError(
        f"{request.name}: {told}" + (f" ({answer.detail})" if answer.detail else "") + (f"\n{body}" if body else "")
    )
