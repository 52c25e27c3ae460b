"""What is measured, and against what: see README.md."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests"))  # the simulated day, and what judges a sync
