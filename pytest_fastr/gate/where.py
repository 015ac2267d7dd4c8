"""Where the growth is: two profiles and two costs in, the functions whose cost has grown out.

A function's cost is its share of a side's samples times what a request costs on that side. A is the baseline's side and
B the candidate's. Pure: profiles are made by `pytest_fastr.mount.sampler`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath

from pytest_fastr.mount.moved import INSTALLED
from pytest_fastr.mount.sampler import ENGINE, OTHER, UNSEEN, Profile

MOST_GROWTHS = 5
NOISE_SIGMAS = 3.0
LEAST_SHARE = 0.02
"""Of the candidate's cost: less growth than this is not worth a line."""

# So much of a function's growth is that of one or some that it calls: then they are named and it is not.
_EXPLAINED = 0.8

# Of a side's time. With more of it out of sight, in a pool's threads, the engine's part is not exact enough to name.
_MOST_UNSEEN = 0.01

_STANDARD = re.compile(r"(?:pypy|python)3\.\d+t?")

_NAME_COLUMNS = 34


@dataclass(frozen=True, slots=True)
class Growth:
    """A function that costs more than it did: ``shop/search.py:rank``, in microseconds of processor time a request.

    ``share`` is the growth as a part of the candidate's whole cost. ``inclusive``: the costs are those of the function
    and all that it calls, since no function of its own accounts for the growth; otherwise they are the function's own.
    """

    name: str
    baseline_us: float
    candidate_us: float
    growth_us: float
    share: float
    inclusive: bool = False


def grown(
    baseline: Profile, candidate: Profile, baseline_cost: float, candidate_cost: float, roots: tuple[str, str]
) -> tuple[Growth, ...]:
    """The functions whose cost has grown beyond what sampling alone does, own time first, at most five.

    Costs are microseconds a request. ``roots`` are the folders of the two sides' code: a function is the same on both
    when its path inside its root (or inside the installed packages, or the standard library) and its qualified name
    are. The project's functions that stand out only with what they call follow, innermost first, unless functions of
    the project that are named already account for their growth.
    """
    costs = (baseline_cost, candidate_cost)
    if not baseline.samples or not candidate.samples or not all(math.isfinite(cost) and cost > 0 for cost in costs):
        return ()
    sides = (_Side.of(baseline, baseline_cost, roots[0]), _Side.of(candidate, candidate_cost, roots[1]))
    own = sorted(_growths(sides, inclusive=False), key=lambda one: (-one.growth.growth_us, one.growth.name))
    named = own[:MOST_GROWTHS]
    # What a function calls is on the stack no more often than the function itself: innermost first.
    callers = sorted(
        (one for one in _growths(sides, inclusive=True) if one.key.is_project),
        key=lambda one: (one.growth.candidate_us, -sides[1].own.get(one.key, 0), one.growth.name),
    )
    kept: list[_Grown] = []
    for caller in callers:
        if not _explained(caller, named, kept):
            kept.append(caller)
    # One line at least for the project's own code, whatever libraries it sends the time to.
    callers = kept[: max(MOST_GROWTHS - len(named), 1)]
    return tuple(one.growth for one in [*named[: MOST_GROWTHS - len(callers)], *callers])


def words(growths: Sequence[Growth]) -> tuple[str, ...]:
    """One line a function, such as ``shop/search.py:rank  +21.3 us a request (12.1 -> 33.4)``."""
    names = [_shortened(growth.name) for growth in growths]
    width = max(map(len, names), default=0)
    lines = []
    for name, growth in zip(names, growths, strict=True):
        before, after, more = map(_number, (growth.baseline_us, growth.candidate_us, growth.growth_us))
        numbers = f"+{more} us a request ({before} -> {after})"
        lines.append(f"{name:<{width}}  {numbers}{', with calls' if growth.inclusive else ''}")
    return tuple(lines)


@dataclass(frozen=True, slots=True)
class Where:
    """Where the time went: as lines of text, and the functions that they name."""

    lines: tuple[str, ...] = ()
    growths: tuple[Growth, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class _Key:
    """What a function is called on both sides."""

    path: str
    name: str
    is_project: bool

    @classmethod
    def of(cls, file: str, name: str, root: str) -> _Key:
        if not file or file.startswith("<"):
            return cls(file, name, False)
        parts = PurePosixPath(file).parts
        inside = max((at for at, part in enumerate(parts) if part in INSTALLED), default=None)
        if inside is None:
            inside = _standard_library(parts)
        if inside is not None:
            return cls("/".join(parts[inside + 1 :]), name, False)
        try:
            return cls(PurePosixPath(file).relative_to(root).as_posix(), name, True)
        except ValueError:
            return cls(file, name, False)

    def __str__(self) -> str:
        return f"{self.path}:{self.name}" if self.path else self.name


def _standard_library(parts: Sequence[str]) -> int | None:
    """Where ``lib/python3.12`` ends."""
    pairs = pairwise(parts)
    found = (at + 1 for at, (lib, name) in enumerate(pairs) if lib in ("lib", "lib64") and _STANDARD.fullmatch(name))
    return next(found, None)


@dataclass(frozen=True, slots=True)
class _Side:
    """Counts by function, what one sample is worth (us), and the part of the samples that were not seen."""

    sample_us: float
    cost_us: float
    unseen: float
    own: Mapping[_Key, int]
    cumulative: Mapping[_Key, int]

    @classmethod
    def of(cls, profile: Profile, cost_us: float, root: str) -> _Side:
        own: dict[_Key, int] = {}
        cumulative: dict[_Key, int] = {}
        for one in profile.functions:
            key = _Key.of(one.file, one.name, root)
            own[key] = own.get(key, 0) + one.own
            # Functions of one name may call each other, and one sample then counts for both.
            cumulative[key] = min(profile.samples, cumulative.get(key, 0) + one.cumulative)
        unseen = own.get(_Key("", UNSEEN, False), 0) / profile.samples
        return cls(cost_us / profile.samples, cost_us, unseen, own, cumulative)


@dataclass(frozen=True, slots=True)
class _Grown:
    key: _Key
    growth: Growth


def _growths(sides: tuple[_Side, _Side], inclusive: bool) -> Iterable[_Grown]:
    """Every function whose cost has grown, beyond noise and by enough."""
    a, b = sides
    unnamed = {UNSEEN, OTHER} if max(a.unseen, b.unseen) < _MOST_UNSEEN else {UNSEEN, OTHER, ENGINE}
    before, after = (a.cumulative, b.cumulative) if inclusive else (a.own, b.own)
    for key, count in after.items():
        if not key.path and key.name in unnamed:
            continue
        earlier = before.get(key, 0)
        baseline_us, candidate_us = earlier * a.sample_us, count * b.sample_us
        growth_us = candidate_us - baseline_us
        # Poisson: a count varies by its square root. One that is 0 by chance does so no less than one of 1.
        noise_us = math.sqrt(max(earlier, 1) * a.sample_us**2 + count * b.sample_us**2)
        if growth_us > NOISE_SIGMAS * noise_us and growth_us >= LEAST_SHARE * b.cost_us:
            share = growth_us / b.cost_us
            yield _Grown(key, Growth(str(key), baseline_us, candidate_us, growth_us, share, inclusive))


def _explained(caller: _Grown, named: Iterable[_Grown], kept: Iterable[_Grown]) -> bool:
    """Whether the project's functions that are named already account for a caller's growth."""
    # What has grown by more than the caller is called by others.
    most_us = caller.growth.growth_us / _EXPLAINED
    own_us = [one.growth.growth_us for one in named if one.key.is_project]
    called_us = [one.growth.growth_us for one in kept]
    explained_us = sum(us for us in own_us if us <= most_us) + max((us for us in called_us if us <= most_us), default=0)
    return explained_us >= _EXPLAINED * caller.growth.growth_us


def _number(us: float) -> str:
    return f"{us:.1f}" if us < 1000 else f"{us:.0f}"


def _shortened(name: str) -> str:
    """A long path without its first folders."""
    path, _, rest = name.rpartition("/")
    folders = path.split("/") if path else []
    while folders and len(name) > _NAME_COLUMNS:
        folders.pop(0)
        name = "/".join(["...", *folders, rest])
    return name
