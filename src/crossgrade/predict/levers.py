"""What if a constant were another: the phase priced again with one change.

Exact by construction: a saving is the difference of two prices, whatever the formula of the price.
Must not know kernels, operators or vendors.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from crossgrade.predict.assumptions import End
from crossgrade.predict.price import BOUNDS, KernelColumns, Priced, rates_at
from crossgrade.values.chip import Chip
from crossgrade.values.evidence import Constant, NumberClass

FURTHEST = 1000.0
"""Factor up to which a crossover is looked for: no generation of chips grew as much."""
STEPS: Mapping[str, float] = {"FLOP/s": 1e12, "byte/s": 1e9, "s": -1e-6}
"""Unit -> one step of a lever: 1 TFLOP/s, 1 GB/s, 1 µs less."""
_ASSUMED: Mapping[str, str] = {
    "kernel_floor_s": "launch", "host_launch_s": "launch", "host_sync_s": "host",
    "collective_latency_s": "network",
}  # fmt: skip
"""Assumed times -> which of BOUNDS there is less of when they are shorter."""


class Pricing(Protocol):
    """One end of the band of one phase, as often as somebody asks."""

    def __call__(self, chip: Chip, changes: Mapping[str, float]) -> Priced:
        """Return the price on a chip.

        Args:
            chip: the chip, or one that differs from it in its constants.
            changes: assumed rates in place of the shipped ones, by name.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Knob:
    """One number that a price rests on."""

    name: str
    """Constant of the chip or assumption."""
    unit: str
    """`FLOP/s`, `byte/s` or `s`."""
    kind: NumberClass
    """How its value is known."""
    relieves: tuple[str, ...]
    """Which of BOUNDS there is less of when it is better."""

    @property
    def is_time(self) -> bool:
        """Whether less of it is better."""
        return self.unit == "s"


def knobs(chip: Chip, ends: Sequence[tuple[KernelColumns, Priced]]) -> tuple[Knob, ...]:
    """Return what the prices of a phase can rest on.

    Args:
        chip: the chip.
        ends: kernels and their price, per end of the band.
    """
    relieves: dict[str, list[str]] = {}
    for columns, priced in ends:
        for name, bound in _peaks(columns, priced):
            relieves.setdefault(name, []).append(bound)
    relieves["memory_bandwidth"] = ["memory"]
    if any(priced.exchange for _, priced in ends):
        relieves |= {name: ["network"] for name, _ in _links(chip)}
    known = dict(_rates(chip))
    found = [
        Knob(name=name, unit=known[name].unit, kind=chip.source(known[name].source).kind,
             relieves=tuple(dict.fromkeys(bounds)))
        for name, bounds in relieves.items() if name in known
    ]  # fmt: skip
    times = (Knob(name=name, unit="s", kind="assumed", relieves=(bound,))
             for name, bound in _ASSUMED.items())  # fmt: skip
    return (*found, *times)


def value_of(knob: Knob, chip: Chip, end: End) -> float:
    """Return the present value of a knob."""
    if knob.is_time:
        return rates_at(chip, end)[knob.name]
    return dict(_rates(chip))[knob.name].value


def changed(
    knobs_: Sequence[Knob], chip: Chip, end: End, *, factor: float = 1.0, step: float = 0.0
) -> tuple[Chip, dict[str, float]]:
    """Return a chip, and assumed rates, of which some are better.

    Args:
        knobs_: what changes.
        chip: the chip.
        end: the end of the band, which decides the present value of an assumption.
        factor: rates are multiplied by it, times divided.
        step: added afterwards; no time falls below 0.
    """
    changes: dict[str, float] = {}
    for knob in knobs_:
        now = value_of(knob, chip, end)
        if knob.is_time:
            changes[knob.name] = max(now / factor + step, 0.0)
        else:
            chip = _with_rate(chip, knob.name, now * factor + step)
    return chip, changes


def crossover(
    pricing: Pricing, chip: Chip, end: End, present: Priced, known: Sequence[Knob]
) -> tuple[str, tuple[str, ...], float | None, str]:
    """Return what binds most, what of it grows, the least factor until that changes, what then.

    What binds gives way for good once it gives way: more of it only moves time elsewhere. So the
    factor is found by halving, to a tenth of a per cent.
    """
    binds = most_binding(present)
    grown = [knob for knob in known if binds in knob.relieves]
    if not grown:
        return binds, (), None, ""
    names = tuple(knob.name for knob in grown)

    def binding(factor: float) -> str:
        return most_binding(pricing(*changed(grown, chip, end, factor=factor)))

    if binding(FURTHEST) == binds:
        return binds, names, None, ""
    low, high = 1.0, FURTHEST
    while high / low > 1.001:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if binding(middle) == binds else (low, middle)
    return binds, names, high, binding(high)


def most_binding(priced: Priced) -> str:
    """Return what takes most of the time, one of BOUNDS."""
    return max(BOUNDS, key=lambda name: priced.by_bound_s[name])


def _peaks(columns: KernelColumns, priced: Priced) -> Iterator[tuple[str, str]]:
    """Yield the peaks that some kernel of a phase runs at, and what they bind."""
    for engine, (bound, amounts) in enumerate(
        (("compute", columns.work), ("vector", columns.vector_ops))
    ):
        for row in dict.fromkeys(columns.format[amounts > 0].tolist()):
            rate = priced.format_rates[row][engine]
            yield f"peaks[{rate.engine}/{rate.used}]", bound


def _links(chip: Chip) -> Iterator[tuple[str, Constant]]:
    """Yield the links between chips that an exchange goes through."""
    for level in ("scale-up", "scale-out"):
        link = chip.link(level)
        if link is not None:
            yield f"links[{link.level}: {link.name}]", link.bandwidth


def _rates(chip: Chip) -> Iterator[tuple[str, Constant]]:
    """Yield the rates of a chip with the names that its page gives them."""
    if chip.memory_bandwidth is not None:
        yield "memory_bandwidth", chip.memory_bandwidth
    for peak in chip.peaks:
        yield f"peaks[{peak.engine}/{peak.precision}]", peak.rate
    yield from _links(chip)


def _with_rate(chip: Chip, name: str, value: float) -> Chip:
    """Return the chip with another value of one rate."""

    def other(constant: Constant) -> Constant:
        return dataclasses.replace(constant, value=value)

    if name == "memory_bandwidth":
        assert chip.memory_bandwidth is not None, "a phase without a bandwidth has no price"
        return dataclasses.replace(chip, memory_bandwidth=other(chip.memory_bandwidth))
    peaks = tuple(
        dataclasses.replace(p, rate=other(p.rate))
        if name == f"peaks[{p.engine}/{p.precision}]" else p
        for p in chip.peaks
    )  # fmt: skip
    links = tuple(
        dataclasses.replace(k, bandwidth=other(k.bandwidth))
        if name == f"links[{k.level}: {k.name}]" else k
        for k in chip.links
    )  # fmt: skip
    return dataclasses.replace(chip, peaks=peaks, links=links)
