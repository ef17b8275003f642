"""What the time of one kernel is a function of: its family, its sizes, its format, its stack.

Lowering makes these rows, models price them, measured tables are made of them. Columnar: a value
holds many kernels of one family, one operation, one format and one stack, numpy arrays behind the
names in SIZES. Must not know chips, captures or models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Column = NDArray[np.float64]

Family = Literal[
    "matmul", "attention", "latent-attention", "experts", "quantise", "vector", "collective"
]
"""Kernels whose time depends on the same sizes.

matmul: dense products. attention: scores, softmax, values. latent-attention: the same over a latent
(MLA). experts: routed feed-forward layers. quantise: a conversion with scales. vector: everything
else that moves data through the vector engine. collective: data exchanged between chips.
"""

SIZES: Mapping[Family, tuple[str, ...]] = {
    "matmul": ("batch", "m", "n", "k"),
    "attention": ("batch", "heads", "kv_heads", "queries", "keys", "qk_size", "v_size", "window"),
    "latent-attention": ("batch", "heads", "queries", "keys", "rank", "rope"),
    "experts": ("tokens", "hidden", "inter", "topk", "experts", "tp", "ep", "skew"),
    "quantise": ("m", "k"),
    "vector": ("bytes_read", "bytes_written", "element_ops", "rows"),
    "collective": ("ranks", "bytes"),
}
"""Sizes of each family, in this order.

matmul: `batch` products [m, k] x [k, n]. attention: per sequence `queries` new positions see up to
`keys` positions, themselves among them (causal); `window` is the most that one sees, 0 for all.
latent-attention: `rank` elements of the latent and `rope` rotary elements per position. experts:
`tokens` before routing, over all chips of the group; `experts` in all, split over `ep` chips;
`inter` of one expert, split over `tp`; `skew` is 0 for perfectly even routing, EVEN_ODDS where each
token chooses by itself and experts are equally liked, else the power-law exponent.
vector: bytes and element operations together over all inputs and outputs; `rows` independent rows
where the operation reduces, else 0. collective: `bytes` is the payload of one rank, before any
algorithm's factor.
"""

SITES: Mapping[Family, tuple[str, ...]] = {
    "matmul": ("n", "k"),
    "attention": ("heads", "kv_heads", "qk_size", "window"),
    "latent-attention": ("heads",),
    "experts": ("hidden", "inter", "topk", "experts"),
    "quantise": ("k",),
    "vector": ("bytes_read", "bytes_written"),
    "collective": ("bytes",),
}
"""Sizes that a model fixes, whatever its load: those of a weight, of heads, of experts.

Kernels that share them come together, so what was not measured differs in them.
"""

BACKWARD = "prefill_backward"
"""`op` of the gradients of an attention; its sizes are those of the forward pass."""
EVEN_ODDS = -1.0
"""`skew` of experts that tokens choose independently and without preference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelRows:
    """Kernels of one kind, and their measured times where there are any."""

    family: Family
    """Which sizes count."""
    op: str
    """What is done: `mm`, `prefill`, `decode`, `all_reduce`, `rms_norm` ..."""
    format: str
    """Arithmetic and operands: `bf16`, `fp32`, `int8`, `fp8`, `fp8_block`, `nvfp4` ..."""
    stack: str
    """Whose kernel it is: `vllm`, `trtllm`, `sglang`, `aiter`, `cann`, `torch`, `nccl` ..."""
    sizes: Mapping[str, Column]
    """Name in SIZES -> size per kernel, shape [kernels]."""
    seconds: Column | None = None
    """Measured time, s, shape [kernels]; None where they are to be predicted."""
    launched: NDArray[np.str_] | None = None
    """Name of the kernel that was measured, shape [kernels]; None where it is not told."""

    def __post_init__(self) -> None:
        """Check the columns.

        Raises:
            ValueError: a size is missing, is not known, or has another length.
        """
        if tuple(self.sizes) != SIZES[self.family]:
            raise ValueError(f"{self.family} has sizes {SIZES[self.family]}, not {(*self.sizes,)}")
        lengths = {len(column) for column in self.sizes.values()}
        for column in (self.seconds, self.launched):
            if column is not None:
                lengths.add(len(column))
        if len(lengths) != 1:
            raise ValueError(f"{self.family}: columns of different lengths {sorted(lengths)}")

    def __len__(self) -> int:
        """Return the number of kernels."""
        return len(self.sizes[SIZES[self.family][0]])

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> KernelRows:
        """Return some of the rows, by mask or by position."""
        return KernelRows(
            family=self.family,
            op=self.op,
            format=self.format,
            stack=self.stack,
            sizes={name: column[chosen] for name, column in self.sizes.items()},
            seconds=None if self.seconds is None else self.seconds[chosen],
            launched=None if self.launched is None else self.launched[chosen],
        )
