"""Which kernels a software stack has for a dense product, as data: tiles, splits, extra launches.

A library that searches (cuBLAS, a tuner) is a menu of which the fastest entry is taken. A library
with a rule is a ladder: the number of rows alone decides the tile, and K is never split. Must not
know times.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Work of one core at a time."""

    m: int
    """Rows of the result in a tile."""
    n: int
    """Columns of it."""
    split: int = 1
    """Cores among which K is split."""
    depth: int = 1
    """Lines of K that one step of the main loop takes: warps of a core share K out (slice-K)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One rung of a ladder."""

    rows_to: float
    """Holds up to this many rows, and above those of the rung before."""
    shapes: tuple[Shape, ...]
    """The fastest of them is launched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """Which host code launches the product, where the host and not the device may bind."""

    kernel: str
    """Its name, as the tables have it."""
    parameter: str
    """Parameter that holds the time of the host, s."""
    rows_below: float = math.inf
    """It takes products of fewer rows,"""
    n_multiple: int = 1
    """whose n is a multiple of this,"""
    k_multiple: int = 1
    """and whose k is a multiple of this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How one stack does dense products in one format."""

    ladder: tuple[Step, ...]
    """Rungs, from few rows to many."""
    quantises: bool = False
    """A kernel that converts the activations is part of the measured time."""
    launches: tuple[Launch, ...] = ()
    """Asked in this order; empty where kernels are replayed from a graph and the host is no part
    of the time."""
    row_multiple: int = 1
    """Rows are padded to a multiple by a further kernel (`unaligned_s`)."""
    lone_row: bool = False
    """One single row goes another way (`lone_s`)."""
    source: str
    """Where this can be looked up."""


def _every(tiles: tuple[tuple[int, int], ...], splits: tuple[int, ...]) -> tuple[Shape, ...]:
    return tuple(Shape(m=m, n=n, split=split) for m, n in tiles for split in splits)


def _ladder(*rungs: tuple[float, tuple[tuple[int, int], ...]]) -> tuple[Step, ...]:
    return tuple(Step(rows_to=top, shapes=_every(tiles, (1,))) for top, tiles in rungs)


TILES = ((64, 64), (64, 128), (128, 64), (128, 128), (64, 256), (128, 256), (256, 128))
"""Tiles of dense products on matrix engines; of a tile that two cores share, the part of one."""
VECTOR = (Shape(m=16, n=16, depth=8),)
"""A matrix times a vector: the warps of a core share K."""
NARROW = (*VECTOR, Shape(m=32, n=32, depth=4), Shape(m=16, n=64, depth=4))
"""The same for results that are small or thin."""
SEARCH = _every(TILES, (1, 2, 4, 8, 16, 32))
SEARCHED = Plan(
    ladder=(
        Step(rows_to=1, shapes=(*VECTOR, *SEARCH)),
        Step(rows_to=math.inf, shapes=SEARCH),
    ),
    source="tiles and split-K factors that cuBLAS and CUTLASS ship; the library picks",
)
"""Where nothing is known of a stack: its library picks the fastest."""
TUNED = Plan(
    ladder=(Step(rows_to=math.inf, shapes=(*NARROW, *SEARCH)),),
    source="kernels of AITER's tuner: ck, cktile, asm, triton, flydsl, skinny; every size searched",
)
"""Where a search has tried narrow kernels as well, for each size by itself."""
UNSPLIT = _ladder((math.inf, TILES))
_DEEP_GEMM = (
    Launch(kernel="DeepGemm", parameter="host_s", n_multiple=64, k_multiple=128),
    Launch(kernel="Cutlass", parameter="host_odd_s"),
)
_FLASHINFER = Launch(
    kernel="FlashInfer", parameter="host_small_s", rows_below=32, n_multiple=64, k_multiple=128
)
_TALL = _ladder((math.inf, ((128, 64), (128, 128), (128, 256))))
PLANS: dict[tuple[str, str, str], Plan] = {
    ("aiter", "bf16", ""): TUNED,
    ("aiter", "fp8_block", ""): TUNED,
    ("vllm", "fp8", ""): Plan(
        ladder=_ladder((64, ((64, 64),)), (256, ((64, 128),)), (math.inf, ((128, 128),))),
        quantises=True,
        lone_row=True,
        source="vllm csrc/quantization/w8a8/cutlass: tiles by rows alone, rungs as the measured "
        "rows show them; activations are quantised per token by a kernel of their own",
    ),
    ("vllm", "fp8", "hopper"): Plan(
        ladder=_ladder((64, ((64, 64),)), (128, ((64, 128),)), (math.inf, ((128, 128),))),
        quantises=True,
        source="vllm csrc/quantization/w8a8/cutlass, default rungs of sm90; activations are "
        "quantised per token by a kernel of their own",
    ),
    ("vllm", "nvfp4", ""): Plan(
        ladder=_TALL,
        quantises=True,
        source="128 rows per tile in the block-scaled matrix instruction; activations are "
        "quantised by a kernel of their own",
    ),
    ("trtllm", "nvfp4", ""): Plan(
        ladder=_TALL, quantises=True, source="as vllm; the measured rows contain fp4_quantize"
    ),
    ("vllm", "fp8_block", ""): Plan(
        ladder=UNSPLIT,
        quantises=True,
        launches=_DEEP_GEMM,
        row_multiple=4,
        lone_row=True,
        source="kernel_source of the measured rows; they were launched one by one by the host",
    ),
    ("vllm", "fp8_block", "hopper"): Plan(
        ladder=UNSPLIT,
        quantises=True,
        launches=(_FLASHINFER, *_DEEP_GEMM),
        row_multiple=4,
        source="kernel_source of the measured rows; they were launched one by one by the host",
    ),
    ("trtllm", "fp8_block", ""): Plan(
        ladder=UNSPLIT, quantises=True, source="DeepGEMM, replayed from a graph"
    ),
}
"""(stack, format, architecture) -> plan; an empty architecture stands for all others."""


def plan_of(stack: str, format: str, architecture: str) -> Plan:
    """Return how a stack does products in a format on an architecture."""
    found = PLANS.get((stack, format, architecture)) or PLANS.get((stack, format, ""))
    return found or SEARCHED
