"""Reads a `profile.json`, which may be anybody's: it must be the profile whose name it bears."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from pytest_fastr.errors import BaselineError
from pytest_fastr.gate.profile import PROTOCOL_VERSION, HardwareProfile, ProfileKey, Surroundings
from pytest_fastr.gate.reference import REFERENCE_VERSION
from pytest_fastr.gate.strict_json import integer_of, mapping_of, member, only, parse, text_of

_WHOLE_NUMBERS = ("cores", "protocol", "reference", "memory_bytes")
_MAY_BE_UNKNOWN = ("libc", "virtualisation", "memory_bytes")


def read_profile(text: str, where: str) -> HardwareProfile | str:
    """The profile; or, where another protocol or reference app measured it, what makes it void, in words.

    Raises BaselineError, which calls the file ``where``.
    """
    try:
        document = parse(text)
        key = mapping_of(member(document, "key"), "key")
        protocol, reference = (integer_of(member(key, name), name) for name in ("protocol", "reference"))
        if protocol != PROTOCOL_VERSION:
            return f"measured by protocol {protocol}, this one is {PROTOCOL_VERSION}"
        if reference != REFERENCE_VERSION:
            return f"measured beside version {reference} of the reference app, this one is {REFERENCE_VERSION}"
        only(document, {"slug", "key", "recorded"}, "the file")
        flags = member(key, "build_flags")
        if not isinstance(flags, list):
            raise ValueError("`build_flags` must be a list")
        named = {**_members(key, ProfileKey), "build_flags": tuple(text_of(flag, "a build flag") for flag in flags)}
        recorded = _members(mapping_of(member(document, "recorded"), "recorded"), Surroundings)
        profile = HardwareProfile(ProfileKey(**named), Surroundings(**recorded))  # type: ignore[arg-type]
        if member(document, "slug") != profile.slug:
            raise ValueError(f"its key is that of {profile.slug!r}, and not of the `slug` in it")
        return profile
    except (ValueError, RecursionError) as error:
        raise BaselineError(f"{where} is no hardware profile: {error}. Restore it from where it came") from error


def _members(mapping: Mapping[str, object], kind: type[ProfileKey] | type[Surroundings]) -> dict[str, object]:
    """The values of the fields of ``kind``, all of them and no others."""
    names = [one.name for one in fields(kind)]
    only(mapping, names, "the profile")
    return {name: _value(member(mapping, name), name) for name in names if name != "build_flags"}


def _value(value: object, name: str) -> object:
    if value is None and name in _MAY_BE_UNKNOWN:
        return None
    return integer_of(value, name) if name in _WHOLE_NUMBERS else text_of(value, name)
