"""Puts the folder of all benchmarks on the import path: scripts find only their own there."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
