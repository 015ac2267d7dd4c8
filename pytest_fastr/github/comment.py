"""The comment on a pull request: written once, then kept up to date in place.

https://docs.github.com/rest/issues/comments. It is found again by a marker that GitHub does not show. Anybody can write
that marker into a comment of their own, so only one that this token's user wrote is changed: GitHub says whose a
comment is, and an attempt on somebody else's would be refused.
"""

from __future__ import annotations

import hashlib
from typing import Any

from pytest_fastr.github.client import Api, Denied, Refused
from pytest_fastr.github.context import Context


def marker(name: str) -> str:
    """The hidden first line. ``name`` tells apart the reports of one pull request; its hash has no end of a comment."""
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"<!-- pytest-fastr report {digest} -->"


def publish_comment(api: Api, context: Context, number: int, name: str, body: str, create: bool) -> str:
    """Updates the comment, or writes it where there is none and ``create`` says so. Returns its address or nothing."""
    comments = f"/repos/{context.repository}/issues/{number}/comments"
    hidden = marker(name)

    def existing() -> Any:
        return next((one for one in api.pages(comments) if _is_ours(one, hidden, api)), None)

    text = f"{hidden}\n{body}"
    found = existing()
    if found is None and not create:
        return ""
    if found is None:
        found = api.once("POST", comments, {"body": text}, existing)
    else:
        found = api.patch(f"/repos/{context.repository}/issues/comments/{found['id']}", {"body": text})
    address = found.get("html_url") if isinstance(found, dict) else None
    return address if isinstance(address, str) else ""


def _is_ours(comment: Any, hidden: str, api: Api) -> bool:
    """The marker at the very start, by the token's own user.

    In Actions that is a bot, which may not ask for its name; whoever gave another token may.
    """
    if not isinstance(comment, dict) or type(comment.get("id")) is not int:
        return False
    body, user = comment.get("body"), comment.get("user")
    if not isinstance(body, str) or not body.startswith(hidden) or not isinstance(user, dict):
        return False
    return user.get("type") == "Bot" or (user.get("login") is not None and user.get("login") == _own_login(api))


def _own_login(api: Api) -> str | None:
    try:
        user = api.get("/user")
    except (Denied, Refused):
        return None
    return user.get("login") if isinstance(user, dict) else None
