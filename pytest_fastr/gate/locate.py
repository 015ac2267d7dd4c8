"""Where the time of a regressed test went: both sides once more, outside the measurement, with a sampler inside."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pytest_fastr.errors import FastrError
from pytest_fastr.gate.measure import Pair, Running, Samples, Side, cpu_us_per_request
from pytest_fastr.gate.progress import Show, Watch
from pytest_fastr.gate.where import Where, grown, words
from pytest_fastr.mount import AppRef, spawn
from pytest_fastr.mount.sampler import Profile

SAMPLED_S = 4.0
"""How long a side is sampled."""


def locate(samples: Samples, show: Show) -> Where:
    """The functions whose cost grew; or why none can be named. Raises nothing of its own making."""
    pair = samples.pair
    before, now = (cpu_us_per_request(side) for side in (samples.baseline, samples.candidate))
    if before is None or now is None or not isinstance(pair.a.source.app, AppRef):
        return Where()
    try:
        profiles = [_sampled(side, samples.shape.users, show) for side in (pair.a, pair.b)]
        growths = grown(profiles[0], profiles[1], before, now, _roots(pair))
    except FastrError as error:
        return Where((f"not known: {str(error).partition(chr(10))[0]}",))
    lines = (*words(growths), *_notes(profiles)) or ("in no single function: it grew everywhere a little",)
    return Where(lines, growths)


def _roots(pair: Pair) -> tuple[str, str]:
    a, b = (str(side.source.root or Path.cwd()) for side in (pair.a, pair.b))
    return a, b


def _notes(profiles: Sequence[Profile]) -> list[str]:
    return list(dict.fromkeys(profile.note for profile in profiles if profile.note))


def _sampled(side: Side, users: int, show: Show) -> Profile:
    """Loads a fresh server with a sampler inside."""
    source = side.source
    assert isinstance(source.app, AppRef)
    with tempfile.TemporaryDirectory(prefix="pytest-fastr-") as folder:
        file = Path(folder) / "profile.json"
        server = spawn(source.app, replace(source.launch, sample=str(file)))
        try:
            Running(side, server).load(users, SAMPLED_S, Watch(show, "where the time went"), phase="sampling")
        finally:
            server.stop()
        try:
            text = file.read_text()
        except OSError:
            return Profile(samples=0, functions=())
        return Profile.from_json(text)
