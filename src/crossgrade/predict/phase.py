"""One phase of one workload on one chip: the prediction that a person reads.

`prepare` does once per capture what does not depend on the chip; `predict` is cheap and pure.
Must not know how it is shown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from crossgrade.predict.assumptions import End, assumptions
from crossgrade.predict.breakdown import breakdown, folded, module_times
from crossgrade.predict.exchange import Traffic
from crossgrade.predict.lowering.cost import CallCost
from crossgrade.predict.lowering.kernel import Kernel
from crossgrade.predict.lowering.kernels import eager_kernels, fused_kernels, key_costs
from crossgrade.predict.memory import MemoryNeed, memory_need
from crossgrade.predict.price import (
    BOUNDS,
    NO_HOST_WORK,
    HostWork,
    KernelColumns,
    Priced,
    kernel_columns,
    price,
)
from crossgrade.predict.rates import matrix_rate
from crossgrade.predict.sharding import columns_per_chip, sharded_exchange
from crossgrade.predict.traffic import ideal_traffic
from crossgrade.values.breakdown import EndBreakdown, ModuleTime
from crossgrade.values.capture import Capture
from crossgrade.values.chip import Chip
from crossgrade.values.evidence import Band
from crossgrade.values.layout import Layout

UNRATED = 0.01
"""Share of matrix work without a published peak above which a time would mislead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A capture with everything about it that no chip changes."""

    capture: Capture
    """The capture."""
    costs: list[CallCost]
    """Cost per distinct call."""
    eager: list[Kernel]
    """One kernel per launching call."""
    fused: list[Kernel]
    """Kernels of a fusing stack."""
    eager_columns: KernelColumns
    """The same as arrays."""
    fused_columns: KernelColumns
    """The same as arrays."""
    memory: MemoryNeed
    """Bytes needed."""
    traffic: Traffic
    """Exchange of an even split."""
    launches: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """Stack -> its launches, filled in when one is asked for (`stack_time.launched`)."""

    @property
    def flops(self) -> float:
        """Nominal matrix operations of one execution."""
        return sum(k.flops for k in self.eager)

    @property
    def host_reads(self) -> int:
        """Reads of device values by the host in the captured calls."""
        return sum(k.kind == "host" for k in self.eager)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Predicted time of one phase on one layout of one chip."""

    time_s: Band
    """One execution, s: `fused+graph` to `eager`."""
    tokens_per_s: Band
    """New tokens (or executions) per second over all chips: `eager` to `fused+graph`."""
    tokens_per_s_per_chip: Band
    """The same for one chip."""
    tokens_per_s_per_watt: Band | None
    """The same per watt of the published power limits; None where no limit is published."""
    binds: str
    """What takes most of the fused time, one of BOUNDS."""
    share_by_bound: Mapping[str, float]
    """Share of the fused time by what binds."""
    share_by_bound_eager: Mapping[str, float]
    """Share of the eager time by what binds."""
    kernels_fused: int
    """Launches at the fused end."""
    kernels_eager: int
    """Launches at the eager end."""
    network_s: Band
    """Lower bound of collectives, s; both ends 0 on one chip."""
    precision_fallbacks: tuple[tuple[str, str], ...]
    """Precisions that weights ask for and the chip lacks -> what is used in their place."""
    unknown_rates: tuple[str, ...]
    """Precisions without any published peak: their kernels are priced by memory alone."""
    unrated_share: float
    """Share of the matrix work that is in them, 0 to 1."""
    fused: EndBreakdown
    """The fused end by operator."""
    eager: EndBreakdown
    """The eager end by operator."""
    modules: tuple[ModuleTime, ...]
    """Both ends by part of the model."""


def prepare(capture: Capture) -> Prepared:
    """Return a capture with its kernels and memory need."""
    costs = key_costs(capture)
    eager, fused = eager_kernels(capture, costs), fused_kernels(capture, costs)
    parts = [folded(module) for module in capture.tables["modules"]]
    places = capture.columns["call_module"].tolist()
    return Prepared(
        capture=capture,
        costs=costs,
        eager=eager,
        fused=fused,
        eager_columns=kernel_columns(eager, lambda call: parts[places[call]]),
        fused_columns=kernel_columns(fused, lambda call: parts[places[call]]),
        memory=memory_need(capture, fused),
        traffic=ideal_traffic(capture),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One phase on one layout of one chip: all that its time follows from."""

    prepared: Prepared
    """The capture with its kernels."""
    chip: Chip
    """The chip."""
    layout: Layout
    """How many of them, and how they share the work."""
    dissolved: HostWork = NO_HOST_WORK
    """What composites add there in eager execution."""

    def extra(self, end: End) -> HostWork:
        """Return what the host does beyond the captured calls at one end of the band."""
        return NO_HOST_WORK if end == "optimistic" else self.dissolved

    def priced(
        self, end: End, changes: Mapping[str, float] = MappingProxyType({})
    ) -> tuple[KernelColumns, Priced]:
        """Return the kernels of one end and their price.

        Args:
            end: which end of the band.
            changes: assumed rates in place of the shipped ones, by name.

        Raises:
            ValueError: the chip's memory bandwidth is unknown.
        """
        return _priced(self.prepared, self.chip, self.layout, end, self.extra(end), changes)


def predict(
    prepared: Prepared, chip: Chip, layout: Layout, dissolved: HostWork = NO_HOST_WORK
) -> Prediction:
    """Return the predicted time of one phase.

    Args:
        prepared: the capture with its kernels.
        chip: the chip.
        layout: how many of them.
        dissolved: what composites add there in eager execution.

    Raises:
        ValueError: the chip's memory bandwidth is unknown.
    """
    execution = Execution(prepared=prepared, chip=chip, layout=layout, dissolved=dissolved)
    fused, low = execution.priced("optimistic")
    eager, high = execution.priced("pessimistic")
    tokens = prepared.capture.workload.items * layout.copies
    slowest = max(high.total_s, low.total_s)
    fast, slow = (tokens / s if s else 0.0 for s in (low.total_s, slowest))
    watts = chip.power.value * layout.chips if chip.power else None
    return Prediction(
        time_s=_time(low.total_s, high.total_s),
        tokens_per_s=_rate(slow, fast, "1/s"),
        tokens_per_s_per_chip=_rate(slow / layout.chips, fast / layout.chips, "1/s"),
        tokens_per_s_per_watt=_rate(slow / watts, fast / watts, "1/(s W)") if watts else None,
        binds=max(BOUNDS, key=lambda name: low.by_bound_s[name]),
        share_by_bound=_shares(low),
        share_by_bound_eager=_shares(high),
        kernels_fused=low.kernels,
        kernels_eager=high.kernels,
        network_s=_time(low.network_s, high.network_s),
        precision_fallbacks=_fallbacks(low),
        unknown_rates=tuple(sorted({r.wanted for r in low.rates if r.used == "unknown"})),
        unrated_share=unrated_share(prepared, chip),
        fused=breakdown(fused, low),
        eager=breakdown(eager, high),
        modules=module_times((fused, low), (eager, high)),
    )


def _fallbacks(priced: Priced) -> tuple[tuple[str, str], ...]:
    """Return precisions that are wanted, and what the chip has in place of them."""
    found = {(r.wanted, r.used) for r in priced.rates if r.used not in (r.wanted, "unknown")}
    return tuple(sorted(found))


def _priced(
    prepared: Prepared, chip: Chip, layout: Layout, end: End, dissolved: HostWork,
    changes: Mapping[str, float] = MappingProxyType({}),
) -> tuple[KernelColumns, Priced]:  # fmt: skip
    """Return one end of the band with its kernels as one chip group runs them.

    Data-parallel chips exchange what their sharding asks for. `changes` are assumed rates to take
    in place of the shipped ones, by name.

    Raises:
        ValueError: the chip's memory bandwidth is unknown.
    """
    fused = end == "optimistic"
    columns = prepared.fused_columns if fused else prepared.eager_columns
    exchange = None
    if layout.kind == "data-parallel-sharded":
        kernels = prepared.fused if fused else prepared.eager
        calls = tuple(k.calls[0] for k in kernels)
        columns = columns_per_chip(columns, calls, prepared.capture, layout.shard, layout.dp)
        exchange = sharded_exchange(chip, prepared.memory, layout.shard, layout.dp, end, changes)
    return columns, price(
        columns, chip, layout, prepared.traffic, end, dissolved, exchange, changes
    )


def unrated_share(prepared: Prepared, chip: Chip) -> float:
    """Return the share of matrix work in precisions for which the chip has no published peak."""
    columns = prepared.fused_columns
    unknown = np.array(
        [matrix_rate(chip, dtype, stored).used == "unknown" for dtype, stored in columns.formats]
    )
    total = float(columns.work.sum())
    return float(columns.work[unknown[columns.format]].sum()) / total if total else 0.0


def usable_memory(chip: Chip) -> float | None:
    """Return bytes of a chip that a model can use; None where the capacity is unknown."""
    if chip.memory_capacity is None:
        return None
    return chip.memory_capacity.value * assumptions()["usable_memory"].optimistic


def least_chips(peak: float, chip: Chip) -> int | None:
    """Return how many chips a peak in bytes needs when it divides evenly; None if unknown."""
    usable = usable_memory(chip)
    return None if usable is None else max(1, math.ceil(peak / usable))


def call_time_shares(prepared: Prepared, chip: Chip) -> np.ndarray:
    """Return the share of device time per captured call on one chip, shape [calls]; views are 0.

    Priced call by call at the optimistic rates, without waiting for the host.
    """
    priced = price(prepared.eager_columns, chip, Layout(chips=1), prepared.traffic, "optimistic")
    shares = np.zeros(prepared.capture.calls)
    for kernel, seconds in zip(prepared.eager, priced.device_s.tolist(), strict=True):
        shares[kernel.calls[0]] = seconds
    total = shares.sum()
    return shares / total if total else shares


def _time(low: float, high: float) -> Band:
    return Band(
        low=low,
        high=max(low, high),
        low_name="fused+graph",
        high_name="eager",
        unit="s",
        kind="predicted",
    )


def _rate(low: float, high: float, unit: str) -> Band:
    return Band(
        low=low, high=high, low_name="eager", high_name="fused+graph", unit=unit, kind="predicted"
    )


def _shares(priced: Priced) -> dict[str, float]:
    total = priced.total_s or 1.0
    return {name: priced.by_bound_s[name] / total for name in BOUNDS}
