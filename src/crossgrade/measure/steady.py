"""Whether a series of block times has settled: two halves agree and nothing drifts.

Must not know where the times come from. Rules: `two halves` after pyperf's calibrator, the drift by
Theil and Sen with the interval of Kendall's tau (Sen 1968, doi:10.1080/01621459.1968.10480934).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

WINDOW = 20
"""Blocks of a window; two windows that follow each other are looked at."""
LEAST = 10
"""Blocks without which nothing is said, where time does not allow two windows."""
SLACK = 0.005
"""Halves may differ by that share even where the scatter is smaller."""
_Z = 1.959963984540054


def is_steady(blocks: Sequence[float], *, last: bool = False) -> bool:
    """Return whether the last two windows of block times agree and nothing drifts over them.

    Ask it once per window: asked after every block, noise would sooner or later say yes.

    Args:
        blocks: times of equal blocks in order, any unit.
        last: the time is up, so that fewer blocks than two windows have to do.
    """
    if len(blocks) < (LEAST if last else 2 * WINDOW):
        return False
    window = np.asarray(blocks[-2 * WINDOW :], dtype=float)
    return _halves_agree(window) and not _drifts(window)


def _halves_agree(window: np.ndarray) -> bool:
    half = len(window) // 2
    first, second = np.median(window[:half]), np.median(window[-half:])
    middle = float(np.median(window))
    mad = float(np.median(np.abs(window - middle)))
    # Twice the standard error of the difference of two medians of normal values.
    error = 1.4826 * mad * math.sqrt(math.pi / 2) * math.sqrt(2 / half)
    slack = max(SLACK * abs(middle), 2 * error)
    return bool(abs(first - second) <= slack)


def _drifts(window: np.ndarray) -> bool:
    """Return whether the 95 % interval of the Theil-Sen slope leaves out 0."""
    n = len(window)
    i, j = np.triu_indices(n, k=1)
    slopes = np.sort((window[j] - window[i]) / (j - i))
    spread = _Z * math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    low = max(0, math.floor((len(slopes) - spread) / 2))
    high = min(len(slopes) - 1, math.ceil((len(slopes) + spread) / 2))
    return bool(slopes[low] > 0 or slopes[high] < 0)
