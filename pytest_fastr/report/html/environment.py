"""Where, when and by what it was measured."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_fastr.gate.model import SessionReport
from pytest_fastr.report.html.markup import Markup, tag
from pytest_fastr.report.html.words import fine
from pytest_fastr.report.quantity import bytes_text


def environment(report: SessionReport, commit: str | None) -> Markup:
    """A list of terms."""
    listed = [
        [tag("dt", term), tag("dd", tag("code", value) if is_code else value)]
        for term, value, is_code in _facts(report, commit)
        if value
    ]
    return tag("section", tag("h2", "Environment", id="environment"), tag("dl", *listed), aria_labelledby="environment")


def _facts(report: SessionReport, commit: str | None) -> Iterator[tuple[str, str, bool]]:
    key, recorded = report.profile.key, report.profile.recorded
    yield "command", report.command, True
    yield "started", report.started, False
    yield "duration", f"{report.duration_s:.1f}\u00a0s", False
    yield "commit", commit or "not known", True
    yield "compared with", report.against or "stored baselines", False
    yield "hardware profile", report.profile.slug, True
    yield "processor", f"{key.cpu_vendor} {key.cpu_model} ({key.architecture}), {key.cores} usable cores", False
    if recorded.memory_bytes is not None:
        yield "memory", fine(bytes_text(recorded.memory_bytes)), False
    libc = f", {recorded.libc}" if recorded.libc else ""
    yield "system", f"{key.system} {recorded.kernel}{libc}", False
    yield "virtualisation", recorded.virtualisation or "", False
    flags = f" ({', '.join(key.build_flags)})" if key.build_flags else ""
    yield "interpreter", f"{key.implementation} {recorded.python_version}{flags}", False
    yield "versions", ", ".join(f"{name} {version}" for name, version in report.versions.items()), False
    yield "measuring protocol", f"{key.protocol}, reference app {key.reference}", False
