"""A machine of another kind than those with baselines is told so, and one without any neighbours is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pytest_fastr.gate.equals import EqualsSession, EqualsStore
from pytest_fastr.gate.unknown_hardware import unknown_hardware
from support.baselines import KEY, OTHER, PROFILE, store


def test_the_sentence_names_this_profile_those_there_are_and_the_command(tmp_path: Path) -> None:
    store(tmp_path, [1], profile=OTHER)
    said = unknown_hardware(tmp_path, PROFILE.slug)
    assert said is not None
    for part in (PROFILE.slug, OTHER.slug, "pytest-fastr baseline update", "docs/baselines.md"):
        assert part in said
    assert "\n" not in said


def test_nothing_is_said_where_it_has_baselines_or_no_hardware_has(tmp_path: Path) -> None:
    assert unknown_hardware(tmp_path / "nowhere", PROFILE.slug) is None
    assert unknown_hardware(tmp_path, PROFILE.slug) is None
    # What equals have shown is no baseline.
    EqualsStore(tmp_path / OTHER.slug).append(EqualsSession("2025-01-02T00:00:00+00:00", 3, 0))
    assert unknown_hardware(tmp_path, PROFILE.slug) is None
    store(store(tmp_path, [1], profile=OTHER), [1])
    assert unknown_hardware(tmp_path, PROFILE.slug) is None


def test_many_profiles_are_counted(tmp_path: Path) -> None:
    for cores in range(4, 10):
        store(tmp_path, [1], profile=replace(PROFILE, key=replace(KEY, cores=cores)))
    assert " and 2 more: nothing stored was compared" in (unknown_hardware(tmp_path, PROFILE.slug) or "")
