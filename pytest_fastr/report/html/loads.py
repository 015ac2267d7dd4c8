"""Loads without a baseline (`perf_load`), as the terminal tells them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_fastr.load.limits import LimitResult, why_refused
from pytest_fastr.load.result import LoadReport
from pytest_fastr.report.html.markup import Markup, tag
from pytest_fastr.report.html.words import breakable
from pytest_fastr.report.load_text import to_text

_COLUMNS = 96


@dataclass(frozen=True, slots=True)
class LoadRun:
    """One load of a test, and the limits it was held against."""

    nodeid: str
    report: LoadReport
    limits: tuple[LimitResult, ...]

    @property
    def is_broken(self) -> bool:
        """Whether it fails its test: a limit was not kept, an error was not allowed, or the numbers mean nothing."""
        return not self.report.ok or bool(why_refused(self.report, self.limits))


def loads_part(runs: Sequence[LoadRun]) -> Markup | None:
    """A section for all of them. None: there were none."""
    if not runs:
        return None
    parts = [
        tag(
            "section",
            tag("h3", breakable(run.nodeid), id=f"load-{number}"),
            tag("pre", to_text(run.report, run.limits, _COLUMNS).rstrip("\n"), tabindex=0),
            class_="test",
            aria_labelledby=f"load-{number}",
        )
        for number, run in enumerate(runs, start=1)
    ]
    return tag("section", tag("h2", "Load runs", id="loads"), parts, aria_labelledby="loads")
