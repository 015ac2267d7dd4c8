"""How much the machine waits for its cores, as the kernel tells it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_fastr.gate import pressure
from pytest_fastr.gate.pressure import CpuPressure


def kernel_says(monkeypatch: pytest.MonkeyPatch, path: Path, some_us: int) -> None:
    path.write_text(
        f"some avg10=1.00 avg60=2.00 avg300=3.00 total={some_us}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n"
    )
    monkeypatch.setattr(pressure, "_FILE", path)


def test_the_share_is_the_time_waited_over_the_time_gone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kernel_says(monkeypatch, tmp_path / "cpu", 5_000_000)
    reading = CpuPressure.now()
    assert reading.waited_us == 5_000_000
    earlier = CpuPressure(4_000_000, reading.clock_s - 4.0)
    share = earlier.since()
    assert share is not None
    assert 0 < share <= 0.25


def test_more_than_all_of_the_time_is_all_of_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kernel_says(monkeypatch, tmp_path / "cpu", 10**12)
    assert CpuPressure(0, CpuPressure.now().clock_s - 1.0).since() == 1.0


@pytest.mark.parametrize("text", ["", "full avg10=0.00 total=7\n", "some avg10=0.00\n"])
def test_what_the_kernel_does_not_tell_is_not_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
    (tmp_path / "cpu").write_text(text)
    monkeypatch.setattr(pressure, "_FILE", tmp_path / "cpu")
    assert CpuPressure.now().since() is None
    monkeypatch.setattr(pressure, "_FILE", tmp_path / "no such file")
    assert CpuPressure.now().since() is None
