"""Priced kernels of a phase -> where its time goes, how far from the data sheet, what would help.

Asks the price again for every lever, so it holds for any formula of the price. Must not know how a
kernel is priced, nor how an explanation is shown.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossgrade.predict.assumptions import End
from crossgrade.predict.breakdown import module_times, peak_used
from crossgrade.predict.levers import (
    STEPS,
    Knob,
    Pricing,
    changed,
    crossover,
    knobs,
    value_of,
)
from crossgrade.predict.phase import Execution
from crossgrade.predict.price import BOUNDS, Floats, HostWork, KernelColumns, Priced
from crossgrade.values.breakdown import Exchange
from crossgrade.values.chip import Chip
from crossgrade.values.evidence import Band
from crossgrade.values.explanation import (
    Crossover,
    EndName,
    KernelEnd,
    KernelExplanation,
    Lever,
    LeverEnd,
    PhaseExplanation,
)

ENDS: Mapping[End, EndName] = {"optimistic": "fused+graph", "pessimistic": "eager"}
_Key = tuple[str, str, str, str]
"""Label, module, precision, kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _EndPrices:
    """One end of the band with its price as it is and after one step of each lever."""

    end: End
    columns: KernelColumns
    priced: Priced
    pricing: Pricing
    stepped: Mapping[str, Priced]
    extra: HostWork


def explain_phase(execution: Execution) -> PhaseExplanation:
    """Return where the time of one phase on one chip goes, and what would help.

    Raises:
        ValueError: the chip's memory bandwidth is unknown.
    """
    chip = execution.chip
    present = {end: (end_pricing(execution, end), *execution.priced(end)) for end in ENDS}
    known = knobs(chip, [(columns, priced) for _, columns, priced in present.values()])
    fused, eager = (
        _EndPrices(end=end, columns=columns, priced=priced, pricing=pricing,
                   stepped=_stepped(pricing, known, chip, end), extra=execution.extra(end))
        for end, (pricing, columns, priced) in present.items()
    )  # fmt: skip
    low, high = fused.priced.total_s, eager.priced.total_s
    return PhaseExplanation(
        chip=chip.name,
        phase=execution.prepared.capture.workload.phase,
        chips=execution.layout.chips,
        tier="T0",
        time_s=Band(low=low, high=max(low, high), low_name="fused+graph", high_name="eager",
                    unit="s", kind="predicted"),
        share_by_bound=_shares(fused.priced),
        share_by_bound_eager=_shares(eager.priced),
        kernels=_kernels(execution, fused, eager),
        modules=module_times((fused.columns, fused.priced), (eager.columns, eager.priced)),
        levers=_levers(known, chip, fused, eager),
        crossovers=tuple(_crossover(prices, chip, known) for prices in (fused, eager)),
    )  # fmt: skip


def end_pricing(execution: Execution, end: End) -> Pricing:
    """Return what prices one end of a phase on chips like the given one."""

    def pricing(chip: Chip, changes: Mapping[str, float]) -> Priced:
        return dataclasses.replace(execution, chip=chip).priced(end, changes)[1]

    return pricing


def _stepped(pricing: Pricing, known: Sequence[Knob], chip: Chip, end: End) -> Mapping[str, Priced]:
    """Return the price after one step of each lever."""
    return {k.name: pricing(*changed([k], chip, end, step=STEPS[k.unit])) for k in known}


def roofline(columns: KernelColumns, priced: Priced, chip: Chip, split: int) -> Floats:
    """Return the least time that the data sheet permits per kernel, s, shape [kernels].

    max(work / matrix peak, element operations / vector peak, bytes / bandwidth) over the chips that
    share the work; no efficiency, no floor (Williams et al., CACM 2009). 0 for host reads.
    """
    assert chip.memory_bandwidth is not None, "a phase without a bandwidth has no price"
    matrix = np.array([m.flop_per_s for m, _ in priced.format_rates])[columns.format]
    vector = np.array([v.flop_per_s for _, v in priced.format_rates])[columns.format]
    slowest = np.maximum(columns.work / matrix, columns.vector_ops / vector)
    slowest = np.maximum(slowest, columns.bytes / chip.memory_bandwidth.value)
    return np.where(columns.is_host, 0.0, slowest / split)


def _kernels(
    execution: Execution, fused: _EndPrices, eager: _EndPrices
) -> tuple[KernelExplanation, ...]:
    """Return the kernels of both ends, those that stand for the same together."""
    ends = [
        {**_device(execution, prices), **dict(_others(execution, prices))}
        for prices in (fused, eager)
    ]
    found = [
        KernelExplanation(label=key[0], module=key[1], precision=key[2], kind=key[3],
                          fused=ends[0].get(key), eager=ends[1].get(key))
        for key in ends[0] | ends[1]
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda k: (-_time(k.fused), -_time(k.eager))))


def _time(end: KernelEnd | None) -> float:
    return end.time_s if end else 0.0


def _grouped(columns: KernelColumns, priced: Priced) -> tuple[dict[_Key, int], NDArray[np.int64]]:
    """Return what kernels stand for -> its row, and that row per kernel."""
    keys: dict[_Key, int] = {}
    described = zip(columns.labels, columns.kinds, columns.module.tolist(), columns.format.tolist(),
                    strict=True)  # fmt: skip
    rows = []
    for label, kind, module, row in described:
        precision = peak_used(kind, priced.format_rates[row])[1]
        key = (label, columns.modules[module], precision, kind)
        rows.append(keys.setdefault(key, len(keys)))
    return keys, np.array(rows, dtype=np.int64)


def _device(execution: Execution, prices: _EndPrices) -> dict[_Key, KernelEnd]:
    """Return the kernels of the device and the host's reads, by what they stand for."""
    columns, priced = prices.columns, prices.priced
    keys, rows = _grouped(columns, priced)
    least = roofline(columns, priced, execution.chip, execution.layout.split)
    total = functools.partial(np.bincount, rows, minlength=len(keys))
    bound = np.stack([total(weights=priced.device_s * (priced.bound == b))
                      for b in range(len(BOUNDS))])  # fmt: skip
    sums = [total(weights=part) for part in (
        np.ones(len(rows)), priced.device_s, least, columns.work, columns.vector_ops, columns.bytes
    )]  # fmt: skip
    saved = {name: total(weights=priced.device_s - stepped.device_s)
             for name, stepped in prices.stepped.items()}  # fmt: skip
    binding = bound.argmax(axis=0)
    found = {}
    for key, row in keys.items():
        kernels, time, roof, work, vector_ops, moved = (float(part[row]) for part in sums)
        saves = {name: float(part[row]) for name, part in saved.items() if part[row]}
        found[key] = KernelEnd(kernels=int(kernels), time_s=time, roofline_s=roof,
                               binds=BOUNDS[binding[row]], work=work, vector_ops=vector_ops,
                               bytes=moved, saves_s=saves)  # fmt: skip
    return found


def _others(execution: Execution, prices: _EndPrices) -> Iterator[tuple[_Key, KernelEnd]]:
    """Yield what takes time and is no kernel: collectives, and what composites dissolve into."""
    priced, extra = prices.priced, prices.extra
    e = priced.exchange
    if e is not None:
        least = link_seconds(execution.chip, e)
        yield (e.kind, "", "", "collective"), _other(
            prices, lambda p: p.network_s, kernels=e.rounds, roofline_s=least, binds="network",
            moved=e.inside_bytes + e.outside_bytes,
        )  # fmt: skip
    if extra.launches:
        yield (
            ("launches of composites", "", "", "host"),
            _other(prices, lambda p: p.composite_launch_s, kernels=extra.launches, binds="launch"),
        )
    if extra.reads:
        yield (
            ("reads of composites", "", "", "host"),
            _other(prices, lambda p: p.composite_host_s, kernels=extra.reads, binds="host"),
        )


def _other(
    prices: _EndPrices, part: Callable[[Priced], float], *, kernels: int, binds: str,
    roofline_s: float = 0.0, moved: float = 0.0,
) -> KernelEnd:  # fmt: skip
    now = part(prices.priced)
    saves = {name: now - part(stepped) for name, stepped in prices.stepped.items()}
    return KernelEnd(kernels=kernels, time_s=now, roofline_s=roofline_s, binds=binds, work=0.0,
                     vector_ops=0.0, bytes=moved,
                     saves_s={name: s for name, s in saves.items() if s})  # fmt: skip


def link_seconds(chip: Chip, e: Exchange) -> float:
    """Return the least time that the links of the data sheet permit an exchange, s."""
    links = ((chip.link("scale-up"), e.inside_bytes), (chip.link("scale-out"), e.outside_bytes))
    times = [moved / link.bandwidth.value for link, moved in links if link and moved]
    return max(times, default=0.0) if e.at_once else sum(times)


def _levers(
    known: Sequence[Knob], chip: Chip, fused: _EndPrices, eager: _EndPrices
) -> tuple[Lever, ...]:
    """Return what would help, the most first."""
    found = [
        Lever(name=k.name, unit=k.unit, step=STEPS[k.unit], kind=k.kind,
              fused=_lever_end(k, chip, fused), eager=_lever_end(k, chip, eager))
        for k in known
    ]  # fmt: skip
    of_use = [lever for lever in found if lever.fused.most_s > 0 or lever.eager.most_s > 0]
    return tuple(sorted(of_use, key=lambda v: (-v.fused.tenth_s, -v.eager.tenth_s)))


def _lever_end(knob: Knob, chip: Chip, prices: _EndPrices) -> LeverEnd:
    now = prices.priced.total_s

    def saved(factor: float) -> float:
        return now - prices.pricing(*changed([knob], chip, prices.end, factor=factor)).total_s

    return LeverEnd(
        now=value_of(knob, chip, prices.end),
        step_s=now - prices.stepped[knob.name].total_s,
        # Ten per cent less of a time is a tenth off it, not a division by 1.1.
        tenth_s=saved(1 / 0.9 if knob.is_time else 1.1),
        most_s=saved(math.inf),
    )


def _crossover(prices: _EndPrices, chip: Chip, known: Sequence[Knob]) -> Crossover:
    binds, grows, factor, then = crossover(prices.pricing, chip, prices.end, prices.priced, known)
    return Crossover(end=ENDS[prices.end], binds=binds, share=_shares(prices.priced)[binds],
                     grows=grows, factor=factor, then=then)  # fmt: skip


def _shares(priced: Priced) -> dict[str, float]:
    total = priced.total_s or 1.0
    return {name: priced.by_bound_s[name] / total for name in BOUNDS}
