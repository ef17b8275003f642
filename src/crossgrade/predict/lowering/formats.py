"""Arithmetic and operands of a launch -> the format that kernel rows name.

Checkpoints say how weights are stored; the bytes of their scales tell one 8-bit or 4-bit format
from another. Must not know stacks or models.
"""

from __future__ import annotations

import math

from crossgrade.predict.lowering.graph import Graph
from crossgrade.predict.lowering.kernel import Kernel
from crossgrade.values.capture import ROLES

_PARAMETER = ROLES.index("parameter")
_PLAIN = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32", "float64": "fp64"}
_FP8 = frozenset({"float8_e4m3fn", "float8_e5m2", "fp8"})
_NVFP4 = 0.55
"""Bytes per 4-bit weight from which on scales are for 16 values (0.5625) and not 32 (0.53125)."""
_TENSOR_SCALE = 4.0
"""Bytes of the scale of a whole matrix, at most."""
QUANTISED = frozenset({"fp8", "fp8_block", "hif8", "int8", "int4_a8", "nvfp4", "mxfp4"})
"""Formats whose products may take activations of 8 or 4 bits."""


class Formats:
    """Formats of the launches of one graph."""

    def __init__(self, graph: Graph) -> None:
        """Look at the scales of all 8-bit weights: one matrix alone may be ambiguous."""
        self._graph = graph
        c = graph.capture.columns
        self._stored, self._whole = c["storage_stored_bytes"], c["storage_bytes"]
        fp8 = [n.kernel for n in graph.nodes if n.kernel.weight_format in _FP8]
        self._fp8 = "fp8_block" if any(self._in_blocks(k) for k in fp8) else "fp8"

    def of(self, kernel: Kernel) -> str:
        """Return the format of a launch: of its weights where they have one."""
        stored = kernel.weight_format
        if not stored or stored in _PLAIN:
            return plain_format(stored or kernel.dtype)
        if stored in _FP8:
            return self._fp8
        if stored == "fp4":
            return "nvfp4" if self._per_weight(kernel) >= _NVFP4 else "mxfp4"
        if stored == "int4":
            return "int4_a8" if self._graph.capture.workload.dtype == "w4a8" else "int4_wo"
        return stored

    def _weight(self, kernel: Kernel) -> tuple[int, tuple[int, ...]] | None:
        """Return storage and shape of the largest parameter that a kernel's first call reads."""
        graph = self._graph
        c = graph.capture.columns
        found = None
        for value in graph.capture.inputs_of(kernel.calls[0]):
            s = int(c["value_storage"][value])
            if graph.roles[s] == _PARAMETER and (
                found is None or self._whole[s] > self._whole[found[0]]
            ):
                found = (s, graph.capture.meta(int(c["value_meta"][value])).shape)
        return found

    def _per_weight(self, kernel: Kernel) -> float:
        """Return stored bytes per element of the weight, scales included."""
        weight = self._weight(kernel)
        if weight is None:
            return 0.0
        return float(self._stored[weight[0]]) / max(math.prod(weight[1]), 1)

    def _in_blocks(self, kernel: Kernel) -> bool:
        """Return whether an 8-bit weight cannot have one scale per matrix, row or column."""
        weight = self._weight(kernel)
        if weight is None:
            return False
        s, shape = weight
        matrices = math.prod(shape[:-2])
        scales = float(self._stored[s]) - math.prod(shape)
        if scales <= _TENSOR_SCALE * matrices:
            return False
        rows = {size * matrices * n for size in (2.0, 4.0) for n in shape[-2:]}
        return scales not in rows


def plain_format(dtype: str) -> str:
    """Return the format of a torch dtype; what has no name of its own keeps torch's."""
    return _PLAIN.get(dtype, dtype)
