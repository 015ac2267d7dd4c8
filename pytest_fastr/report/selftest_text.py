"""The self-test for a terminal. Values in, text out."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from pytest_fastr.gate.model import MetricResult, Verdict
from pytest_fastr.gate.selftest import TrialResult
from pytest_fastr.report.quantity import interval_text, metric_title, percent_text, printable
from pytest_fastr.report.terminal import smallest_detectable


def selftest_text(trials: Sequence[TrialResult], profile: str, duration_s: float, width: int = 80) -> str:
    """Lines of at most ``width`` columns, with a newline at the end."""
    lines = [profile, ""]
    for trial in trials:
        lines.append(f"{'passed' if trial.passed else 'FAILED'}  {trial.title}: {trial.verdict}")
        lines += [f"          {_movement(metric)}" for metric in trial.metrics.values() if metric.verdict is not None]
        lines += [f"        ! {printable(note.message)}" for note in trial.notes]
    lines += ["", _smallest(trials, duration_s)]
    lines += [] if all(trial.passed for trial in trials) else [_advice(trials)]
    return "\n".join(part for line in lines for part in _wrapped(line, width)) + "\n"


def _movement(metric: MetricResult) -> str:
    interval = interval_text(metric.low, metric.high)
    return f"{metric_title(metric.name)} {percent_text(metric.change)} {interval}: {metric.verdict}".replace("  ", " ")


def _smallest(trials: Sequence[TrialResult], duration_s: float) -> str:
    equal = next(trial for trial in trials if trial.expected is Verdict.EQUIVALENT)
    return (
        f"With {duration_s:g} s of load a side, the smallest change that a first look sees here four times out of "
        f"five: {smallest_detectable(equal.metrics.values()) or 'none'}."
    )


def _advice(trials: Sequence[TrialResult]) -> str:
    if any(trial.verdict is Verdict.REGRESSED and not trial.passed for trial in trials):
        return "A false alarm is due once in a hundred builds; if it comes again, please report it with this text."
    return "This machine was too noisy to tell: try a longer --duration, or a quieter moment."


def _wrapped(line: str, width: int) -> list[str]:
    indent = " " * (len(line) - len(line.lstrip()))
    return textwrap.wrap(line, max(width, 20), subsequent_indent=indent, break_on_hyphens=False) or [""]
