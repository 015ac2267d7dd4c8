"""How much the whole machine waits for its cores: the kernel's pressure stall information (Linux, PSI).

https://docs.kernel.org/accounting/psi.html
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

_FILE = Path("/proc/pressure/cpu")
_TOTAL = re.compile(r"^some .*total=(\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class CpuPressure:
    """A reading. ``waited_us``: since the machine's start, the time in which at least one task had no core that it
    could have used; None where the kernel does not tell."""

    waited_us: int | None
    clock_s: float

    @classmethod
    def now(cls) -> CpuPressure:
        """Reads it."""
        try:
            found = _TOTAL.search(_FILE.read_text())
        except OSError:
            found = None
        return cls(None if found is None else int(found[1]), time.monotonic())

    def since(self) -> float | None:
        """The share of the time since this reading in which a task waited, 0 to 1."""
        now = self.now()
        if self.waited_us is None or now.waited_us is None or now.clock_s <= self.clock_s:
            return None
        return min((now.waited_us - self.waited_us) / 1e6 / (now.clock_s - self.clock_s), 1.0)
