"""Requests to GitHub's REST API, by the standard library.

Failures are of three kinds, and none of them may fail a build: `Denied` (the token may not), `Refused` (GitHub does not
take what was sent) and `Unavailable` (GitHub did not answer in the time there was).
https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit
"""

from __future__ import annotations

import http.client
import json
import re
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from pytest_fastr.github.patience import Patience

API_VERSION = "2022-11-28"
"""https://docs.github.com/rest/about-the-rest-api/api-versions"""
PAGE_SIZE = 100
MOST_PAGES = 100
_ATTEMPTS = 6
_TIMEOUT_S = 15.0
_MOST_ANSWER = 64 * 1024 * 1024
_SECONDARY_S = 60.0
"""GitHub's own advice for a secondary limit that does not say how long."""
_MOVED = (301, 302, 307, 308)


class ApiError(Exception):
    """The root of what can go wrong with a request."""


class Denied(ApiError):
    """The token may not do this."""


class Refused(ApiError):
    """GitHub does not take what was sent, and would not take it again."""


class Unavailable(ApiError):
    """GitHub did not answer, or asked for more patience than there is."""


class Unsure(Unavailable):
    """The request may have been carried out, though no answer came."""

    def __init__(self, why: str, wait_s: float) -> None:
        super().__init__(why)
        self.wait_s = wait_s
        """How long to wait before asking again."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A status with what came with it. Headers are looked up in any case."""

    status: int
    headers: Message
    body: bytes

    def json(self) -> Any:
        """The body. Raises Unavailable where it is no JSON: a page of a proxy, or half an answer."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise Unavailable("GitHub's answer was no JSON") from None

    @property
    def message(self) -> str:
        """What GitHub says about it."""
        try:
            said = json.loads(self.body)["message"]
        except (ValueError, KeyError, TypeError):
            return ""
        return said if isinstance(said, str) else ""


class _AsItCame(urllib.request.HTTPErrorProcessor):
    """Hands every answer on. urllib itself would carry the token to whatever host an answer leads to."""

    def http_response(self, request: urllib.request.Request, response: http.client.HTTPResponse) -> Any:
        return response

    https_response = http_response


class Api:
    """The API of one GitHub, asked with one token."""

    def __init__(self, url: str, token: str, patience: Patience) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self.patience = patience
        self._opener = urllib.request.build_opener(_AsItCame)

    def get(self, path: str, query: Mapping[str, str | int] | None = None) -> Any:
        """The JSON of an answer."""
        return self._settled("GET", self._address(path, query), None).json()

    def pages(self, path: str, query: Mapping[str, str | int] | None = None) -> Iterator[Any]:
        """The items of all pages of a list. https://docs.github.com/rest/using-the-rest-api/using-pagination"""
        address: str | None = self._address(path, {**(query or {}), "per_page": PAGE_SIZE})
        for _ in range(MOST_PAGES):
            if address is None:
                return
            answer = self._settled("GET", address, None)
            items = answer.json()
            if not isinstance(items, list):
                raise Unavailable("GitHub's answer was no list")
            yield from items
            address = self._next(answer, address)

    def patch(self, path: str, body: Mapping[str, object]) -> Any:
        """Changes something to what it should be, as often as it takes: doing it twice is doing it once."""
        return self._settled("PATCH", self._address(path), body).json()

    def once(self, method: str, path: str, body: Mapping[str, object], done: Callable[[], Any]) -> Any:
        """Sends what must not be carried out twice. ``done`` looks whether it was, where no answer came: what it
        finds, or None."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._settled(method, self._address(path), body, repeat=False).json()
            except Unsure as unsure:
                wait = max(unsure.wait_s, self.patience.backed_off(attempt))
                if attempt == _ATTEMPTS or not self.patience.pause(wait):
                    raise
                found = done()
                if found is not None:
                    return found
        raise AssertionError("the last attempt has raised")

    def _address(self, path: str, query: Mapping[str, str | int] | None = None) -> str:
        return f"{self._url}{path}" + (f"?{urlencode(query)}" if query else "")

    def _settled(self, method: str, address: str, body: Mapping[str, object] | None, repeat: bool = True) -> Answer:
        """The good answer to a request, tried as long as there is hope."""
        for attempt in range(1, _ATTEMPTS + 1):
            if self.patience.left_s <= 0:
                raise Unavailable("GitHub took all the time that the report may take")
            try:
                answer = self._followed(method, address, body)
            except (OSError, http.client.HTTPException) as error:
                wait, why, lost = self.patience.backed_off(attempt), _reason(error), True
            else:
                if answer.status < 300:
                    return answer
                wait, why, lost = self._wait(answer, attempt), _said(answer), answer.status >= 500
            if lost and not repeat:
                raise Unsure(why, wait)
            if attempt == _ATTEMPTS or not self.patience.pause(wait):
                raise Unavailable(why)
        raise AssertionError("the last attempt has raised")

    def _wait(self, answer: Answer, attempt: int) -> float:
        """How long to wait before another attempt. Raises where none would help."""
        if answer.status >= 500:
            return max(self.patience.backed_off(attempt), _number(answer.headers["Retry-After"]) or 0.0)
        if not _is_limit(answer):
            raise (Denied if answer.status in (401, 403, 404) else Refused)(_said(answer))
        after = _number(answer.headers["Retry-After"])
        if after is not None:
            return after + self.patience.chance()
        reset = _number(answer.headers["X-RateLimit-Reset"])
        if answer.headers["X-RateLimit-Remaining"] == "0" and reset is not None:
            return max(reset - self.patience.now(), 0.0) + 1.0 + self.patience.chance()
        return _SECONDARY_S * 2.0 ** (attempt - 1)

    def _followed(self, method: str, address: str, body: Mapping[str, object] | None) -> Answer:
        """One exchange. A repository that was renamed has moved within the API: that is followed, nothing else is."""
        for _ in range(3):
            answer = self._exchange(method, address, body)
            if answer.status not in _MOVED:
                return answer
            there = urljoin(address, answer.headers["Location"] or "")
            if not self._is_ours(there):
                raise Refused("GitHub's answer leads to another host, which does not get the token")
            address = there
        raise Refused("GitHub's answers lead in a circle")

    def _exchange(self, method: str, address: str, body: Mapping[str, object] | None) -> Answer:
        headers = {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {self._token}",
            "User-Agent": "pytest-fastr",
            "X-GitHub-Api-Version": API_VERSION,
        }
        content = None if body is None else json.dumps(body).encode()
        if content is not None:
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(address, content, headers, method=method)
        timeout = max(0.1, min(_TIMEOUT_S, self.patience.left_s))
        with self._opener.open(request, timeout=timeout) as answer:
            return Answer(answer.status, answer.headers, self._content(answer))

    def _content(self, answer: http.client.HTTPResponse) -> bytes:
        """All of the body: a timeout counts from the last byte, and would not end an answer that trickles."""
        content = b""
        while part := answer.read1(65536):
            content += part
            if self.patience.left_s <= 0 or len(content) > _MOST_ANSWER:
                raise TimeoutError("the answer did not end")
        length = _number(answer.headers["Content-Length"])
        if length is not None and len(content) < length:
            raise http.client.IncompleteRead(content, int(length) - len(content))
        return content

    def _next(self, answer: Answer, address: str) -> str | None:
        link = re.search(r'<([^>]+)>\s*;[^,]*\brel="next"', answer.headers["Link"] or "")
        if link is None:
            return None
        there = urljoin(address, link[1])
        return there if self._is_ours(there) else None

    def _is_ours(self, address: str) -> bool:
        ours, there = urlsplit(self._url), urlsplit(address)
        return (ours.scheme, ours.netloc) == (there.scheme, there.netloc)


def _is_limit(answer: Answer) -> bool:
    if answer.status not in (403, 429):
        return False
    headers, message = answer.headers, answer.message.lower()
    return (
        answer.status == 429
        or headers["Retry-After"] is not None
        or headers["X-RateLimit-Remaining"] == "0"
        or "rate limit" in message
    )


def _said(answer: Answer) -> str:
    return f"{answer.status} {answer.message}".strip()[:300]


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return f"no answer ({reason})"[:300] if str(reason) else f"no answer ({type(error).__name__})"


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and re.fullmatch(r"\d{1,12}", text.strip()) else None
