"""Kernel times of one Ascend 910C die and its collectives, read as they were reported.

Two reports: `a3_die_op_times_msmodeling.csv` (Mulan PSL v2, Horacehxw/msModeling@39df672) and
`deepseek_v32_decode_step_ops_EP16.csv` (Apache-2.0, hicann/oam-tools@8804d04d; the device is not
named there, a peak of 376 TFLOP/s is). Which row is of which family follows from the kernel's name,
by MATMUL and VECTOR here; every other row is counted under the reason why it is not read. Times are
us there and s here. Must not know models or splits.
"""

from __future__ import annotations

import csv
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crossgrade.values.kernel import SIZES, Family, KernelRows

FOLDER = "measured"
"""Below the folder of the large data sets."""
DIE = "a3_die_op_times_msmodeling.csv"
STEP = "deepseek_v32_decode_step_ops_EP16.csv"
EXCHANGES = "a3_hccl_collectives_msmodeling.csv"
CHIP = "ascend-910c-die"
"""Whose times DIE and EXCHANGES hold."""

MATMUL = {
    "MatMul": "mm", "MatMulV2": "mm", "MatMulV3": "mm", "QuantBatchMatmulV3": "mm",
    "BatchMatMulV2": "bmm", "TransposeBatchMatMul": "transposed_bmm",
}  # fmt: skip
"""Kernel -> operation. `_nz` is added where the weight's shape has four dimensions more than a
batch explains: FRACTAL_NZ blocks of 16 x 16 (bf16) or 16 x 32 (int8)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """What a vector kernel moves and computes, per element of its first input."""

    op: str
    """Our name of the operation."""
    reads: float
    """Elements read."""
    writes: float
    """Elements written."""
    ops: float
    """Element operations, counted from the formula of the operation."""
    by_row: bool = False
    """Whether it reduces over the last dimension."""
    out_bytes: float = 0.0
    """Bytes of a written element; 0 for those of a read one."""


VECTOR = {
    "Add": Motion(op="add", reads=2, writes=1, ops=1),
    "Muls": Motion(op="mul", reads=1, writes=1, ops=1),
    "Mul": Motion(op="mul", reads=1, writes=1, ops=1),
    "AddRmsNormBias": Motion(op="add_rms_norm", reads=2, writes=2, ops=6, by_row=True),
    "InplaceAddRmsNorm": Motion(op="add_rms_norm", reads=2, writes=2, ops=6, by_row=True),
    "RmsNorm": Motion(op="rms_norm", reads=1, writes=1, ops=5, by_row=True),
    "LayerNormV3": Motion(op="layer_norm", reads=1, writes=1, ops=8, by_row=True),
    "ArgMaxV2": Motion(op="argmax", reads=1, writes=0, ops=2, by_row=True),
    "SoftmaxV2": Motion(op="softmax", reads=1, writes=1, ops=8, by_row=True),
    "Sort": Motion(op="sort", reads=1, writes=3, ops=2 * 17, by_row=True),
    "AscendQuantV2": Motion(op="static_quant", reads=1, writes=1, ops=4, out_bytes=1),
    "DynamicQuant": Motion(
        op="dynamic_quant", reads=1, writes=1, ops=6, by_row=True, out_bytes=1
    ),
    "InterleaveRope": Motion(op="interleaved_rope", reads=1, writes=1, ops=6),
    "RotaryMul": Motion(op="rope", reads=1, writes=1, ops=6),
    "KvRmsNormRopeCache": Motion(op="norm_rope_cache_write", reads=1, writes=1, ops=6, by_row=True),
    "MaskedFill": Motion(op="masked_fill", reads=2, writes=1, ops=1),
    "MoeGatingTopK": Motion(op="topk", reads=1, writes=0.1, ops=16, by_row=True),
    "ReshapeAndCacheNdKernel": Motion(op="cache_write", reads=2, writes=2, ops=0),
    "SwiGlu": Motion(op="act_mul", reads=1, writes=0.5, ops=5),
    "TensorMove": Motion(op="copy", reads=1, writes=1, ops=0),
    "TransData": Motion(op="layout", reads=1, writes=1, ops=0),
    "Transpose": Motion(op="transpose", reads=1, writes=1, ops=0),
    "Cast": Motion(op="cast", reads=1, writes=1, ops=1),
}  # fmt: skip
"""Kernel -> what it does. Small operands (gains, scales, tables of cosines) are not counted."""

NOT_READ = {
    "FusedInferAttentionScore": "attention",
    "KvQuantSparseFlashAttention": "attention",
    "MlaPrologV3": "several products in one kernel",
    "GroupedMatmul": "routed experts",
    "Fill": "the size of the output is not told",
    "Slice": "the size of the output is not told",
    "Index": "the size of the output is not told",
    "GatherV3": "which rows are gathered is not told",
    "SplitVD": "too small to time", "Equal": "too small to time", "ReduceAny": "too small to time",
    "_triton_rope": "a Triton kernel, not one of the library",
    "split_qkv_rmsnorm_rope_kernel(triton)": "a Triton kernel, not one of the library",
}  # fmt: skip
"""Kernel -> why its rows are left out."""


OTHER = "of the other family"
"""Reason of rows that the reading of the other family holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a report holds, and what was left out."""

    rows: tuple[KernelRows, ...]
    """One entry per operation and format."""
    dropped: Mapping[str, int]
    """Reason -> rows that were not read."""


def die(data: Path, family: Family) -> Reading:
    """Return the kernels of one 910C die, `matmul` or `vector`.

    Args:
        data: the folder of the large data sets.
        family: which of them.
    """
    with (data / FOLDER / DIE).open(encoding="utf-8", newline="") as file:
        found = [
            _Measured(
                kernel=row["op_type"],
                shapes=_shapes(row["input_shapes"]),
                format=_format(row["dtypes"]),
                seconds=float(row["mean_us"]) / 1e6,
            )
            for row in csv.DictReader(file)
        ]
    return _reading(found, family)


def step(data: Path, family: Family) -> Reading:
    """Return the kernels of one decode step of DeepSeek-V3.2 on a device that is not named.

    Formats are not told there: products with int8 weights are told by their kernel, everything
    else is taken as bf16. Kernels that overlap with others are left out.
    """
    found, dropped = [], Counter[str]()
    with (data / FOLDER / STEP).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if "overlaps" in row["note"] or "parallel stream" in row["note"]:
                dropped["runs beside other kernels"] += 1
            elif "fp32" in row["note"]:
                dropped["its format is guessed"] += 1
            else:
                found.append(
                    _Measured(
                        kernel=row["op_type"],
                        shapes=_shapes(row["input_shapes"]),
                        format="int8" if row["op_type"].startswith("Quant") else "bf16",
                        seconds=float(row["mean_us"]) / 1e6,
                    )
                )
    reading = _reading(found, family)
    return Reading(rows=reading.rows, dropped={**dropped, **reading.dropped})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    kernel: str
    shapes: tuple[tuple[int, ...], ...]
    format: str
    seconds: float


def _shapes(text: str) -> tuple[tuple[int, ...], ...]:
    if text.startswith("N/A"):
        return ()
    return tuple(tuple(int(n) for n in part.split(",") if n) for part in text.split(";"))


def _format(dtypes: str) -> str:
    """Return our name of what the products multiply or the vector kernel reads."""
    first = dtypes.replace("->", " ").split()[0].lower()
    return first if first in ("bf16", "fp16", "fp32", "int8") else "bf16"


def _reading(found: Iterable[_Measured], family: Family) -> Reading:
    sizes: dict[tuple[str, str], list[tuple[float, ...]]] = defaultdict(list)
    times: dict[tuple[str, str], list[tuple[float, str]]] = defaultdict(list)
    dropped = Counter[str]()
    for row in found:
        mine, other = (MATMUL, VECTOR) if family == "matmul" else (VECTOR, MATMUL)
        if row.kernel not in mine:
            reason = OTHER if row.kernel in other else None
            dropped[reason or NOT_READ.get(row.kernel, "a kernel that no rule describes")] += 1
            continue
        op, of_row = _product(row) if family == "matmul" else _motion(row)
        sizes[op, row.format].append(of_row)
        times[op, row.format].append((row.seconds, row.kernel))
    rows = tuple(
        KernelRows(
            family=family,
            op=op,
            format=format,
            stack="cann",
            sizes=dict(zip(SIZES[family], np.array(sizes[op, format]).T, strict=True)),
            seconds=np.array([seconds for seconds, _ in times[op, format]]),
            launched=np.array([kernel for _, kernel in times[op, format]]),
        )
        for op, format in sizes
    )
    return Reading(rows=rows, dropped=dict(dropped))


def _product(row: _Measured) -> tuple[str, tuple[float, ...]]:
    """Return the operation and batch, m, n, k of a matrix product."""
    op, (left, right) = MATMUL[row.kernel], row.shapes[:2]
    *outer, m, k = left
    batch = math.prod(outer)
    if len(right) == 4:  # FRACTAL_NZ: n and k in blocks, in either order
        first, second = right[0] * right[3], right[1] * right[2]
        n = first if second == k else second
        if k not in (first, second):
            n = first * second // k
        return f"{op}_nz", (batch, m, float(n), k)
    if row.kernel == "TransposeBatchMatMul" and len(right) == 3:
        return op, (right[0], float(math.prod(left) // right[0] // right[1]), right[2], right[1])
    first, second = right[-2:]
    return op, (batch, m, float(first if second == k and first != k else second), k)


def _motion(row: _Measured) -> tuple[str, tuple[float, ...]]:
    """Return the operation and the sizes of a vector kernel."""
    motion = VECTOR[row.kernel]
    elements = float(math.prod(row.shapes[0]))
    width = 4.0 if row.format == "fp32" else 2.0
    rows = elements / row.shapes[0][-1] if motion.by_row else 0.0
    written = motion.writes * elements * (motion.out_bytes or width)
    return motion.op, (motion.reads * elements * width, written, motion.ops * elements, rows)


def collectives(data: Path) -> Reading:
    """Return the collectives of dies under HCCL 8.5, timed by the vendor's benchmark.

    The reported size is what one rank puts in (all_gather) or gets out (reduce_scatter): only so
    does the largest all_gather reach the 196 GB/s of the link and no more. Here `bytes` is the
    larger buffer of a rank, as the collective model has it.
    """
    found: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    names = {"allGather": "all_gather", "reduceScatter": "reduce_scatter",
             "allReduce": "all_reduce"}  # fmt: skip
    with (data / FOLDER / EXCHANGES).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            ranks = float(row["scenario"].partition("TP")[2].split()[0])
            op = names[row["op"]]
            share = 1.0 if op == "all_reduce" else ranks
            size = float(row["msg_MB(as reported)"]) * 1e6 * share
            found[op].append((ranks, size, float(row["bench_us"]) / 1e6))
    rows = []
    for op, of_op in found.items():
        ranks_column, bytes_column, seconds = np.array(of_op).T
        rows.append(
            KernelRows(
                family="collective",
                op=op,
                format="bf16",
                stack="hccl",
                sizes={"ranks": ranks_column, "bytes": bytes_column},
                seconds=seconds,
            )
        )
    return Reading(rows=tuple(rows), dropped={})
