"""Which of a chip's peaks a kernel runs at.

A precision without an engine falls back to the next one that can hold it, and the fallback is
named. Must not know vendors.
"""

from __future__ import annotations

from dataclasses import dataclass

from crossgrade.values.chip import Chip, Engine
from crossgrade.values.precision import DTYPES

_PRECISION: dict[str, str | None] = {d.name: d.precision for d in DTYPES}
_FORMATS = {**_PRECISION, "fp8_e4m3": "fp8", "fp8_e5m2": "fp8", "mxfp4": "fp4", "nvfp4": "nvfp4"}
"""Format of weights, as torch or as a checkpoint names it -> precision that is wanted."""

MATRIX_ORDER: dict[str, tuple[tuple[Engine, str], ...]] = {
    "fp8": (("matrix", "fp8"), ("matrix", "mxfp8"), ("matrix", "bf16"), ("matrix", "fp16")),
    "hif8": (("matrix", "hif8"), ("matrix", "bf16"), ("matrix", "fp16")),
    "fp4": (("matrix", "fp8"), ("matrix", "mxfp8"), ("matrix", "bf16"), ("matrix", "fp16")),
    "nvfp4": (("matrix", "nvfp4"), ("matrix", "bf16"), ("matrix", "fp16")),
    "int8": (("matrix", "int8"), ("matrix", "bf16"), ("matrix", "fp16")),
    "int4": (("matrix", "bf16"), ("matrix", "fp16")),
    "bf16": (("matrix", "bf16"), ("matrix", "fp16"), ("vector", "bf16"), ("vector", "fp32"),
             ("matrix", "fp32")),
    "fp16": (("matrix", "fp16"), ("matrix", "bf16"), ("vector", "fp16"), ("vector", "fp32"),
             ("matrix", "fp32")),
    "fp32": (("matrix", "fp32"), ("vector", "fp32"), ("matrix", "hf32"), ("matrix", "tf32")),
    "fp64": (("matrix", "fp64"), ("vector", "fp64")),
}  # fmt: skip
"""Precision wanted -> engines and precisions tried in turn.

fp4 weights (mxfp4 among them) meet 8-bit activations. nvfp4 ones meet activations of their own
format, or, where no engine takes that, are converted to 16 bits as int4 ones are.
"""

VECTOR_ORDER: dict[str, tuple[tuple[Engine, str], ...]] = {
    "fp64": (("vector", "fp64"),),
    "fp16": (("vector", "fp16"), ("vector", "fp32"), ("vector", "bf16")),
    "bf16": (("vector", "bf16"), ("vector", "fp32"), ("vector", "fp16")),
    "fp32": (("vector", "fp32"), ("vector", "fp16"), ("vector", "bf16")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A peak chosen for a kernel."""

    flop_per_s: float
    """Dense peak, FLOP/s; infinite where the chip publishes none (then memory binds)."""
    engine: Engine
    """The engine that is meant."""
    wanted: str
    """Precision that the kernel asks for."""
    used: str
    """Precision of the peak, `unknown` where there is none."""


def matrix_rate(chip: Chip, dtype: str, weight_format: str) -> Rate:
    """Return the rate of a matrix kernel.

    Args:
        chip: the chip.
        dtype: torch name of the activations' format.
        weight_format: format of the weights, by torch's name or the checkpoint's, empty where there
            are none; one that is not known counts as that of the activations.
    """
    wanted = _PRECISION.get(dtype) or "fp32"
    stored = _FORMATS.get(weight_format) if weight_format else None
    if stored in ("fp8", "hif8", "fp4", "nvfp4", "int8", "int4"):
        wanted = stored
    return _first(chip, wanted, MATRIX_ORDER.get(wanted, ()), "matrix")


def vector_rate(chip: Chip, dtype: str) -> Rate:
    """Return the rate of a vector kernel in a torch dtype; integers count as fp32."""
    wanted = _PRECISION.get(dtype) or "fp32"
    return _first(chip, wanted, VECTOR_ORDER.get(wanted, VECTOR_ORDER["fp32"]), "vector")


def _first(chip: Chip, wanted: str, order: tuple[tuple[Engine, str], ...], engine: Engine) -> Rate:
    for kind, precision in order:
        peak = chip.peak(kind, precision)  # type: ignore[arg-type]
        if peak is not None:
            return Rate(flop_per_s=peak.rate.value, engine=kind, wanted=wanted, used=precision)
    return Rate(flop_per_s=float("inf"), engine=engine, wanted=wanted, used="unknown")
