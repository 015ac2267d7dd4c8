"""Whether a session may join the baseline, and whether an era begins with it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_fastr.gate.compare import Comparison
from pytest_fastr.gate.model import ValidityNote, Verdict
from pytest_fastr.gate.stored_test import Era


@dataclass(frozen=True, slots=True)
class Acceptance:
    """``refusal``: why the session is not stored; None: it is. ``era``: what begins with it."""

    refusal: ValidityNote | None = None
    era: Era | None = None


def acceptance(
    compared: Comparison, reason: str | None, recorded: str, commit: str | None, also_worse: str = ""
) -> Acceptance:
    """What becomes of a session that was compared with the stored ones. A worse one needs a ``reason``.

    ``also_worse``: what is worse besides the metrics, in words.
    """
    worse, better = (_moved(compared, verdict) for verdict in (Verdict.REGRESSED, Verdict.IMPROVED))
    worse = ", ".join(words for words in (worse, also_worse) if words)
    if worse and reason is None:
        message = f'this would accept a worse baseline ({worse}), and was not stored: say why by --perf-reason "..."'
        return Acceptance(refusal=ValidityNote("void", "reason", message))
    if worse or better:
        return Acceptance(era=Era(recorded, commit, (reason or "") if worse else f"better: {better}"))
    return Acceptance()


def _moved(compared: Comparison, verdict: Verdict) -> str:
    """``cpu +12.3 %, p99 +40 %``: what has this verdict."""
    moved = [one for one in compared.results.values() if one.verdict is verdict and one.change is not None]
    return ", ".join(f"{one.name} {(one.change or 0.0) * 100:+.1f} %" for one in moved)
