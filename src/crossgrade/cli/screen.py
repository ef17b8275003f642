"""What the output goes to: a terminal of some width, or a pipe. Must not know any command."""

from __future__ import annotations

import os
import sys
from typing import Any

_NARROWEST = 80
_PIPE = 120


def screen() -> dict[str, Any]:
    """Return how wide and how colourful the output may be, as arguments of a renderer."""
    terminal = sys.stdout.isatty()
    width = _PIPE
    if terminal:
        width = max(os.get_terminal_size(sys.stdout.fileno()).columns, _NARROWEST)
    return {
        "terminal": terminal,
        "width": width,
        "colour": terminal and not os.environ.get("NO_COLOR"),
    }
