"""The long run of the differential test: ``python tests/web/run_differential.py --cases 1000000 --seed 1``."""

from __future__ import annotations

import sys
from pathlib import Path

# As pytest's `pythonpath`, for a run without pytest.
sys.path.insert(0, str(Path(__file__).parents[1]))

from support.web_campaign import main

if __name__ == "__main__":
    sys.exit(main())
