"""The long run of the fuzz test: ``python tests/web/run_fuzz.py --seconds 600``."""

from __future__ import annotations

import sys
from pathlib import Path

# As pytest's `pythonpath`, for a run without pytest.
sys.path.insert(0, str(Path(__file__).parents[1]))

from support.web_fuzz import main

if __name__ == "__main__":
    main()
