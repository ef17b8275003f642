"""Makes the functions of the jobs importable: a child looks where this process looks."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
