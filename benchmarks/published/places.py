"""Where things are in the repository."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
APPS = HERE / "apps"
AXUM = HERE.parent / "axum_users"
EXAMPLE = REPOSITORY / "examples" / "users_db"
RESULTS = HERE / "results"
PAGE = REPOSITORY / "docs" / "benchmarks.md"
FINDINGS = HERE / "findings"
RECORDS = REPOSITORY / "reports" / "published"
