"""How fast it is: `pytest --perf` measures; without `--perf` each request is tried once."""

from __future__ import annotations

import pytest

from pytest_fastr import Perf
from users_db.seed import users

pytestmark = pytest.mark.perf(users=10, duration="3s")


def test_page(perf: Perf) -> None:
    perf.get("/")


def test_user(perf: Perf) -> None:
    perf.get(f"/users/{users()[41]['user_id']}")
