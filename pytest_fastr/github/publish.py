"""Says a result on GitHub: as much of it as the token may, and what was left out besides.

The summary is written first, so that a report that is ended while GitHub does not answer has still been made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_fastr.github.annotations import FROM_LOG, Annotation, as_log
from pytest_fastr.github.check_run import publish_check
from pytest_fastr.github.client import Api, ApiError, Denied, Unavailable
from pytest_fastr.github.comment import publish_comment
from pytest_fastr.github.context import Context
from pytest_fastr.github.decision import Decision
from pytest_fastr.github.markdown import code
from pytest_fastr.github.page import TEXT_LIMIT, page
from pytest_fastr.github.pull_request import pull_request_of
from pytest_fastr.github.runner_files import StepSummary
from pytest_fastr.report.result_reader import ResultFile

CommentMode = Literal["never", "on-change", "always"]
_FORK = (
    "This run belongs to a pull request from a fork, whose token may only read. A second workflow can report it: "
    "docs/github.md of pytest-fastr says how."
)
_MARKER_ROOM = 200


@dataclass(frozen=True, slots=True)
class Publication:
    """What is to be said, and how."""

    result: ResultFile
    decision: Decision
    annotations: Sequence[Annotation]
    name: str
    """Tells apart the reports of one commit: the name of the check run, and in the comment's marker."""
    comment: CommentMode
    check: bool = True

    def page(self, limit: int, notes: Sequence[str], context: Context) -> str:
        """The result as Markdown."""
        return page(self.result, self.decision, limit, notes, context.run_url)


def publish(
    publication: Publication, context: Context, api: Api | None, summary: StepSummary, say: Callable[[str], None]
) -> list[str]:
    """Publishes. ``say`` prints a line into the step's log. Returns what was left out: sentences in Markdown."""
    in_log = [] if context.measured is not None else publication.annotations[:FROM_LOG]
    # The runner makes annotations of the log's commands for its own commit, which is not the measured one there.
    for annotation in in_log:
        say(annotation.as_command())
    summary.write(lambda room: publication.page(room, (), context))
    notes = _on_github(publication, context, api, publication.annotations[len(in_log) :], say)
    if notes:
        summary.write(lambda room: publication.page(room, notes, context))
    for note in notes:
        say(as_log(note))
    return notes


def _on_github(
    publication: Publication, context: Context, api: Api | None, rest: Sequence[Annotation], say: Callable[[str], None]
) -> list[str]:
    wanted = publication.check or publication.comment != "never"
    if not wanted or not context.repository:
        return []
    if api is None:
        return ["No token was given, so there is no check run and no comment: this summary is all of the report."]
    notes: list[str] = []
    denied = False
    if publication.check:
        try:
            text = publication.page(TEXT_LIMIT, (), context)
            address = publish_check(api, context, publication.name, publication.decision, text, rest)
            say(as_log(f"check run: {address or 'made'}"))
        except ApiError as error:
            denied = isinstance(error, Denied)
            notes.append(_left_out("check run", "checks: write", error))
    if publication.comment != "never":
        try:
            notes += _comment(publication, context, api, notes, say)
        except ApiError as error:
            denied = denied or isinstance(error, Denied)
            notes.append(_left_out("comment", "pull-requests: write", error))
    if denied and context.is_fork and context.measured is None:
        notes.append(_FORK)
    return notes


def _comment(
    publication: Publication, context: Context, api: Api, notes: Sequence[str], say: Callable[[str], None]
) -> list[str]:
    found = pull_request_of(context, api)
    if found.number is None:
        return [f"No comment: {found.why}."] if found.why else []
    create = publication.comment == "always" or publication.decision.changed
    text = publication.page(TEXT_LIMIT - _MARKER_ROOM, notes, context)
    address = publish_comment(api, context, found.number, publication.name, text, create)
    say(as_log(f"comment: {address}" if address else "comment: nothing has changed, so none is written"))
    return []


def _left_out(what: str, permission: str, error: ApiError) -> str:
    if isinstance(error, Denied):
        return f"No {what}: the token may not write one (it needs `{permission}`). GitHub says: {code(str(error))}"
    if isinstance(error, Unavailable):
        return f"No {what}, or not all of it: GitHub was not to be reached in time. The last answer: {code(str(error))}"
    return f"No {what}: GitHub did not take it. It says: {code(str(error))}"
