"""Damaged requests for native lanes, some seconds of them; ``run_fuzz.py`` goes on for as long as it is told to."""

from __future__ import annotations

from support.web_fuzz import fuzz


def test_damaged_requests_are_answered_soundly_or_not_at_all() -> None:
    ends = fuzz(7, count=3000)
    assert ends["200"] > 100
    assert ends["400"] > 100
