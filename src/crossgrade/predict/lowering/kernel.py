"""One launch, as a value that the steps of lowering change.

Must not know how launches are found, nor chips.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from crossgrade.predict.lowering.cost import CallClass
from crossgrade.values.kernel import Family

Role = Literal["whole", "columns", "rows", "heads", "experts", "vocabulary", "vector",
               "gradient-rows", "gradient-columns"]  # fmt: skip
"""How a launch divides over tensor-parallel ranks. whole: each rank does all of it. columns, rows:
a product by weights, by what it makes or by what it adds up. heads: attention and what is computed
per head. experts: routed layers, over the expert-parallel ranks and what is left of the others.
vocabulary: an embedding or the last product. vector: as what it moves divides.
gradient-rows, gradient-columns: the gradient of a weight, by its rows or columns; it adds up
tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduction:
    """A collective that must follow a launch where ranks share its work."""

    kind: Literal["rows", "experts", "gather"]
    """rows: partial sums of tensor-parallel ranks. experts: of ranks that have experts. gather:
    columns of the vocabulary, side by side."""
    bytes: float
    """The result over the whole captured batch, bytes."""
    group: int
    """Reductions of one group are added up first and need one collective together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Division:
    """How one launch divides over the ranks of a layout."""

    role: Role
    """What divides it."""
    degrees: tuple[tuple[int, float], ...] = ((1, 1.0),)
    """(degree, share): a share of its size divides over as many ranks as the degree, at most."""
    fixed: float = 0.0
    """Share of its traffic that no batch changes: weights."""
    reductions: tuple[Reduction, ...] = ()
    """Collectives that its results need."""


WHOLE = Division(role="whole")
"""What no rule divides: every rank does it."""


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
    division: Division = WHOLE
    """How it divides over the ranks of a layout."""
    written_degrees: dict[int, int] = field(default_factory=dict)
    """Storage that it writes -> over how many ranks of a layout that divides, at most."""
    part_of: int | None = None
    """Place of the launch whose sizes stand for this one too, None where it stands for itself."""

    @property
    def bytes(self) -> float:
        """Bytes moved."""
        return sum(self.reads.values()) + sum(self.writes.values())
