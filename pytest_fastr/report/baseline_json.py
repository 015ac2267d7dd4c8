"""Stored baselines as JSON for programs. Values in, text out."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from pytest_fastr.gate.levels import Level, levels_of
from pytest_fastr.gate.snapshot import ProfileSnapshot

SCHEMA_VERSION = 1


def show_json(
    folder: str, profiles: Sequence[ProfileSnapshot], here: str, tests: Mapping[str, Sequence[str]]
) -> str:  # fmt: skip
    """The profiles, and of each the tests named for its slug. ``here``: this machine's profile."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "folder": folder,
        "here": here,
        "profiles": [_profile(profile, tests[profile.slug]) for profile in profiles],
    }
    return json.dumps(document, indent=2, allow_nan=False)


def _profile(profile: ProfileSnapshot, tests: Sequence[str]) -> dict[str, object]:
    return {
        "slug": profile.slug,
        "key": None if profile.profile is None else profile.profile.as_dict()["key"],
        "void": profile.void or None,
        "damaged": list(profile.damaged),
        "tests": [_test(nodeid, profile) for nodeid in tests],
    }


def _test(nodeid: str, profile: ProfileSnapshot) -> dict[str, object]:
    test = profile.tests[nodeid]
    return {
        "nodeid": nodeid,
        "load": dict(test.load),
        "lane": test.lane,
        "sessions": [
            {"recorded": one.recorded, "commit": one.commit, "engine": one.engine} for one in test.sessions
        ],
        "eras": [asdict(era) for era in test.eras],
        "metrics": {level.name: _level(level) for level in levels_of(test, profile.ratios_like(test))},
    }  # fmt: skip


def _level(level: Level) -> dict[str, object]:
    numbers = {"level": level.value, "log_ratio": level.log_ratio, "low": level.low, "high": level.high}
    finite = {name: value if value is not None and math.isfinite(value) else None for name, value in numbers.items()}
    return {"unit": level.unit, "sessions": level.sessions, **finite}
