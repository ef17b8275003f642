"""The arithmetic of a number of an assessment, taken from the assessment itself.

Nothing is priced again: the steps are the parts that the assessment holds, with the constants and
assumptions that turn one into the next. Must not know captures, nor how it is shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from crossgrade.errors import BadOption
from crossgrade.predict.price import REACHED
from crossgrade.units import bytes_, count, percent, seconds, si, things
from crossgrade.values.assessment import (
    Assessment,
    AssumptionFigure,
    ChipAssessment,
    ConstantFigure,
    PhaseAssessment,
    SpeedFigures,
)
from crossgrade.values.breakdown import EndBreakdown, KernelGroup
from crossgrade.values.derivation import Derivation, Step
from crossgrade.values.evidence import Band, NumberClass
from crossgrade.values.workload import PHASES, Phase

NUMBERS = ("time", "tokens_per_s", "tokens_per_s_per_chip", "tokens_per_s_per_watt",
           "tokens_per_price", "memory", "memory_eager", "chips")  # fmt: skip
"""What can be explained of a phase."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Desk:
    """One phase on one chip with everything that its numbers rest on."""

    chip: ChipAssessment
    phase: PhaseAssessment
    constants: Mapping[str, ConstantFigure]
    assumptions: Mapping[str, AssumptionFigure]

    @property
    def chips(self) -> int:
        return self.phase.layout.chips

    @property
    def split(self) -> int:
        return self.phase.layout.split

    def rate(self, name: str, low: bool) -> float:
        """Return an assumption at one end of the band."""
        row = self.assumptions[name]
        if low and name in REACHED and self.constants["memory_bandwidth"].kind == "measured":
            return 1.0
        return row.optimistic if low else row.pessimistic


def number_named(number: str, phases: Sequence[Phase] = PHASES) -> tuple[Phase, str]:
    """Return phase and name of a number such as `decode.time`.

    Raises:
        BadOption: no such phase among `phases`, or no such number.
    """
    asked, _, name = number.partition(".")
    phase = next((p for p in phases if p == asked), None)
    if phase is None or name not in NUMBERS:
        hint = f"PHASE.NUMBER with {', '.join(phases)} and {', '.join(NUMBERS)}"
        hint += "; or no value, which explains kernels and what would help"
        raise BadOption(f"--explain {number}", hint=hint)
    return phase, name


def derivations(assessment: Assessment, number: str) -> tuple[Derivation, ...]:
    """Return the arithmetic of one number, for every chip of an assessment.

    Args:
        assessment: the answer.
        number: `PHASE.NUMBER`, such as `decode.time`; NUMBERS lists them.

    Raises:
        BadOption: no such phase or number, or it is not known for any chip.
    """
    phases = [p.phase for p in assessment.chips[0].phases]
    phase, name = number_named(number, phases)
    index = phases.index(phase)
    found = []
    for chip in assessment.chips:
        desk = _Desk(
            chip=chip,
            phase=chip.phases[index],
            constants={c.name: c for c in chip.constants},
            assumptions={a.name: a for a in assessment.assumptions},
        )
        steps = tuple(_steps(desk, name))
        found.append(Derivation(number=number, chip=chip.chip, steps=steps))
    if not any(e.steps for e in found):
        raise BadOption(
            f"--explain {number}: not known for any of the chips",
            hint="a price needs --price, a rate needs a published bandwidth",
        )
    return tuple(found)


def _steps(desk: _Desk, name: str) -> Iterator[Step]:
    """Yield the steps of one number; none where it is not known."""
    speed = desk.phase.speed
    if name in ("memory", "memory_eager"):
        yield from _memory(desk, fused=name == "memory")
    elif name == "chips":
        yield from _chips(desk)
    elif speed is None:
        return
    elif name == "time":
        yield from _end(desk, speed.fused, low=True)
        yield from _end(desk, speed.eager, low=False)
    else:
        yield from _rate(desk, speed, name)


def _predicted(depth: int, text: str, value: float, *rests_on: str, unit: str = "s") -> Step:
    return Step(depth=depth, text=text, value=value, unit=unit, kind="predicted",
                rests_on=rests_on)  # fmt: skip


def _end(desk: _Desk, end: EndBreakdown, *, low: bool) -> Iterator[Step]:
    """Yield one end of the time band."""
    name = "fused+graph end" if low else "eager end"
    yield _predicted(0, f"{desk.phase.phase} time, {name}: the sum of", end.total_s, "capture")
    for group in end.groups:
        yield from _group(desk, group, low=low)
    yield from _network(desk, end, low=low)
    for what, value, name in (
        ("launches", end.composite_launch_s, "host_launch_s"),
        ("host reads", end.composite_host_s, "host_sync_s"),
    ):
        if value:
            each = desk.rate(name, low)
            text = f"{count(round(value / each))} {what} of composites x {seconds(each)}"
            yield _predicted(1, text, value, name, "capture")


def _network(desk: _Desk, end: EndBreakdown, *, low: bool) -> Iterator[Step]:
    """Yield the collectives: latency of the rounds, and bytes over links."""
    e = end.exchange
    if e is None:
        return
    covered = e.seconds - end.network_s > 1e-12
    note = f"; {seconds(e.seconds)}, computing covers the rest" if covered else ""
    yield _predicted(1, f"{e.kind} over {things(desk.chips, 'chip')}, a lower bound{note}",
                     end.network_s, "capture", "options")  # fmt: skip
    latency = desk.rate("collective_latency_s", low)
    yield _predicted(2, f"latency: {count(e.rounds)} x {seconds(latency)}", e.rounds * latency,
                     "collective_latency_s")  # fmt: skip
    share = desk.rate("link_efficiency", low)
    once = "; the slower of both links counts" if e.at_once and e.outside_bytes else ""
    for level, moved in (("scale-up", e.inside_bytes), ("scale-out", e.outside_bytes)):
        name = next((n for n in desk.constants if n.startswith(f"links[{level}")), None)
        if name and moved:
            rate = desk.constants[name].value
            text = f"{level} link: {bytes_(moved)} / ({si(rate, 'B/s')} x {percent(share)}){once}"
            yield _predicted(2, text, moved / rate / share, name, "link_efficiency", "capture")


def _group(desk: _Desk, g: KernelGroup, *, low: bool) -> Iterator[Step]:
    """Yield one group of kernels: floors, work, waiting."""
    what = f"{g.label} in {g.precision}" if g.precision else g.label
    if g.precision == "unknown":
        what = f"{g.label} in a precision without a published peak"
    if g.limit == "host":
        sync = desk.rate("host_sync_s", low)
        text = f"{count(g.kernels)} host reads ({g.label}) x {seconds(sync)}"
        yield _predicted(1, text, g.time_s, "host_sync_s", "capture")
        return
    limit = "smaller groups together" if g.limit == "mixed" else f"limited by {g.limit}"
    yield _predicted(1, f"{things(g.kernels, 'kernel')} {what}, {limit}", g.time_s, "capture")
    floor = desk.rate("kernel_floor_s", low)
    yield _predicted(2, f"floor: {count(g.kernels)} x {seconds(floor)}", g.floor_s,
                     "kernel_floor_s")  # fmt: skip
    yield _work(desk, g, low=low)
    if g.wait_s > 1e-12:
        yield _predicted(2, "waiting for the host, which launches slower than the device works",
                         g.wait_s, "host_launch_s")  # fmt: skip


def _work(desk: _Desk, g: KernelGroup, *, low: bool) -> Step:
    """Return the work of a group: an amount over a rate where one thing limits all of it."""
    chips = f" x {things(desk.split, 'chip')}" if desk.split > 1 else ""
    if g.limit == "memory":
        rate, share = "memory_bandwidth", desk.rate("memory_efficiency", low)
        amount, unit, efficiency = bytes_(g.bytes), "B/s", "memory_efficiency"
    elif g.limit in ("compute", "vector"):
        rate = f"peaks[{g.engine}/{g.precision}]"
        efficiency = "matrix_efficiency" if g.limit == "compute" else "vector_efficiency"
        share, unit = desk.rate(efficiency, low), "FLOP/s"
        amount = si(g.work if g.limit == "compute" else g.vector_ops, "FLOP")
    else:
        text = f"arithmetic and traffic of {bytes_(g.bytes)}, whichever takes longer per kernel"
        return _predicted(2, text, g.work_s, "memory_bandwidth", "memory_efficiency", "capture")
    value = desk.constants[rate].value
    text = f"work: {amount} / ({si(value, unit)} x {percent(share)}{chips})"
    return _predicted(2, text, g.work_s, rate, efficiency, "capture")


def _rate(desk: _Desk, speed: SpeedFigures, name: str) -> Iterator[Step]:
    """Yield a rate: items over time, over chips, power or price."""
    band: Band | None = getattr(speed, name)
    if band is None:
        return
    p = desk.phase
    items, item = p.items, p.item
    divisor, rests_on, more = 1.0, ["options"], ""
    if name == "tokens_per_s_per_chip":
        divisor, more = desk.chips, f" / {things(desk.chips, 'chip')}"
    elif name == "tokens_per_s_per_watt":
        power = desk.constants["power"].value
        divisor, rests_on = power * desk.chips, ["options", "power"]
        more = f" / ({si(power, 'W')} x {things(desk.chips, 'chip')})"
    elif name == "tokens_per_price":
        price = speed.price_per_hour or 0.0
        divisor = price * desk.chips / 3600
        more = f" / ({price:g} per hour x {things(desk.chips, 'chip')} / 3,600 s)"
    for end, value, time in (
        ("fused+graph", band.high, speed.time_s.low),
        ("eager", band.low, speed.time_s.high),
    ):
        text = f"{name.replace('_', ' ')}, {end} end: {count(items)} {item} / {seconds(time)}{more}"
        yield _predicted(0, text, value, *rests_on, unit=band.unit)
        yield _predicted(1, f"time; `--explain {p.phase}.time` goes on", time, "capture")
    if divisor != 1.0:
        yield Step(depth=1, text="divided by", value=divisor, unit="W" if "watt" in name else "1",
                   kind=desk.constants["power"].kind if "watt" in name else "exact",
                   rests_on=tuple(rests_on))  # fmt: skip


def _memory(desk: _Desk, *, fused: bool) -> Iterator[Step]:
    """Yield the peak of memory as the sum of its parts."""
    m = desk.phase.memory
    kind: NumberClass = "predicted" if fused else "exact"
    total = m.peak_fused if fused else m.peak_eager
    name = "fused" if fused else "eager"
    whose = "one replica" if desk.phase.layout.copies > 1 else "all chips"
    yield Step(depth=0, text=f"memory of {whose}, {name} kernels: the sum of", value=total,
               unit="byte", kind=kind, rests_on=("capture",))  # fmt: skip
    parts: list[tuple[str, float, NumberClass]] = [
        (f"weights as {m.weights_format}", m.weights, "exact"),
        ("cache at the end of the step", m.kv, "exact"),
        ("gradients alive at the peak", m.gradients, "exact"),
        ("optimizer state", m.optimizer, "exact"),
    ]
    if fused:
        parts += [
            ("activations of fused kernels", m.activations_fused, "predicted"),
            ("weights converted ahead of the step", m.converted, "predicted"),
        ]
    else:
        parts.append(("activations by their lifetimes", m.activations_eager, "exact"))
    for text, value, known in parts:
        if value:
            yield Step(depth=1, text=text, value=value, unit="byte", kind=known,
                       rests_on=("capture",))  # fmt: skip
        if text == parts[0][0]:
            for stored, size in m.by_format.items():
                yield Step(depth=2, text=f"parameters in {stored}", value=size, unit="byte",
                           kind="exact", rests_on=("capture",))  # fmt: skip


def _chips(desk: _Desk) -> Iterator[Step]:
    """Yield how many chips are needed."""
    m = desk.phase.memory
    if m.least_chips is None or m.usable_per_chip is None:
        return
    capacity = desk.constants["memory_capacity"].value
    share = desk.assumptions["usable_memory"].optimistic
    text = f"chips: {bytes_(m.peak_fused)} / {bytes_(m.usable_per_chip)}, rounded up"
    if m.peak_per_chip is not None:
        text = (
            f"chips: the least number that fits; on {things(desk.chips, 'chip')} each holds "
            f"{bytes_(m.peak_per_chip)} of {bytes_(m.usable_per_chip)}; divided as "
            f"`--shard {desk.phase.layout.shard}` says (ZeRO, arXiv 1910.02054)"
        )
    yield _predicted(0, text, m.least_chips, "capture", unit="1")
    yield Step(depth=1, text=f"usable per chip: {bytes_(capacity)} x {percent(share)}",
               value=m.usable_per_chip, unit="byte", kind="assumed",
               rests_on=("memory_capacity", "usable_memory"))  # fmt: skip
    for step in _memory(desk, fused=True):
        yield Step(depth=step.depth + 1, text=step.text, value=step.value, unit=step.unit,
                   kind=step.kind, rests_on=step.rests_on)  # fmt: skip
