"""Which pull request a measurement belongs to.

The event of a `workflow_run` lists no pull request where the head is in a fork
(https://github.com/orgs/community/discussions/25220), so it is looked up by the head's owner and branch
(https://docs.github.com/rest/pulls/pulls#list-pull-requests). What the artifact says is not asked: its author is the
pull request's. The head must still be the measured commit, or the comment would speak of other code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pytest_fastr.github.client import Api
from pytest_fastr.github.context import Context, MeasuredRun


@dataclass(frozen=True, slots=True)
class Found:
    """The number of a pull request, or why there is none to comment on: empty where none was to be expected."""

    number: int | None
    why: str = ""


def pull_request_of(context: Context, api: Api) -> Found:
    """Looks it up."""
    if context.measured is None:
        return Found(context.pull_request)
    if context.measured.event != "pull_request":
        return Found(None)
    if not context.measured.head_owner or not context.measured.head_branch:
        return Found(None, "the event does not say where the pull request comes from; its fork may be gone")
    query = {"head": f"{context.measured.head_owner}:{context.measured.head_branch}", "state": "open"}
    heads = [one for one in api.pages(f"/repos/{context.repository}/pulls", query) if _is_head(one, context.measured)]
    current = [one for one in heads if one["head"].get("sha") == context.sha]
    if not current:
        moved = "its head has moved on since it was measured" if heads else "no open pull request has this head"
        return Found(None, moved)
    return _only(current, context.measured)


def _only(current: list[Any], measured: MeasuredRun) -> Found:
    """One head may be proposed for several branches: then the event's list decides."""
    named = [one for one in current if one.get("number") in measured.numbers] or current
    if len(named) > 1:
        return Found(None, "several open pull requests have this head, and which was measured is not known")
    number = named[0].get("number")
    return Found(number) if type(number) is int else Found(None, "GitHub's answer has no number")


def _is_head(pull_request: Any, measured: MeasuredRun) -> bool:
    head = pull_request.get("head") if isinstance(pull_request, dict) else None
    if not isinstance(head, dict) or not isinstance(head.get("repo"), dict):
        return False
    return head.get("ref") == measured.head_branch and head["repo"].get("full_name") == measured.head_repository
