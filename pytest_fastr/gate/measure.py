"""Measures one request on two sides: epochs of alternating slices.

Values in, values out: :func:`measure` turns a plan into :class:`Samples` and judges nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_fastr import _native
from pytest_fastr.apps import UrlApp
from pytest_fastr.errors import MeasurementError, RefError
from pytest_fastr.gate.attached import AnyServer
from pytest_fastr.gate.budget import WARM_UP_S
from pytest_fastr.gate.epochs import REFERENCE, AppSource, Epoch, EpochPool
from pytest_fastr.gate.pressure import CpuPressure
from pytest_fastr.gate.progress import Show, Watch, one_after_another, part_of
from pytest_fastr.load import RequestSpec, build_request, describe_failures, failures
from pytest_fastr.load.outcome import describe_expected
from pytest_fastr.load.shape import Open
from pytest_fastr.mount.moved import INSTALLED
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

# Tails at a rate: the sides take turns, so that a bad second of the machine meets both.
RATE_STRETCH_SECONDS = 0.25
RATE_DRAIN_SECONDS = 5.0
LEAST_ANSWERED = 0.8
"""The share of a rate below which a side is called unable to keep it."""


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
    rate: float | None = None
    """Requests a second at which tails are measured besides, for as long again. None: they are not."""

    @property
    def pairs_at_rate(self) -> int:
        """Pairs of stretches at the rate, in an epoch."""
        return max(1, round(self.duration_s / self.epochs / RATE_STRETCH_SECONDS))


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: an application, what is asked of it, and how messages call it."""

    source: AppSource
    request: RequestSpec
    title: str

    def connections(self, count: int) -> _native.ConnectionPlan:
        """So many connections that are kept, with the request's timeout."""
        return _native.ConnectionPlan(count, True, CONNECT_TIMEOUT_SECONDS, self.request.timeout_s)


@dataclass(frozen=True, slots=True)
class Pair:
    """What is compared: A, the baseline's or the reference application, and B, the candidate."""

    a: Side
    b: Side

    @property
    def is_running(self) -> bool:
        """Whether a side is a server that runs already, so that there are no fresh processes."""
        return any(isinstance(side.source.app, UrlApp) for side in (self.a, self.b))

    @property
    def unmeasured(self) -> frozenset[str]:
        """Metrics that cannot be known: those of the processes of a server whose pid nobody has told."""
        apps = [side.source.app for side in (self.a, self.b)]
        unknown = any(isinstance(app, UrlApp) and app.pid is None for app in apps)
        return frozenset(("cpu", "memory")) if unknown else frozenset()


REFERENCE_SIDE = Side(REFERENCE, build_request("GET", "/", name="reference"), "the reference application")


@dataclass(frozen=True, slots=True)
class EpochSample:
    """What one epoch measured."""

    coin: int
    paired: _native.PairedResult
    stretch: _native.LoadResult
    steady: bool
    tracing: str | None
    debug_build: bool
    cpu_pressure: float | None
    """The share of the time in which something waited for a core. None: not told."""
    at_rate: tuple[tuple[_native.LoadResult, _native.LoadResult], ...] = ()
    """Stretches of both sides at the rate, under the same schedule."""
    shared: tuple[str, ...] = ()
    """Connections that a forked candidate shares with the tests' process, in words."""


@dataclass(frozen=True, slots=True)
class Samples:
    """What all epochs of one request measured."""

    pair: Pair
    shape: LoadShape
    epochs: tuple[EpochSample, ...]

    @property
    def request(self) -> RequestSpec:
        """The candidate's request."""
        return self.pair.b.request

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
    def baseline(self) -> _native.Side:
        """Side A's sliced requests, merged."""
        return _native.Side.merged([epoch.paired.sides[0] for epoch in self.epochs])

    @property
    def rps(self) -> float:
        """The candidate's requests a second in the user's closed loop."""
        return self.stretch.requests * 1e9 / self.stretch.duration_ns

    @property
    def stretch(self) -> _native.Side:
        """The candidate's unsliced requests, merged."""
        return _native.Side.merged([epoch.stretch.side for epoch in self.epochs])


def measure(pool: EpochPool, pair: Pair, shape: LoadShape, indices: range, show: Show) -> Samples:
    """Measures in the epochs ``indices``. Raises MeasurementError when a request fails, in words.

    The servers of the shape's own epochs stay up for the next test of the application, those of more do not.
    """
    samples: list[EpochSample] = []
    sides = (pair.a.source, pair.b.source)
    with closing(pool.epochs(sides, indices, keep=indices.stop <= shape.epochs)) as epochs:
        for number, epoch in enumerate(epochs):
            prefix = f"{number + 1}/{len(indices)} "
            showing = part_of(show, number / len(indices), 1 / len(indices), prefix)
            samples.append(_measure_epoch(epoch, pair, shape, showing))
            # What the first epoch was cut to holds for all.
            shape = replace(shape, slice_users=samples[0].paired.sides[1].connections)
    return Samples(pair, shape, tuple(samples))


def _measure_epoch(epoch: Epoch, pair: Pair, shape: LoadShape, show: Show) -> EpochSample:
    running = (Running(pair.a, epoch.a), Running(pair.b, epoch.b))
    for one in running:
        refuse_other_code(one.side, one.server)
    plan = pair.b.connections(shape.users)
    load_s = shape.duration_s / shape.epochs
    warming_a, warming_b, slicing, stretching, *at_a_rate = one_after_another(show, _phases(shape))
    steady = True
    for one, warming in zip(running, (warming_a, warming_b), strict=True):
        warm = _native.warm_up(
            one.target,
            one.requests,
            plan,
            window=WARM_UP_WINDOW_SECONDS,
            min_windows=WARM_UP_MIN_WINDOWS,
            max_seconds=shape.warmup_max_s,
            control=warming,
        )
        steady &= warm.steady
        one.check(warm.side, "warm-up")
    pressure = CpuPressure.now()
    paired = _native.run_paired(
        (running[0].target, running[1].target),
        (running[0].requests, running[1].requests),
        pair.b.connections(shape.slice_users or shape.users),
        seconds_per_side=load_s * (1 - STRETCH_SHARE),
        min_slice=MIN_SLICE_SECONDS,
        max_round=MAX_ROUND_SECONDS if shape.slice_users is None else UNCUT_ROUND_SECONDS,
        chunks=CHUNKS,
        seed=epoch.coin,
        # A server whose processes are not known cannot be placed, and the others alone beside the generator would be
        # measured under other conditions.
        core_turn=epoch.index if all(one.server.pids for one in running) else None,
        control=slicing,
    )
    waited = pressure.since()
    for one, side in zip(running, paired.sides, strict=True):
        one.check(side, "measurement")
    candidate = running[1]
    stretch = candidate.load(shape.users, load_s * STRETCH_SHARE, stretching)
    ready = candidate.server.ready
    assert ready is not None  # spawn and fork return ready servers only
    at_rate = tuple(_stretches_at_rate(running, shape, epoch.coin, at_a_rate)) if shape.rate is not None else ()
    return EpochSample(
        epoch.coin, paired, stretch, steady, ready.tracing, ready.debug_build, waited, at_rate, candidate.server.shared
    )


def _phases(shape: LoadShape) -> list[tuple[str, float]]:
    """What happens in an epoch, and for how many seconds."""
    load_s = shape.duration_s / shape.epochs
    warm_up_s = min(WARM_UP_S / 2, shape.warmup_max_s)
    phases = [
        ("warm-up baseline", warm_up_s),
        ("warm-up candidate", warm_up_s),
        ("both in turn", 2 * load_s * (1 - STRETCH_SHARE)),
        ("candidate", load_s * STRETCH_SHARE),
    ]
    if shape.rate is not None:
        phases += [(f"both at {shape.rate:g}/s", RATE_STRETCH_SECONDS)] * (2 * shape.pairs_at_rate)
    return phases


def _stretches_at_rate(
    running: tuple[Running, Running], shape: LoadShape, seed: int, watches: Sequence[Watch]
) -> Iterator[tuple[_native.LoadResult, _native.LoadResult]]:
    """Both sides in turn, the first of a pair by turns, each pair under one schedule."""
    assert shape.rate is not None
    pacing = Open(shape.rate, shape.users, poisson=True).native()
    plan = running[1].side.connections(shape.users)
    for number in range(shape.pairs_at_rate):
        results: dict[int, _native.LoadResult] = {}
        for index in (0, 1) if number % 2 == 0 else (1, 0):
            one = running[index]
            results[index] = _native.run_load(
                one.target,
                one.requests,
                plan,
                seconds=RATE_STRETCH_SECONDS,
                pacing=pacing,
                drain=RATE_DRAIN_SECONDS,
                seed=(seed + number) % 2**32,
                control=watches[2 * number + len(results)],
            )
            one.check(results[index].side, "measurement at a rate")
        yield results[0], results[1]
        if all(_falls_behind(result.side, shape.rate) for result in results.values()):
            return  # nothing will be learned at this rate


def cpu_us_per_request(side: _native.Side) -> float | None:
    """CPU microseconds a request. None where the system does not tell."""
    return side.cpu_ns / 1000 / side.requests if side.cpu_ns else None


def quantile_us(side: _native.Side, q: float) -> float | None:
    """The response time in microseconds that a share ``q`` kept. None when fewer than ten answers lie beyond it."""
    value = side.quantile_ns(q)
    return None if value is None else value / 1000


def answered_rate(sides: Sequence[_native.Side]) -> float:
    """Answers a second over stretches, their drains included."""
    seconds = sum(side.duration_ns for side in sides) / 1e9
    return sum(side.requests for side in sides) / seconds if seconds else 0.0


def _falls_behind(side: _native.Side, rate: float) -> bool:
    return answered_rate([side]) < LEAST_ANSWERED * rate


class Running:
    """A side and a server of its."""

    def __init__(self, side: Side, server: AnyServer) -> None:
        self.side = side
        self.server = server
        self.target = _target(server)
        self.requests = _wire(side.request, server)

    def load(
        self, users: int, seconds: float, control: Callable[[_native.Progress], bool | None], phase: str = "measurement"
    ) -> _native.LoadResult:
        """A stretch of the user's closed loop. Raises MeasurementError as :meth:`check` does."""
        plan = self.side.connections(users)
        done = _native.run_load(self.target, self.requests, plan, seconds=seconds, control=control)
        self.check(done.side, phase)
        return done

    def check(self, done: _native.Side, phase: str) -> None:
        """Raises MeasurementError when any request failed, or none was answered."""
        check(done, self.side.request, self.server, f"{phase} of {self.side.title}")


def refuse_other_code(side: Side, server: AnyServer) -> None:
    """Raises RefError where a side's code does not come from its own folder, so that it is not what it is called."""
    root, ready = side.source.root, server.ready
    if root is None or ready is None:
        return
    why = "an editable install, PYTHONPATH or a path in pytest's configuration leads there; "
    if ready.strays:
        raise RefError(
            f"{side.title} runs code of the other side ({', '.join(ready.strays)}): {why}import it from the "
            "checkout's own folder"
        )
    file = ready.app_file
    if file is None:
        return
    place = Path(file).resolve()
    if not place.is_relative_to(root.resolve()) or INSTALLED & set(place.parts):
        raise RefError(
            f"{side.title} runs the application from {file}, which is not the checkout {root}: an installed copy, "
            f"{why}install it in editable mode (not the strict one, whose links lead to one checkout), or put its "
            "folder into pytest's `pythonpath`"
        )


def _target(server: AnyServer) -> _native.Target:
    assert server.ready is not None
    return _native.Target(server.ready.host, server.ready.port, server.pids)


def _wire(request: RequestSpec, server: AnyServer) -> list[_native.Request]:
    return [request.native(server.address)]


def check(side: _native.Side, request: RequestSpec, server: AnyServer, phase: str) -> None:
    """Raises MeasurementError when any request failed, or none was answered."""
    bad = failures(side.outcomes)
    if not bad and side.requests:
        return
    died = death(server)
    if not bad:
        raise MeasurementError(f"{request.name}: nothing was measured during the {phase}{died}")
    told = describe_failures(side.outcomes, side.statuses, describe_expected(request.expect), side.details)
    raise MeasurementError(f"{request.name}: during the {phase} {told}{died}")


def death(server: AnyServer) -> str:
    """A clause about the server's end, empty while it lives. A process that is just dying is waited for."""
    return f"; the server process died ({describe_exit(server.exit_code())})" if server.ended_within(0.2) else ""


def ask_once(server: AnyServer, request: RequestSpec) -> _native.Answer:
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
