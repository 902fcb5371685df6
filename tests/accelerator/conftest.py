"""The tiny network of tests/training, which is trained here too."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "training"))
