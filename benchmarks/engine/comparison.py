"""The goals of the comparison, and whether they are met."""

from __future__ import annotations

from dataclasses import dataclass

from measuring.ratios import Ratio

WITHIN = 0.05
"""How far the last of many routes may be from the first."""


@dataclass(frozen=True)
class Goal:
    """What our engine is meant to reach: a ratio of two rows, and a bound of it.

    ``other`` is a server on the same workload; with ``other_workload`` or ``other_placement`` it is our own row there.
    """

    text: str
    workloads: tuple[str, ...]
    other: str
    value: str = "rps"
    least: float | None = None
    most: float | None = None
    other_workload: tuple[str, str] | None = None
    """What is replaced in the workload's name, and by what."""
    placements: tuple[str, ...] = ()
    """Where our row is from; the other one is then the row with one core."""
    ours: tuple[str, ...] = ("ours-native", "ours-face")
    """The rows that it is about."""


SYNC = ("W1-sync", "W2-sync", "W3-sync")
ASYNC = ("W1-async", "W2-async", "W3-async")
BODIES = ("W4-sync", "W4-async")
MODELS = ("W4-model-sync", "W4-model-async")
LAST = ("W5-100k-literal-last", "W5-100k-template-last")
GOALS = (
    Goal("at least nginx's requests/s", SYNC[:1] + ASYNC[:1], "nginx", least=1.0),
    Goal("at most nginx's CPU for a request", SYNC[:1] + ASYNC[:1], "nginx", value="cpu_us", most=1.0),
    Goal("1.5 times django-bolt", SYNC + ASYNC + BODIES, "django-bolt", least=1.5),
    Goal("1.5 times django-bolt with msgspec", BODIES + MODELS, "django-bolt-msgspec", least=1.5),
    Goal("25 times FastAPI, sync handlers", SYNC, "fastapi-uvicorn", least=25.0),
    Goal("10 times FastAPI, async handlers", ASYNC, "fastapi-uvicorn", least=10.0),
    Goal("6 times FastAPI, bodies", BODIES + MODELS, "fastapi-uvicorn", least=6.0),
    Goal(
        "the last of 100,000 routes as fast as the first (within 5 %)", LAST, "", least=1 - WITHIN, most=1 + WITHIN,
        other_workload=("last", "first"),
    ),
    Goal(
        "1.5 times as much on a second core, waiting handlers", ("W7",), "", least=1.5,
        placements=("2 server core(s)", "unpinned"),
    ),
    Goal("2.5 times uvicorn, plain ASGI", ASYNC[:1], "asgi-uvicorn", least=2.5, ours=("ours-raw",)),
    Goal("2.5 times granian, plain ASGI", ASYNC[:1], "asgi-granian", least=2.5, ours=("ours-raw",)),
    Goal("1.5 times uvicorn, FastAPI by ASGI", ASYNC[:1] + SYNC[:1], "fastapi-uvicorn", least=1.5, ours=("ours-asgi",)),
    Goal("1.3 times granian, FastAPI by ASGI", ASYNC[:1] + SYNC[:1], "fastapi-granian", least=1.3, ours=("ours-asgi",)),
    Goal("1.3 times gunicorn (gthread), Flask", SYNC[:1], "flask-gunicorn", least=1.3, ours=("ours-flask",)),
)  # fmt: skip


def judged(found: Ratio | None, goal: Goal) -> str:
    """One word or two on a goal. What only the median reaches is said to be that."""
    if found is None:
        return "not measured"
    inside = [
        (goal.least is None or value >= goal.least) and (goal.most is None or value <= goal.most)
        for value in (found.value, found.low, found.high)
    ]
    return "met" if all(inside) else "met by the median only" if inside[0] else "missed"
