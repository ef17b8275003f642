"""One launch, as a value that the steps of lowering change.

Must not know how launches are found, nor chips.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from crossgrade.predict.lowering.cost import CallClass
from crossgrade.values.kernel import Family


@dataclass(slots=True, kw_only=True)
class AttentionShape:
    """Sizes of one attention, and the storages of its operands."""

    batch: int
    """Sequences."""
    heads: int
    """Query heads."""
    queries: int
    """Query positions per sequence."""
    keys: int
    """Key positions per sequence."""
    key_size: int
    """Elements of a key per head."""
    value_size: int
    """Elements of a value per head."""
    key_storages: tuple[int, ...]
    """Storages that the keys are read from."""
    value_storages: tuple[int, ...]
    """Storages that the values are read from."""
    last_call: int
    """Call after which nothing of it is computed."""
    keys_read: float = 1.0
    """Share of the keys that some query sees; the others are not read."""
    latent: tuple[int, int] | None = None
    """Latent and rotary elements per position where it attends to a latent, None where not."""

    @property
    def pairs(self) -> float:
        """Scores: sequences, heads, queries and keys multiplied."""
        return float(self.batch) * self.heads * self.queries * self.keys


@dataclass(slots=True, kw_only=True)
class Kernel:
    """One launch: what it computes and what it moves."""

    calls: list[int]
    """Captured calls it stands for, in order."""
    kind: CallClass
    """`matmul`, `attention`, `vector`, `host` or `collective`."""
    label: str
    """Operator that gives it its name."""
    dtype: str
    """Format of the arithmetic as captured."""
    weight_format: str = ""
    """Checkpoint format of the parameter that a matrix kernel multiplies by, empty without."""
    flops: float = 0.0
    """Nominal matrix operations."""
    work: float = 0.0
    """Executed matrix operations."""
    vector_ops: float = 0.0
    """Element operations."""
    reads: dict[int, float] = field(default_factory=dict)
    """Storage -> bytes read from memory."""
    writes: dict[int, float] = field(default_factory=dict)
    """Storage -> bytes written to memory."""
    reads_parameter: bool = False
    """Whether it multiplies by a parameter."""
    has_softmax: bool = False
    """Whether a softmax is inside."""
    attention: AttentionShape | None = None
    """Sizes of the attention that it computes, None for every other kernel."""
    family: Family | None = None
    """Which kernel model prices it; None where no stack has named it, and for reads by the host."""
    op: str = ""
    """What a stack launches, such as `add_rms_norm`."""
    format: str = ""
    """Arithmetic and operands, as kernel rows name them: `bf16`, `fp8_block` ..."""
    sizes: tuple[float, ...] = ()
    """Sizes of the family, in the order of `values.kernel.SIZES`."""
    part_of: int | None = None
    """Place of the launch whose sizes stand for this one too, None where it stands for itself."""

    @property
    def bytes(self) -> float:
        """Bytes moved."""
        return sum(self.reads.values()) + sum(self.writes.values())
