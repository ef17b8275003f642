"""Routed experts on cores with a cube unit: grouped products are products, one per active expert.

Parameters are those of dense products on the chip, or on chips that lend them: nothing of experts
is fitted. Two grouped products of 16 experts by int8 weights that no fit has seen (a DeepSeek-V3.2
decode step, hicann/oam-tools@8804d04d) take 330 and 175 us measured, 348 and 179 us by this
formula with the parameters of a 910C die. Must not know chips by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from crossgrade.predict.silicon.cube import PARAMETERS, Cube
from crossgrade.predict.silicon.experts import UNGATED, moved_bytes
from crossgrade.predict.silicon.facts import BYTES, Facts
from crossgrade.predict.silicon.model import Floats, Parameter, Terms
from crossgrade.predict.silicon.routing import share_of
from crossgrade.values.kernel import Family, KernelRows

AROUND = 5.0
"""Kernels round the products: choice, order, permutation, activation, sum."""
AROUND_S = 3e-6
"""Least time of one of them, s: as a vector kernel's floor starts (`silicon/vector.py`)."""
_MOVED = {"moved": 1.0, "moved_elsewhere": 0.05}
"""Bytes that these kernels move over what their operands have, as the fits of experts start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupedCube:
    """The kernel model of family `experts` on a chip for which `has_cube` holds."""

    name: str = "cube-grouped"
    """Its name."""
    family: Family = "experts"
    """The family that it prices."""
    parameters: tuple[Parameter, ...] = PARAMETERS
    """Those of dense products."""

    def terms(self, rows: KernelRows, facts: Facts, values: Mapping[str, float]) -> Terms:
        """Return the time of each row; see KernelModel."""
        share = share_of(rows.sizes)
        active = np.maximum(np.ceil(share.active), 1.0)
        each = np.maximum(np.ceil(share.rows / active), 1.0)
        wide, hidden = rows.sizes["inter"] / rows.sizes["tp"], rows.sizes["hidden"]
        gates = 1 if rows.op == UNGATED else 2
        two = [
            self._product(active, each, columns, depth, rows.format, facts, values)
            for columns, depth in ((gates * wide, hidden), (hidden, wide))
        ]
        moved = moved_bytes(rows, share, _MOVED) / facts.bandwidth_bytes_per_s
        floor = two[0].floor + two[1].floor + AROUND * AROUND_S
        return Terms(
            total=two[0].total + two[1].total + moved + AROUND * AROUND_S,
            compute=two[0].compute + two[1].compute,
            vector=two[0].vector + two[1].vector + moved,
            memory=two[0].memory + two[1].memory,
            floor=floor,
        )

    def _product(
        self, experts: Floats, rows: Floats, columns: Floats, depth: Floats, format: str,
        facts: Facts, values: Mapping[str, float],
    ) -> Terms:  # fmt: skip
        """Return the time of one grouped product; narrow weights lie in blocks."""
        op = "grouped_nz" if BYTES[format] < 2 else "grouped"
        sizes = {"batch": experts, "m": rows, "n": columns, "k": depth}
        one = KernelRows(family="matmul", op=op, format=format, stack="", sizes=sizes)
        return Cube().terms(one, facts, values)

    def features(self, rows: KernelRows, facts: Facts, values: Mapping[str, float]) -> Floats:
        """Return where rows lie for a table: doublings of tokens, weights and ranks."""
        del facts, values
        names = ("tokens", "hidden", "inter", "topk", "experts", "tp", "ep")
        axes = [np.log2(np.maximum(rows.sizes[name], 1.0)) for name in names]
        return np.stack(axes, axis=1)
