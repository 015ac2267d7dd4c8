"""A slowdown to plant, so that one can see a red build: `SHOP_SLOWDOWN="/search:20"`.

It is extra *work*, never extra time: the endpoint does more rounds of its own computation, which costs the
same share of a request on a fast and a slow machine, on a quiet and a busy one. A `sleep` or a clock-bound
loop would be another percentage every minute.

The percentage is of the CPU time of a *whole request*, of which the rounds are only a part (the rest is
HTTP, routing, validation, the database), so it is divided by that part. The parts below were measured on
pytest-fastr's engine, with and without the slowdown in one run (Python 3.11, AMD EPYC VM with 2 cores).
"""

from __future__ import annotations

from dataclasses import dataclass, field

SHARE_OF_ROUNDS = {"/search": 0.7}
"""Per endpoint that can be slowed down: the part of a request's CPU time spent in its counted rounds."""


@dataclass(frozen=True, slots=True)
class Slowdown:
    """How many percent of work to add, per path."""

    percent: dict[str, float] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Slowdown:
        """Read `path:percent`, several separated by commas; a path that has no counted rounds is an error."""
        percent: dict[str, float] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            path, _, amount = part.rpartition(":")
            if path not in SHARE_OF_ROUNDS:
                known = ", ".join(SHARE_OF_ROUNDS)
                raise ValueError(f"SHOP_SLOWDOWN={text!r}: {path or part!r} can't be slowed down; these can: {known}")
            percent[path] = float(amount)
        return cls(percent)

    def extra_rounds(self, path: str, rounds: int) -> int:
        """How many rounds to add to the `rounds` of one request to `path`."""
        if path not in self.percent:
            return 0
        return round(rounds * self.percent[path] / 100 / SHARE_OF_ROUNDS[path])
