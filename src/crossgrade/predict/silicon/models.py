"""Which formula prices a kernel: by family, operation and what the chip has.

Must not know chips by name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from crossgrade.predict.silicon.attention import Decode, Prefill
from crossgrade.predict.silicon.collective import Collective
from crossgrade.predict.silicon.cube import Cube, has_cube
from crossgrade.predict.silicon.experts import Experts
from crossgrade.predict.silicon.facts import ARITHMETIC, Facts, facts_of
from crossgrade.predict.silicon.grouped import GroupedCube
from crossgrade.predict.silicon.latent import Latent
from crossgrade.predict.silicon.matmul import TileWave, in_graph
from crossgrade.predict.silicon.model import KernelModel, Terms
from crossgrade.predict.silicon.quantise import Quantise
from crossgrade.predict.silicon.vector import Vector
from crossgrade.values.chip import Chip
from crossgrade.values.kernel import Family, KernelRows

LAUNCHES_OF_MODULE = 10.0
"""Kernels of a whole latent attention, whose floor is fitted for all of them together."""
_OTHERS: Mapping[Family, KernelModel] = {
    "experts": Experts(),
    "quantise": Quantise(),
    "collective": Collective(),
}


def model_for(family: Family, op: str, facts: Facts) -> KernelModel:
    """Return the formula of kernels on a chip; a vector operation has factors of its own."""
    if family == "vector":
        return Vector(ops=(op,))
    decodes = op.startswith("decode")
    if family == "matmul":
        return Cube() if has_cube(facts) else TileWave()
    if family == "experts" and has_cube(facts):
        return GroupedCube()
    if family == "attention":
        return Decode() if decodes else Prefill()
    if family == "latent-attention":
        return Latent(decode=decodes)
    return _OTHERS[family]


def priced_as(family: Family, format: str) -> str:
    """Return the format that a model is asked for: integers and what else has no rate of its own
    count as fp32, as in `rates`. Latent attention has formats of its own."""
    return format if format in ARITHMETIC or family == "latent-attention" else "fp32"


def facts_for(rows: KernelRows, chip: Chip) -> Facts:
    """Return the facts that the formula of some rows asks for.

    A whole latent attention has products in several formats, and its model scales them itself. A
    rate that nobody publishes costs nothing here, so that memory binds; ask before whether much of
    the work is of that kind.
    """
    latent = rows.family == "latent-attention"
    facts = facts_of(chip, "bf16" if latent else priced_as(rows.family, rows.format))
    return replace(
        facts,
        matrix_flop_per_s=_or_free(facts.matrix_flop_per_s),
        vector_flop_per_s=_or_free(facts.vector_flop_per_s),
    )


def _or_free(rate: float) -> float:
    return math.inf if math.isnan(rate) else rate


def alone(model: KernelModel, rows: KernelRows, facts: Facts, values: Mapping[str, float]) -> Terms:
    """Return the terms of launches that stand by themselves in a replayed graph.

    Tables time a product with the conversion of its activations, and some with the host that
    launches it; the layer of a latent attention with its projections. Here each is a launch of its
    own, so that part is left out.

    Args:
        model: the formula.
        rows: kernels of one kind, of the stack whose parameters these are.
        facts: the chip.
        values: the parameters.
    """
    if isinstance(model, TileWave):
        bare = model.terms(rows, facts, in_graph(values))
        return replace(bare, total=bare.total - bare.vector, vector=np.zeros(len(rows)))
    terms = model.terms(rows, facts, values)
    if isinstance(model, Latent) and not rows.op.endswith("_module"):
        less = terms.floor * (1 - 1 / LAUNCHES_OF_MODULE)
        return replace(terms, total=terms.total - less, floor=terms.floor - less)
    return terms
