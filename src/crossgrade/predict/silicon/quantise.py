"""The time of a kernel that converts activations to a narrow format, with a scale per row or block.

One block of threads per row: many rows go round by round, a long row is read in turn. Must not know
chips or stacks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from crossgrade.predict.silicon.facts import BYTES, Facts
from crossgrade.predict.silicon.model import Floats, Parameter, Terms
from crossgrade.values.kernel import KernelRows

WIDE_BYTES = 2.0
"""Bytes of an activation before the conversion: 16-bit formats."""
CORES_UNKNOWN = 128.0
"""Cores where a sheet is silent: between 108 (A100) and 160 (B300)."""
REFERENCE_HZ = 1.8e9
"""Clock to which latencies refer, and the clock where a sheet is silent: near 1.83 GHz (H100).

Latencies are counted in cycles: launches of A100, H100, B200 and L40S take 3.5 to 4.4 thousand.
"""
_JOIN = 4.0
_FITS = "near fits to the calibration sites of public FP8 and NVFP4 rows (vLLM 0.24, TensorRT-LLM)"
PARAMETERS = (
    Parameter(name="quantise_s", unit="s", start=2e-6, low=1e-7, high=3e-5, spread=0.5,
              source=_FITS),
    Parameter(name="row_s", unit="s", start=4e-7, low=1e-9, high=1e-5, spread=1.0, source=_FITS),
    Parameter(name="element_s", unit="s", start=8e-11, low=1e-13, high=1e-8, spread=0.8,
              source=_FITS),
    Parameter(name="quantise_efficiency", unit="1", start=0.6, low=0.05, high=1.0, spread=0.3,
              source=_FITS),
)  # fmt: skip
"""`row_s`: a core is busy so long with an empty row; `element_s`: longer per element."""


def slowness(facts: Facts) -> float:
    """Return what a latency on this chip is over the same at REFERENCE_HZ; 1 if unknown."""
    return REFERENCE_HZ / facts.clock_hz if np.isfinite(facts.clock_hz) else 1.0


class Quantise:
    """Seconds of conversions: a launch, and the slower of rounds of rows and memory traffic.

    Cores unknown: CORES_UNKNOWN; clock: REFERENCE_HZ. Bandwidth unknown: times are NaN.
    """

    name = "row-rounds"
    family: Literal["quantise"] = "quantise"
    parameters = PARAMETERS

    def terms(self, rows: KernelRows, facts: Facts, values: Mapping[str, float]) -> Terms:
        """Return the time of each conversion of `m` rows of `k` elements."""
        m, k = rows.sizes["m"], rows.sizes["k"]
        cores = facts.cores if np.isfinite(facts.cores) else CORES_UNKNOWN
        slow = slowness(facts)
        rounds = np.ceil(m / cores) * (values["row_s"] + k * values["element_s"]) * slow
        rate = facts.bandwidth_bytes_per_s * values["quantise_efficiency"]
        memory: Floats = m * k * (WIDE_BYTES + BYTES[rows.format]) / rate
        floor = np.full(len(rows), values["quantise_s"] * slow)
        return Terms(
            total=floor + (rounds**_JOIN + memory**_JOIN) ** (1 / _JOIN),
            compute=np.zeros(len(rows)), vector=rounds, memory=memory, floor=floor,
        )  # fmt: skip
