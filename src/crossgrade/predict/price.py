"""Kernels + chip + layout -> time, as a band between `fused+graph` and `eager`.

A kernel takes its floor plus the slowest of its engine's arithmetic and its memory traffic. Eager
execution also waits for the host to launch. Many chips share the work evenly (ideal shards) and
pay an alpha-beta bound for collectives. Must not know vendors or operators' names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from crossgrade.predict.assumptions import End, assumptions
from crossgrade.predict.exchange import Traffic, exchange
from crossgrade.predict.lowering.kernel import Kernel
from crossgrade.predict.rates import Rate, matrix_rate, vector_rate
from crossgrade.values.breakdown import Exchange
from crossgrade.values.chip import Chip
from crossgrade.values.layout import Layout

Floats = NDArray[np.float64]
REACHED = ("matrix_efficiency", "memory_efficiency", "vector_efficiency")
"""Efficiencies that a measured rate has in it already."""
BOUNDS = ("compute", "vector", "memory", "launch", "host", "network")
"""What can bind a kernel; also the order of ties."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelColumns:
    """Kernels as arrays; what of them does not depend on the chip."""

    work: Floats
    """Executed matrix operations, shape [kernels]."""
    vector_ops: Floats
    """Element operations, shape [kernels]."""
    bytes: Floats
    """Bytes moved, shape [kernels]."""
    format: NDArray[np.int64]
    """Row in `formats`, shape [kernels]."""
    formats: tuple[tuple[str, str], ...]
    """Distinct (arithmetic dtype, weight format)."""
    is_host: NDArray[np.bool_]
    """Whether the kernel is a read that waits for the device, shape [kernels]."""
    labels: tuple[str, ...]
    """Operator per kernel."""
    kinds: tuple[str, ...]
    """Class per kernel."""
    module: NDArray[np.int64]
    """Row in `modules`, shape [kernels]."""
    modules: tuple[str, ...]
    """Distinct parts of the model."""


def kernel_columns(
    kernels: list[Kernel], module_of: Callable[[int], str] = lambda call: ""
) -> KernelColumns:
    """Return kernels as arrays.

    Args:
        kernels: the launches.
        module_of: call -> part of the model; a kernel belongs to that of its first call.
    """
    formats: dict[tuple[str, str], int] = {}
    rows = [formats.setdefault((k.dtype, k.weight_format), len(formats)) for k in kernels]
    modules: dict[str, int] = {}
    places = [modules.setdefault(module_of(min(k.calls)), len(modules)) for k in kernels]
    return KernelColumns(
        work=np.array([k.work for k in kernels], dtype=np.float64),
        vector_ops=np.array([k.vector_ops for k in kernels], dtype=np.float64),
        bytes=np.array([k.bytes for k in kernels], dtype=np.float64),
        format=np.array(rows, dtype=np.int64),
        formats=tuple(formats),
        is_host=np.array([k.kind == "host" for k in kernels], dtype=np.bool_),
        labels=tuple(k.label for k in kernels),
        kinds=tuple(k.kind for k in kernels),
        module=np.array(places, dtype=np.int64),
        modules=tuple(modules),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """Time of one end of the band."""

    total_s: float
    """Time of the phase, s."""
    device_s: Floats
    """Time per kernel, s, shape [kernels]."""
    floor_s: Floats
    """Part of it that every launch takes, s, shape [kernels]; 0 for host reads."""
    slowest_s: Floats
    """Part of it that arithmetic or memory traffic takes, s, shape [kernels]."""
    bound: NDArray[np.int64]
    """Index into BOUNDS per kernel."""
    by_bound_s: Mapping[str, float]
    """Time by what binds, s; adds up to `total_s`."""
    network_s: float
    """Part of the total that collectives take, s."""
    exchange: Exchange | None
    """What they say to each other; it may take longer where computing covers it."""
    composite_launch_s: float
    """Part of the total in which the host launches what composites dissolve into, s."""
    composite_host_s: float
    """Part of the total in which the host reads for composites, s."""
    format_rates: tuple[tuple[Rate, Rate], ...]
    """Matrix and vector rate per entry of the columns' `formats`."""
    rates: tuple[Rate, ...]
    """Matrix rates of the formats that matrix work is done in."""
    kernels: int
    """Launches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostWork:
    """What eager execution adds where composites are not native: the host launches and waits."""

    launches: int = 0
    """Launches beyond one per captured call."""
    reads: int = 0
    """Reads of device values by the host, beyond the captured ones."""


NO_HOST_WORK = HostWork()


def price(
    columns: KernelColumns,
    chip: Chip,
    layout: Layout,
    traffic: Traffic,
    end: End,
    extra: HostWork = NO_HOST_WORK,
    covered: Exchange | None = None,
    changes: Mapping[str, float] = MappingProxyType({}),
) -> Priced:
    """Return the time of one execution at one end of the band.

    `covered`: collectives that may overlap with computing, in place of those of ideal shards.
    `changes`: assumed rates to take in place of the shipped ones, by name.
    t = floor + max(work / (P e), vector_ops / (V e), bytes / (B e)); formula of the roofline model
    (Williams et al., CACM 2009) with a constant per launch.

    Raises:
        ValueError: the chip's memory bandwidth is unknown; ask before.
    """
    a = rates_at(chip, end) | dict(changes)
    rates, parts = _parts(columns, chip, layout, a)
    slowest = parts.max(axis=0)
    device = a["kernel_floor_s"] + slowest
    bound = _bound(columns, parts, a)
    times = np.where(columns.is_host, a["host_sync_s"], np.maximum(device, a["host_launch_s"]))
    by_bound = {name: float(times[bound == i].sum()) for i, name in enumerate(BOUNDS)}
    said = covered or exchange(chip, layout, traffic, end, changes)
    network = said.seconds if said else 0.0
    if covered is not None:
        network = _uncovered_s(covered.seconds, sum(by_bound.values()), end)
    by_bound["network"] = network
    launching, reading = extra.launches * a["host_launch_s"], extra.reads * a["host_sync_s"]
    by_bound["launch"] += launching
    by_bound["host"] += reading
    return Priced(
        total_s=sum(by_bound.values()),
        device_s=times,
        floor_s=np.where(columns.is_host, 0.0, a["kernel_floor_s"]),
        slowest_s=np.where(columns.is_host, 0.0, slowest),
        composite_launch_s=launching,
        composite_host_s=reading,
        format_rates=rates,
        bound=bound,
        by_bound_s=by_bound,
        network_s=network,
        exchange=said,
        rates=tuple(rates[i][0] for i in np.unique(columns.format[columns.work > 0]).tolist()),
        kernels=len(columns.labels) + extra.launches,
    )


def _bound(columns: KernelColumns, parts: Floats, a: Mapping[str, float]) -> NDArray[np.int64]:
    """Return what binds each kernel, as an index into BOUNDS.

    The host runs ahead of a busy device and is waited for by an idle one.
    """
    slowest = parts.max(axis=0)
    device = a["kernel_floor_s"] + slowest
    waiting = (device < a["host_launch_s"]) | (slowest < a["kernel_floor_s"])
    bound = np.where(waiting, BOUNDS.index("launch"), parts.argmax(axis=0))
    return np.where(columns.is_host, BOUNDS.index("host"), bound)


def rates_at(chip: Chip, end: End) -> dict[str, float]:
    """Return the assumed rates of one end.

    Constants that were measured here were reached as they are: the optimistic end takes no
    efficiency off them.
    """
    a = {name: row.at(end) for name, row in assumptions().items()}
    bandwidth = chip.memory_bandwidth
    if end == "optimistic" and bandwidth and chip.source(bandwidth.source).kind == "measured":
        a |= dict.fromkeys(REACHED, 1.0)
    return a


def _uncovered_s(exchange_s: float, computing_s: float, end: End) -> float:
    """Return what of an exchange computing does not cover, s: all of it at the pessimistic end."""
    return max(exchange_s - computing_s, 0.0) if end == "optimistic" else exchange_s


def _parts(
    columns: KernelColumns, chip: Chip, layout: Layout, a: Mapping[str, float]
) -> tuple[tuple[tuple[Rate, Rate], ...], Floats]:
    """Return rates by format, and time by matrix engine, vector engine and memory [3, n], s."""
    if chip.memory_bandwidth is None:
        raise ValueError(f"{chip.name}: no memory bandwidth is published")
    rates = tuple(
        (matrix_rate(chip, dtype, weights), vector_rate(chip, dtype))
        for dtype, weights in columns.formats
    )
    matrix = np.array([m.flop_per_s for m, _ in rates])[columns.format]
    vector = np.array([v.flop_per_s for _, v in rates])
    bandwidth = chip.memory_bandwidth.value * a["memory_efficiency"]
    parts = np.stack(
        [
            columns.work / (matrix * a["matrix_efficiency"]),
            columns.vector_ops / (vector[columns.format] * a["vector_efficiency"]),
            columns.bytes / bandwidth,
        ]
    )
    return rates, parts / layout.split
