"""The mutants and their runner are plain modules beside the test."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
