"""What stdout is: a screen of some width, or a pipe."""

from __future__ import annotations

import os
import sys
from typing import Any


def screen(least: int = 80) -> dict[str, Any]:
    """Return how wide and how colourful the output may be, as arguments of a renderer.

    Args:
        least: columns that are used even where the terminal has fewer.
    """
    terminal = sys.stdout.isatty()
    width = max(os.get_terminal_size(sys.stdout.fileno()).columns, least) if terminal else 120
    return {
        "terminal": terminal,
        "width": width,
        "colour": terminal and not os.environ.get("NO_COLOR"),
    }
