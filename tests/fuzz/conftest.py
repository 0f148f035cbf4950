"""The harnesses are plain modules beside the tests, used by `fuzz_run.py` too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
