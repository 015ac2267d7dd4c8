"""The check run: created in progress, given its annotations, and completed.

https://docs.github.com/rest/checks/runs: at most 50 annotations a request, each of which adds to those before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_fastr.github.annotations import Annotation
from pytest_fastr.github.client import Api, Unavailable
from pytest_fastr.github.context import Context
from pytest_fastr.github.decision import Decision

MOST_ANNOTATIONS = 50


def publish_check(
    api: Api, context: Context, name: str, decision: Decision, summary: str, annotations: Sequence[Annotation]
) -> str:
    """Makes the check run. Returns its address, empty where GitHub does not say."""
    runs = f"/repos/{context.repository}/check-runs"
    external = f"pytest-fastr/{context.run_id}/{name}"
    started = {"name": name, "head_sha": context.sha, "status": "in_progress", "external_id": external}
    if context.run_url:
        started["details_url"] = context.run_url
    run = api.once("POST", runs, started, lambda: _existing(api, context, name, external))
    number = run.get("id") if isinstance(run, dict) else None
    if type(number) is not int:
        raise Unavailable("GitHub's answer has no number of the check run")
    output = {"title": decision.headline[:255], "summary": summary}
    try:
        for first in range(0, len(annotations), MOST_ANNOTATIONS):
            _annotate(api, f"{runs}/{number}", output, annotations, first)
    finally:
        # Completed in any case: a check that stays in progress would keep a pull request from being merged.
        done = api.patch(
            f"{runs}/{number}",
            {"status": "completed", "conclusion": decision.conclusion, "output": output},
        )
    address = done.get("html_url") if isinstance(done, dict) else None
    return address if isinstance(address, str) else ""


def _annotate(api: Api, path: str, output: dict[str, str], annotations: Sequence[Annotation], first: int) -> None:
    """Adds a batch, and not twice: where no answer came, the check run is asked how many it has."""
    batch = annotations[first : first + MOST_ANNOTATIONS]
    body = {"output": {**output, "annotations": [one.for_check() for one in batch]}}

    def added() -> Any:
        run = api.get(path)
        return run if run["output"]["annotations_count"] >= first + len(batch) else None

    try:
        api.once("PATCH", path, body, added)
    except (KeyError, TypeError):
        raise Unavailable("GitHub does not say how many annotations the check run has") from None


def _existing(api: Api, context: Context, name: str, external: str) -> Any:
    """The check run of this very run, where the answer to its creation was lost."""
    answer = api.get(f"/repos/{context.repository}/commits/{context.sha}/check-runs", {"check_name": name})
    listed = answer.get("check_runs") if isinstance(answer, dict) else None
    for run in listed if isinstance(listed, list) else []:
        if isinstance(run, dict) and run.get("external_id") == external:
            return run
    return None
