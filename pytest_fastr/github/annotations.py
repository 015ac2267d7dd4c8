"""Annotations: one for each test that somebody should look at, at its file and line.

The runner takes ten of each kind from a step's log, so the worst come first; a check run takes the rest.
https://docs.github.com/rest/checks/runs#create-a-check-run (`annotations`)
https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands#setting-an-error-message
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_fastr.gate.model import TestReport, Verdict, severity
from pytest_fastr.report.paragraph import paragraph
from pytest_fastr.report.quantity import printable
from pytest_fastr.report.terminal import worst_metric

FROM_LOG = 10
"""What a step may say by commands."""
_MOST_MESSAGE = 16_000
"""Bytes; a check run's annotation takes 64 KB."""
_MOST_TITLE = 255
_LEVELS: dict[Verdict, Literal["failure", "warning"]] = {
    Verdict.REGRESSED: "failure",
    Verdict.INVALID: "failure",
    Verdict.INCONCLUSIVE: "warning",
    Verdict.NEW: "warning",
}


@dataclass(frozen=True, slots=True)
class Annotation:
    """What is said at a line of a file."""

    path: str
    """Relative to the repository's top."""
    line: int
    level: Literal["failure", "warning"]
    title: str
    message: str

    def for_check(self) -> dict[str, object]:
        """As a check run takes it."""
        return {
            "path": self.path,
            "start_line": self.line,
            "end_line": self.line,
            "annotation_level": self.level,
            "title": self.title,
            "message": self.message,
        }

    def as_command(self) -> str:
        """As the runner reads it from a step's log: escaped as its own toolkit does."""
        command = "error" if self.level == "failure" else "warning"
        where = f"file={_property(self.path)},line={self.line},title={_property(self.title)}"
        return f"::{command} {where}::{_data(self.message)}"


def annotations_of(tests: Sequence[TestReport], place: Callable[[str], str | None]) -> list[Annotation]:
    """For the tests that are not green, the worst first. ``place``: where a test's file lies; None: nowhere."""
    told = sorted((test for test in tests if test.verdict in _LEVELS), key=_rank)
    placed = ((test, place(test.path)) for test in told)
    return [_annotation(test, path) for test, path in placed if path is not None]


def as_log(text: str) -> str:
    """The text as a line of a log that holds no command: one begins with `::` at the start, or with `##[` anywhere.

    https://github.com/actions/runner/blob/main/src/Runner.Common/ActionCommand.cs
    """
    return f"pytest-fastr: {printable(text)}".replace("##[", "## [")


def _annotation(test: TestReport, path: str) -> Annotation:
    title = f"{test.verdict}: {printable(test.nodeid.rpartition('::')[2])}"
    message = (paragraph(test) or str(test.verdict)).encode()[:_MOST_MESSAGE].decode(errors="ignore")
    return Annotation(path, max(test.line, 1), _LEVELS[test.verdict], title[:_MOST_TITLE], message)


def _rank(test: TestReport) -> tuple[int, float, str]:
    metric = worst_metric(test)
    moved = 0.0 if metric is None else metric.worsening or 0.0
    return severity(test.verdict), -moved, test.nodeid


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
