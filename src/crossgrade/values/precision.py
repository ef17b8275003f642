"""Number formats: torch's dtype names, the precisions that chips quote peaks for, and bits.

Must not know which chip has which engine; that is data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Precision = Literal[
    "fp64", "fp32", "tf32", "hf32", "bf16", "fp16", "fp8", "mxfp8", "hif8", "fp6", "mxfp6",
    "fp4", "mxfp4", "nvfp4", "int32", "int16", "int8", "int4",
]  # fmt: skip
"""A format that a chip's engine computes in, as data sheets name it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DType:
    """One storage format of tensor elements."""

    name: str
    """torch's name without the prefix, such as `bfloat16`."""
    bits: int
    """Storage per element, bits."""
    kind: Literal["float", "int", "bool", "complex", "packed"]
    """What an element is; `packed` formats exist in checkpoints only."""
    precision: Precision | None
    """The precision its arithmetic runs in, None where it has none."""

    @property
    def bytes(self) -> float:
        """Storage per element, bytes; 0.5 for 4-bit formats."""
        return self.bits / 8


def _d(
    name: str,
    bits: int,
    kind: Literal["float", "int", "bool", "complex", "packed"],
    precision: Precision | None,
) -> DType:
    return DType(name=name, bits=bits, kind=kind, precision=precision)


DTYPES: tuple[DType, ...] = (
    _d("float32", 32, "float", "fp32"),
    _d("bfloat16", 16, "float", "bf16"),
    _d("float16", 16, "float", "fp16"),
    _d("float64", 64, "float", "fp64"),
    _d("int64", 64, "int", None),
    _d("int32", 32, "int", "int32"),
    _d("int16", 16, "int", "int16"),
    _d("int8", 8, "int", "int8"),
    _d("uint8", 8, "int", None),
    _d("bool", 8, "bool", None),
    _d("float8_e4m3fn", 8, "float", "fp8"),
    _d("float8_e5m2", 8, "float", "fp8"),
    _d("float8_e4m3fnuz", 8, "float", "fp8"),
    _d("float8_e5m2fnuz", 8, "float", "fp8"),
    _d("float8_e8m0fnu", 8, "float", None),
    _d("complex64", 64, "complex", "fp32"),
    _d("complex128", 128, "complex", "fp64"),
    _d("uint16", 16, "int", None),
    _d("uint32", 32, "int", None),
    _d("uint64", 64, "int", None),
    _d("float4_e2m1fn_x2", 8, "packed", "fp4"),
    _d("fp4", 4, "packed", "fp4"),
    _d("int4", 4, "packed", "int4"),
    _d("complex32", 32, "complex", "fp16"),
    _d("hif8", 8, "packed", "hif8"),
)
"""Storage formats; the index of a row is its code in a Capture. Append, never reorder."""

DTYPE_CODE: dict[str, int] = {d.name: i for i, d in enumerate(DTYPES)}
"""torch dtype name -> code."""

USER_DTYPES: dict[str, str] = {
    "fp64": "float64", "fp32": "float32", "bf16": "bfloat16", "fp16": "float16",
    "fp8": "float8_e4m3fn", "int8": "int8", "fp4": "fp4", "int4": "int4",
}  # fmt: skip
"""What `--dtype` takes -> storage format."""
USER_NAMES: dict[str, str] = {storage: user for user, storage in USER_DTYPES.items()}
"""Storage format -> what `--dtype` takes."""
RUN_DTYPES = ("fp32", "bf16", "fp16")
"""What `--dtype` takes of a model that is run."""
