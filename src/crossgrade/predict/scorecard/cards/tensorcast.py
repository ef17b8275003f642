"""TensorCast's formula with its own peaks of a 910C die: what the vendor's own tool would say.

Source: Ascend/msmodeling@84fec85 (Mulan PSL v2), tensor_cast/device.py and performance_model: the
larger of arithmetic over 0.7 of the peak and traffic over 0.6 of the bandwidth, and a fixed cost
of 5 us (cube) or 2 us (vector). Facts, no code.
"""

from __future__ import annotations

import numpy as np

from crossgrade.predict.scorecard.cards.anchors import COMPUTE, MATRIX_S, MEMORY, VECTOR_S
from crossgrade.predict.scorecard.line import Anchor
from crossgrade.predict.silicon.facts import BYTES
from crossgrade.predict.silicon.fitting import Batch, seconds_of
from crossgrade.predict.silicon.model import Floats
from crossgrade.predict.silicon.score import score
from crossgrade.values.kernel import KernelRows

BANDWIDTH = 1.6 * 2**40
"""Of ATLAS_800_A3_752T_128G_DIE, bytes/s."""
MATRIX = {"bf16": 376e12, "int8": 752e12}
"""Its cube peaks of the same profile, FLOP/s."""


def matmul(rows: KernelRows) -> Floats:
    """Return its time of products, s."""
    batch, m, n, k = rows.sizes.values()
    moved = batch * ((m + n) * k * BYTES[rows.format] + 2 * m * n)
    compute = 2 * batch * m * n * k / (COMPUTE * MATRIX[rows.format])
    return np.maximum(compute, moved / (MEMORY * BANDWIDTH)) + MATRIX_S


def vector(rows: KernelRows) -> Floats:
    """Return its time of vector kernels by traffic alone, s: which peak it takes is not told."""
    moved = rows.sizes["bytes_read"] + rows.sizes["bytes_written"]
    return moved / (MEMORY * BANDWIDTH) + VECTOR_S


def anchor(batches: list[Batch], figure: str) -> Anchor:
    """Return its errors on measured rows.

    Args:
        batches: products or vector kernels of a 910C die.
        figure: what was published or found on a larger set.
    """
    formula = matmul if batches[0].rows.family == "matmul" else vector
    said = np.concatenate([formula(b.rows) for b in batches])
    return Anchor(
        who="TensorCast's formula",
        figure=figure,
        source="Ascend/msmodeling@84fec85, run here on the same rows",
        score=score(said, seconds_of(batches)),
    )
