"""Kernels that a calibration can time: operator cases of the catalogue, and their sizes as rows.

A case is all that is kept of a point; what a kernel model takes follows from it. Must not know how
points are chosen, nor chips.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from crossgrade.values.kernel import SIZES, Family
from crossgrade.values.operator_case import OperatorCase

FORMATS: Final[Mapping[str, str]] = {
    "float32": "fp32", "bfloat16": "bf16", "float16": "fp16", "int8": "int8",
    "float8_e4m3fn": "fp8",
}  # fmt: skip
"""torch's name of a format -> that of kernel rows."""
ELEMENT_BYTES: Final[Mapping[str, int]] = {
    "float32": 4, "bfloat16": 2, "float16": 2, "int8": 1, "float8_e4m3fn": 1,
}  # fmt: skip
"""torch's name of a format -> bytes of an element."""
ATTENTION: Final = "aten._scaled_dot_product_fused_attention_overrideable.default"
"""Attention as captures have it: torch's public one, with key heads shared by query heads."""
RESULT_BYTES: Final[Mapping[str, int]] = {"int8": 4, "float8_e4m3fn": 2}
"""Bytes of an element of the product of an 8-bit format: int32, and bfloat16."""
CAST_BYTES: Final[Mapping[str, int]] = {"float32": 2, "bfloat16": 4, "float16": 4}
"""Bytes of an element after `cast`, by the format before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorOp:
    """One operation of the vector engine."""

    row_op: str
    """Its name in kernel rows."""
    reads: float
    """Tensors of the size of the result that are read."""
    ops: float
    """Element operations per element: those that lowering counts (`predict.lowering.cost`)."""
    reduces: bool = False
    """Whether rows are independent of each other."""


VECTOR: Final[Mapping[str, VectorOp]] = {
    "device2device": VectorOp(row_op="copy", reads=1, ops=1),
    "add": VectorOp(row_op="add", reads=2, ops=1),
    "mul": VectorOp(row_op="mul", reads=2, ops=1),
    "cast": VectorOp(row_op="cast", reads=1, ops=1),
    "silu": VectorOp(row_op="silu", reads=1, ops=5),
    "swiglu": VectorOp(row_op="act_mul", reads=2, ops=6),
    "rms_norm": VectorOp(row_op="rms_norm", reads=1, ops=4, reduces=True),
    "layer_norm": VectorOp(row_op="layer_norm", reads=1, ops=6, reduces=True),
    "softmax": VectorOp(row_op="softmax", reads=1, ops=5, reduces=True),
}
"""Operator of the catalogue -> what it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PointKind:
    """One kernel as rows have it."""

    family: Family
    """Which sizes count."""
    op: str
    """What is done."""
    format: str
    """Arithmetic and operands."""
    sizes: Mapping[str, float]
    """Sizes of the family, in the order of `SIZES`."""
    flop: float
    """Matrix operations of a call; 0 of a vector kernel."""
    bytes: float
    """Bytes that a call reads and writes at least."""


def product(dtype: str, m: int, n: int, k: int, *, batch: int = 0, seed: int = 0) -> OperatorCase:
    """Return a product [m, k] x [k, n], or a batch of them where `batch` is not 0."""
    if batch:
        sizes = {"batch_size": batch, "m": m, "k": k, "n": n}
        return OperatorCase(op="bmm", dtype=dtype, arguments=sizes, seed=seed)
    op = "gemm_8bit" if ELEMENT_BYTES[dtype] == 1 else "gemm"
    return OperatorCase(op=op, dtype=dtype, arguments={"M": m, "K": k, "N": n}, seed=seed)


def vector(op: str, dtype: str, rows: int, columns: int, *, seed: int = 0) -> OperatorCase:
    """Return a vector kernel over rows and columns."""
    arguments = dict(zip(_vector_sizes(op), (rows, columns), strict=True))
    return OperatorCase(op=op, dtype=dtype, arguments=arguments, seed=seed)


def _vector_sizes(op: str) -> tuple[str, str]:
    return ("num_tokens", "hidden_size") if op == "swiglu" else ("batch_size", "dim_size")


def attention(
    dtype: str, batch: int, heads: int, kv_heads: int, queries: int, keys: int, size: int,
    *, seed: int = 0,
) -> OperatorCase:  # fmt: skip
    """Return attention of new positions: causal where there are as many as keys, else one each."""
    shapes = [[batch, heads, queries, size], *[[batch, kv_heads, keys, size]] * 2]
    places: list[Any] = [{"t": 0}, {"t": 1}, {"t": 2}]
    call = json.dumps([[*places, None, 0.0, queries > 1, False], {}])
    inputs = [{"shape": shape, "dtype": dtype} for shape in shapes]
    arguments = {"call": call, "inputs": inputs}
    return OperatorCase(op=ATTENTION, dtype=dtype, arguments=arguments, seed=seed)


def kind_of(case: OperatorCase) -> PointKind:
    """Return what a case of this module is for kernel models."""
    if case.op == ATTENTION:
        return _attention(case)
    if case.op in VECTOR:
        return _vector(case, VECTOR[case.op])
    given = case.arguments
    m, n, k = (int(given.get(name, given.get(name.upper(), 0))) for name in "mnk")
    batch, width = int(given.get("batch_size", 1)), ELEMENT_BYTES[case.dtype]
    written = m * n * RESULT_BYTES.get(case.dtype, width)
    return _kind(
        case, "matmul", "bmm" if case.op == "bmm" else "mm", (batch, m, n, k),
        flop=2.0 * batch * m * n * k, moved=batch * ((m * k + k * n) * width + written),
    )  # fmt: skip


def _vector(case: OperatorCase, about: VectorOp) -> PointKind:
    lines, columns = (case.arguments[name] for name in _vector_sizes(case.op))
    width = ELEMENT_BYTES[case.dtype]
    elements = float(lines) * columns
    read = about.reads * elements * width
    written = elements * (CAST_BYTES[case.dtype] if case.op == "cast" else width)
    sizes = (read, written, about.ops * elements, float(lines) * about.reduces)
    return _kind(case, "vector", about.row_op, sizes, flop=0.0, moved=read + written)


def _attention(case: OperatorCase) -> PointKind:
    """Return attention: half of the square where it is causal."""
    (batch, heads, queries, size), (_, kv_heads, keys, _), _ = (
        entry["shape"] for entry in case.arguments["inputs"]
    )
    pairs = queries * (queries + 1) / 2 if queries > 1 else float(keys)
    moved = 2 * batch * (heads * queries + kv_heads * keys) * size * ELEMENT_BYTES[case.dtype]
    return _kind(
        case, "attention", "prefill" if queries > 1 else "decode",
        (batch, heads, kv_heads, queries, keys, size, size, 0),
        flop=4.0 * batch * heads * pairs * size, moved=moved,
    )  # fmt: skip


def _kind(
    case: OperatorCase, family: Family, op: str, sizes: tuple[float, ...], *, flop: float,
    moved: float,
) -> PointKind:  # fmt: skip
    named = {name: float(size) for name, size in zip(SIZES[family], sizes, strict=True)}
    assert math.isfinite(moved)
    return PointKind(family=family, op=op, format=FORMATS[case.dtype], sizes=named, flop=flop,
                     bytes=float(moved))  # fmt: skip
