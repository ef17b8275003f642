"""What data sheets and fixed constants say of the rows that a card scores.

Must not know families or chips: a card gives the time at either peak.
"""

from __future__ import annotations

import numpy as np

from crossgrade.predict.scorecard.line import Anchor
from crossgrade.predict.silicon.model import Floats
from crossgrade.predict.silicon.score import score

COMPUTE, MEMORY = 0.7, 0.6
"""Shares of the peaks in TensorCast (Ascend/msmodeling@84fec85, Mulan PSL v2)."""
MATRIX_S, VECTOR_S = 5e-6, 2e-6
"""Its fixed costs of a matrix and of a vector kernel, s; the same source."""


def roofline(compute: Floats, memory: Floats) -> Floats:
    """Return the greater of two times at the peaks of the data sheet, s, shape [rows]."""
    return np.maximum(compute, memory)


def constants(compute: Floats, memory: Floats) -> Floats:
    """Return what TensorCast's constants make of two times at the peaks, s, shape [rows]."""
    return np.maximum(compute / COMPUTE, memory / MEMORY) + MATRIX_S


def anchors(
    compute: Floats, memory: Floats, measured: Floats, remark: str = ""
) -> tuple[Anchor, ...]:
    """Return the errors of both formulas.

    Args:
        compute: time of matrix work at the data sheet's peak, s, shape [rows].
        memory: time of the traffic at the data sheet's bandwidth, s, shape [rows].
        measured: what the rows took, s, shape [rows].
        remark: what else the formulas were given, in words.
    """
    told = {
        "spec roofline": ("max(FLOP / peak, bytes / bandwidth)", roofline),
        "TensorCast constants": (
            "max(FLOP / 0.7 peak, bytes / 0.6 bandwidth) + 5 us, Ascend/msmodeling@84fec85",
            constants,
        ),
    }
    found = []
    for who, (words, formula) in told.items():
        reached = score(formula(compute, memory), measured)
        figure = f"MAPE {reached.mape * 100:.1f} %"
        source = f"{words}; run here on the same rows{', ' if remark else ''}{remark}"
        found.append(Anchor(who=who, figure=figure, source=source, score=reached))
    return tuple(found)
