"""Which formula prices a kernel: by family, operation and what the chip has.

Must not know chips by name.
"""

from __future__ import annotations

from collections.abc import Mapping

from crossgrade.predict.silicon.attention import Decode, Prefill
from crossgrade.predict.silicon.collective import Collective
from crossgrade.predict.silicon.cube import Cube, has_cube
from crossgrade.predict.silicon.experts import Experts
from crossgrade.predict.silicon.facts import Facts, facts_of
from crossgrade.predict.silicon.latent import Latent
from crossgrade.predict.silicon.matmul import TileWave
from crossgrade.predict.silicon.model import KernelModel
from crossgrade.predict.silicon.quantise import Quantise
from crossgrade.predict.silicon.vector import Vector
from crossgrade.values.chip import Chip
from crossgrade.values.kernel import Family, KernelRows

_OTHERS: Mapping[Family, KernelModel] = {
    "experts": Experts(),
    "quantise": Quantise(),
    "vector": Vector(),
    "collective": Collective(),
}


def model_for(family: Family, op: str, facts: Facts) -> KernelModel:
    """Return the formula of a family of kernels on a chip."""
    decodes = op.startswith("decode")
    if family == "matmul":
        return Cube() if has_cube(facts) else TileWave()
    if family == "attention":
        return Decode() if decodes else Prefill()
    if family == "latent-attention":
        return Latent(decode=decodes)
    return _OTHERS[family]


def facts_for(rows: KernelRows, chip: Chip) -> Facts:
    """Return the facts that the formula of some rows asks for.

    A whole latent attention has products in several formats, and its model scales them itself.

    Raises:
        KeyError: an unknown format.
    """
    return facts_of(chip, "bf16" if rows.family == "latent-attention" else rows.format)
