"""Where the report runs: the variables that GitHub Actions sets, and the event that began the run.

https://docs.github.com/actions/reference/workflows-and-actions/variables
https://docs.github.com/webhooks/webhook-events-and-payloads
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pytest_fastr.errors import ConfigError

_REPOSITORY = r"[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}"
_SHA = r"[0-9a-f]{40}|[0-9a-f]{64}"


@dataclass(frozen=True, slots=True)
class MeasuredRun:
    """The run that measured, as the event of a `workflow_run` tells it: written by GitHub, not by the pull request."""

    event: str
    head_owner: str
    head_repository: str
    head_branch: str
    numbers: tuple[int, ...]
    """The pull requests that GitHub names: none for a fork."""


@dataclass(frozen=True, slots=True)
class Context:
    """What is reported on, and with which means."""

    api_url: str
    repository: str
    """`owner/name`; empty: not known, so that GitHub is not asked."""
    sha: str
    """The commit that was measured, as a pull request has it."""
    token: str
    run_url: str = ""
    run_id: str = ""
    pull_request: int | None = None
    is_fork: bool = False
    measured: MeasuredRun | None = None
    """The run of another workflow that measured; None: this one did."""


def context_of(env: Mapping[str, str], event_path: Path | None) -> Context:
    """The context of this process. ``event_path``: a `workflow_run` event's file, whose run is reported on."""
    repository = env.get("GITHUB_REPOSITORY", "")
    if repository and not re.fullmatch(_REPOSITORY, repository):
        raise ConfigError("GITHUB_REPOSITORY is not written as owner/name")
    event = _event(event_path or _path(env.get("GITHUB_EVENT_PATH")))
    name = "workflow_run" if event_path is not None else env.get("GITHUB_EVENT_NAME", "")
    server = env.get("GITHUB_SERVER_URL") or "https://github.com"
    run_id = env.get("GITHUB_RUN_ID", "")
    base = Context(
        api_url=_checked_url(env.get("GITHUB_API_URL") or "https://api.github.com"),
        repository=repository,
        sha=env.get("GITHUB_SHA", ""),
        token=_token(env.get("GITHUB_TOKEN", "")),
        run_url=f"{_checked_url(server)}/{repository}/actions/runs/{run_id}" if repository and run_id.isdigit() else "",
        run_id=f"{run_id}/{env.get('GITHUB_RUN_ATTEMPT', '1')}",
    )
    if name == "workflow_run":
        return _of_workflow_run(base, event, server)
    pull_request = event.get("pull_request")
    return base if pull_request is None else _of_pull_request(base, pull_request)


def _of_pull_request(base: Context, pull_request: Any) -> Context:
    """A check belongs to the pull request's own commit, not to the merge that GitHub tries for it (`GITHUB_SHA`)."""
    number, sha = _at(pull_request, "number", int), _at(pull_request, "head.sha", str)
    head = _at(pull_request, "head.repo.full_name", str)
    return replace(base, sha=sha or base.sha, pull_request=number, is_fork=head != base.repository)


def _of_workflow_run(base: Context, event: Mapping[str, Any], server: str) -> Context:
    run = event.get("workflow_run")
    sha, kind = _at(run, "head_sha", str), _at(run, "event", str)
    owner, repository = _at(run, "head_repository.owner.login", str), _at(run, "head_repository.full_name", str)
    if sha is None or kind is None or not re.fullmatch(_SHA, sha):
        raise ConfigError("the event is no workflow_run: the report of another run is made from that event alone")
    if _at(event, "repository.full_name", str) != base.repository:
        raise ConfigError("the event is of another repository than GITHUB_REPOSITORY")
    numbers = tuple(
        number for one in _at(run, "pull_requests", list) or [] if (number := _at(one, "number", int)) is not None
    )
    measured = MeasuredRun(kind, owner or "", repository or "", _at(run, "head_branch", str) or "", numbers)
    run_number = _at(run, "id", int)
    url = f"{server}/{base.repository}/actions/runs/{run_number}" if run_number else base.run_url
    return replace(base, sha=sha, run_url=url, measured=measured, is_fork=repository != base.repository)


def _event(path: Path | None) -> Mapping[str, Any]:
    if path is None:
        return {}
    try:
        event = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no JSON"
        raise ConfigError(f"cannot read the event {path}: {reason}") from error
    return event if isinstance(event, dict) else {}


def _at(value: Any, place: str, kind: type) -> Any:
    """What lies at `a.b.c`, or None where it is not there or of another kind."""
    for name in place.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, kind) and not (kind is int and isinstance(value, bool)) else None


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def _checked_url(url: str) -> str:
    if not re.fullmatch(r"https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._/-]*)?", url):
        raise ConfigError("GITHUB_API_URL or GITHUB_SERVER_URL is no http address")
    return url.rstrip("/")


def _token(text: str) -> str:
    token = text.strip()
    if not re.fullmatch(r"[!-~]*", token):
        raise ConfigError("GITHUB_TOKEN is no token: it holds a space or a character that none has")
    return token
