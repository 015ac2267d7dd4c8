"""The engine answers as FastAPI does: generated applications and requests, and cases written by hand.

Every application is executed twice, called by an oracle (``support/web_oracle.py``) and served by the engine, and asked
the same bytes. Answers have to be equal, and journals: what handlers, dependencies and background tasks noted.

``python tests/web/run_differential.py`` runs as many more seeds as one likes.
"""

from __future__ import annotations

import pytest

from support.web_by_hand import CASES
from support.web_case import run_case
from support.web_compare import run

# How the application is served.
MOUNTS = ("asgi", "native")

FIRST_SEED = 20_261_126
BATCHES = 10
CASES_A_BATCH = 10


@pytest.mark.parametrize("mount", MOUNTS)
@pytest.mark.parametrize("batch", range(BATCHES))
def test_generated_applications_are_answered_as_by_fastapi(mount: str, batch: int) -> None:
    for seed in range(FIRST_SEED + batch * CASES_A_BATCH, FIRST_SEED + (batch + 1) * CASES_A_BATCH):
        if (difference := run_case(seed, mount)) is not None:
            pytest.fail(difference.render(str(seed)), pytrace=False)


@pytest.mark.parametrize("mount", MOUNTS)
@pytest.mark.parametrize("name", CASES)
def test_an_application_written_by_hand_is_answered_as_by_fastapi(mount: str, name: str) -> None:
    source, requests = CASES[name]
    if (difference := run(source, requests, mount).difference) is not None:
        pytest.fail(difference.render(f"by hand: {name}"), pytrace=False)
