"""What a kernel model uses of a chip's data sheet, as plain numbers.

Must not know vendors; what a sheet does not give is NaN, and a model says what it does then.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from crossgrade.predict.rates import matrix_rate, vector_rate
from crossgrade.values.chip import Chip

ARITHMETIC: dict[str, tuple[str, str]] = {
    "bf16": ("bfloat16", ""), "fp16": ("float16", ""), "fp32": ("float32", ""),
    "fp64": ("float64", ""),
    "fp8": ("bfloat16", "float8_e4m3fn"), "fp8_block": ("bfloat16", "float8_e4m3fn"),
    "mxfp8": ("bfloat16", "float8_e4m3fn"), "hif8": ("bfloat16", "hif8"),
    "int8": ("bfloat16", "int8"), "nvfp4": ("bfloat16", "fp4"), "mxfp4": ("bfloat16", "fp4"),
    "int4_a8": ("bfloat16", "int8"), "int8_wo": ("bfloat16", ""), "int4_wo": ("bfloat16", ""),
    "mxfp4_wo": ("bfloat16", ""), "mxfp4_a8": ("bfloat16", "float8_e4m3fn"),
    "bf16_kv_fp8": ("bfloat16", ""),
}  # fmt: skip
"""Format of kernel rows -> (activations, checkpoint format of weights), as `matrix_rate` takes."""
BOTH_NARROW: dict[str, tuple[str, ...]] = {"nvfp4": ("nvfp4", "fp4"), "mxfp4": ("mxfp4", "fp4")}
"""Formats whose activations are as narrow as the weights -> precisions of the engine, tried first.

`matrix_rate` has four-bit weights meet eight-bit activations; these kernels do not.
"""
_WIDE = frozenset({"bf16", "fp16", "fp32", "fp64", "tf32", "hf32"})
BYTES: dict[str, float] = {
    "bf16": 2.0, "fp16": 2.0, "fp32": 4.0, "fp64": 8.0, "fp8": 1.0, "fp8_block": 1.0, "int8": 1.0,
    "mxfp8": 1.03125, "hif8": 1.0, "nvfp4": 0.5625, "mxfp4": 0.53125, "int4_a8": 0.5,
    "int8_wo": 1.0, "int4_wo": 0.5, "mxfp4_wo": 0.53125, "mxfp4_a8": 0.53125, "bf16_kv_fp8": 1.0,
}  # fmt: skip
"""Format of kernel rows -> bytes of one stored weight, or of attention one cached, element, scales
included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One chip for kernels of one format; NaN where the sheet is silent."""

    chip: str
    """Name of the chip."""
    architecture: str
    """Its architecture, as described."""
    matrix_flop_per_s: float
    """Dense matrix peak in the format, FLOP/s."""
    vector_flop_per_s: float
    """Vector peak, FLOP/s."""
    bandwidth_bytes_per_s: float
    """Peak device memory bandwidth, bytes/s."""
    cores: float
    """Matrix-capable cores (SM, CU, cube core). One that does more than CORE_FLOP per clock, such
    as a systolic array of 256 x 256, counts as several: it works on as many tiles at once."""
    clock_hz: float
    """Clock of the peaks, Hz."""
    cache_bytes: float
    """Largest cache that all cores share, bytes."""
    link_bytes_per_s: float
    """Scale-up link of one chip, one direction, bytes/s."""
    link_domain: float = math.nan
    """Chips that the scale-up link joins; NaN where unknown."""
    die_link_bytes_per_s: float = math.nan
    """Die-to-die link of one chip, one direction, bytes/s."""
    outer_link_bytes_per_s: float = math.nan
    """Scale-out link of one chip, one direction, bytes/s."""
    buffers: Mapping[str, float] = field(default_factory=dict)
    """Name of a buffer of one core (`L0A`, `L0C`, `UB`) -> its capacity, bytes."""


def facts_of(chip: Chip, format: str) -> Facts:
    """Return what kernel models use of a chip.

    Args:
        chip: the description.
        format: format of the kernel rows, a key of ARITHMETIC.

    Raises:
        KeyError: an unknown format.
    """
    dtype, weights = ARITHMETIC[format]
    matrix, vector = matrix_rate(chip, dtype, weights).flop_per_s, vector_rate(chip, dtype)
    for precision in reversed(BOTH_NARROW.get(format, ())):
        peak = chip.peak("matrix", precision)  # type: ignore[arg-type]
        matrix = peak.rate.value if peak is not None else matrix
    caches = [b.capacity.value for b in chip.buffers if b.per == "chip"]
    link, die, outer = (chip.link(level) for level in ("scale-up", "die-to-die", "scale-out"))
    return Facts(
        chip=chip.name,
        architecture=chip.architecture,
        matrix_flop_per_s=matrix if math.isfinite(matrix) else math.nan,
        vector_flop_per_s=vector.flop_per_s if math.isfinite(vector.flop_per_s) else math.nan,
        bandwidth_bytes_per_s=chip.memory_bandwidth.value if chip.memory_bandwidth else math.nan,
        cores=_cores(chip),
        clock_hz=chip.clock.value if chip.clock else math.nan,
        cache_bytes=max(caches, default=math.nan),
        link_bytes_per_s=link.bandwidth.value if link else math.nan,
        link_domain=float(link.domain) if link and link.domain else math.nan,
        die_link_bytes_per_s=die.bandwidth.value if die else math.nan,
        outer_link_bytes_per_s=outer.bandwidth.value if outer else math.nan,
        buffers={b.name: b.capacity.value for b in chip.buffers if b.per == "core"},
    )


def narrows(chip: Chip, format: str) -> bool:
    """Return whether activations are converted for products of a format.

    Where no engine of the chip takes fewer than 16 bits, weights are widened in the product instead
    and activations stay as they are.

    Raises:
        KeyError: an unknown format.
    """
    own = BOTH_NARROW.get(format, ())
    if any(chip.peak("matrix", precision) is not None for precision in own):  # type: ignore[arg-type]
        return True
    return matrix_rate(chip, *ARITHMETIC[format]).used not in _WIDE


CORE_FLOP = 8192.0
"""Most dense 16-bit FLOP per clock of one core of the chips that the models were fitted to."""
USUAL_HZ = 1.8e9
"""Clock where a sheet is silent: the middle of those that are given."""


def _cores(chip: Chip) -> float:
    if chip.cores is None:
        return math.nan
    peak = matrix_rate(chip, "bfloat16", "").flop_per_s
    clock = chip.clock.value if chip.clock else USUAL_HZ
    shown = chip.cores.value
    return max(shown, peak / (clock * CORE_FLOP)) if math.isfinite(peak) else shown
