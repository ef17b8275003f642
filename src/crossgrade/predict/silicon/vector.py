"""Time of kernels that move data through the vector engine: a floor, transfers, element work.

One formula for chips with vector cores and for chips with threads: what differs is in the
parameters and in the data sheet. Each operation has its own floor and its own rate, held near
those that all operations share, so an operation that was never measured gets the common ones.
Must not know chips by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from crossgrade.predict.silicon.facts import Facts
from crossgrade.predict.silicon.model import Floats, Parameter, Terms
from crossgrade.predict.silicon.quantise import CORES_UNKNOWN
from crossgrade.values.kernel import Family, KernelRows

BLOCK = 24576.0
"""Bytes that are one task where rows do not say it: an eighth of UB (192 KiB), as two buffers each
for two inputs, an output and a temporary leave it."""

SHARED = (
    Parameter(
        name="floor", unit="s", start=3e-6, low=3e-7, high=5e-5, spread=0.5,
        source="median of the least times of eight vector kernels of a 910C die, "
        "Horacehxw/msModeling@39df672",
    ),
    Parameter(
        name="spread_out", unit="1", start=1.0, low=0.01, high=8.0, spread=1.0,
        source="all cores take longer to start and to meet than one: once more the floor",
    ),
    Parameter(
        name="tasks", unit="1", start=2.0, low=0.5, high=16.0, spread=0.3,
        source="two vector cores to a cube core (CANN configuration), two blocks to an SM",
    ),
    Parameter(
        name="memory", unit="1", start=0.85, low=0.2, high=1.2, spread=0.15,
        source="0.7 to 0.9 of the data sheet: own fits to decode attention of public rows",
    ),
    Parameter(
        name="ramp_bytes", unit="byte", start=1e6, low=1e3, high=1e8, spread=1.5,
        source="transfers of one latency times the rate, about 1 us x 1 TB/s, run at half of it",
    ),
    Parameter(
        name="cache", unit="1", start=1.5, low=1.0, high=8.0, spread=0.4,
        source="fast tenth of public 910B2 and 950PR rows: up to 1.3 times the memory rate from L2",
    ),
    Parameter(
        name="vector", unit="1", start=0.3, low=0.02, high=1.0, spread=0.5,
        source="no multiply-adds, and casts: less than half of the peak",
    ),
    Parameter(
        name="row", unit="s", start=5e-8, low=1e-9, high=5e-6, spread=0.4,
        source="a reduction and a barrier per row of a core, tens of ns",
    ),
    Parameter(
        name="join", unit="1", start=2.0, low=1.0, high=8.0, spread=0.4,
        source="between a sum (1) and the largest (infinite)",
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Vector:
    """A floor, a transfer and element work, softly joined."""

    ops: tuple[str, ...] = ()
    """Operations with a floor and a rate of their own."""

    @property
    def name(self) -> str:
        """Return `vector-join`."""
        return "vector-join"

    @property
    def family(self) -> Family:
        """Return `vector`."""
        return "vector"

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Return the shared parameters and two factors per operation."""
        own = tuple(
            Parameter(
                name=f"{what}.{op}", unit="1", start=1.0, low=0.05, high=20.0, spread=spread,
                source="that of all operations",
            )
            for op in self.ops
            for what, spread in (("floor", 0.6), ("rate", 0.4))
        )  # fmt: skip
        return SHARED + own

    def terms(self, rows: KernelRows, facts: Facts, values: Mapping[str, float]) -> Terms:
        """Return the time of each kernel; unknown cores: CORES_UNKNOWN.

        Args:
            rows: vector kernels.
            facts: the chip.
            values: parameter name -> value; an operation without a factor of its own has 1.
        """
        moved = rows.sizes["bytes_read"] + rows.sizes["bytes_written"]
        lines, ops = rows.sizes["rows"], rows.sizes["element_ops"]
        cores = facts.cores if np.isfinite(facts.cores) else CORES_UNKNOWN
        units = np.where(lines > 0, lines, np.ceil(moved / BLOCK))
        busy = np.minimum(units / (cores * values["tasks"]), 1.0)
        own = values.get(f"rate.{rows.op}", 1.0)
        memory = own * _transfer(moved, facts, values)
        share = np.where(lines > 0, busy, 1.0)
        compute = own * ops / (facts.vector_flop_per_s * values["vector"] * share)
        compute = compute + own * np.ceil(lines / cores) * values["row"]
        floor = values["floor"] * values.get(f"floor.{rows.op}", 1.0)
        started = floor * (1 + values["spread_out"] * busy)
        q = values["join"]
        total = (started**q + np.nan_to_num(memory) ** q + np.nan_to_num(compute) ** q) ** (1 / q)
        return Terms(
            total=total,
            compute=np.zeros(len(rows)),
            vector=compute,
            memory=memory,
            floor=started,
        )


def _transfer(moved: Floats, facts: Facts, values: Mapping[str, float]) -> Floats:
    """Return the time of the memory traffic, s: faster from the cache, slower when short."""
    rate = facts.bandwidth_bytes_per_s * values["memory"]
    full = moved / facts.cache_bytes if facts.cache_bytes > 0 else np.full(len(moved), np.inf)
    # Half of the gain where the traffic is half of the cache; almost none where it fills it twice.
    gain = 1 + (values["cache"] - 1) / (1 + (2 * full) ** 2)
    ramp = 1 + np.sqrt(values["ramp_bytes"] / np.maximum(moved, 1.0))
    time: Floats = moved / (rate * gain) * ramp
    return time
