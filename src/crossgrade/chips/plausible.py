"""Whether the numbers of a user's chip file can belong together: units, sparsity, dies.

Nothing here says that a number is right. Each rule compares the file with itself or with the
described chips that are passed in, so no limit of hardware stands in code. A file whose
`architecture` nobody else has is compared with itself alone. Must not know any chip.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NoReturn

from crossgrade.chips.validate import Table, constants
from crossgrade.units import si
from crossgrade.values.chip import PRECISION_BITS, Chip, Peak
from crossgrade.values.evidence import Constant

_FLOORS = {
    "memory_capacity": 1e8,
    "memory_bandwidth": 1e8,
    "clock": 1e7,
    "peaks": 1e9,
    "links": 1e6,
}
"""Below this a value was not given in base units: thousandths of the least described chip."""

_SPARSE = re.compile(r"\bspars(e|ity)\b", re.IGNORECASE)
_WIDE_SUMS = re.compile(r"\bfp32[- ](sums|accumul)", re.IGNORECASE)
_EXPLAINED = re.compile(r"\b(dense|not used|unused|half|halved|without)\b", re.IGNORECASE)

_FAMILY_FACTOR = 1.6
"""Bins of one architecture differ in the clock by a third at most; sparsity and dies by two."""

_FAMILY_CEILING = 3.2
"""Parts of one architecture differ by 2.99 (rates of l4 and l40s) at most; bits for bytes are 8."""

_CEILINGS = {16: 1.6, 8: 3.2, 6: 6.4, 4: 7.2}
"""Bits of a format -> most that its matrix rate may be of the 16-bit one.

Between the largest usual dense ratio of a described chip (1.33 and 2.67 of mlu370; 6.22 of b300)
and the usual one with 2:4 sparsity against a dense 16-bit rate (2, 4, 8). Wider formats count as
16 bits. A 16-bit rate whose note says that it is with fp32 sums counts twice: parts that print two
such rates halve that one, and the integer ones not with it.
"""

_ENOUGH_FORMATS = 3
"""So many rates do not double by chance."""

_OWN_FAMILY = "if the number is right, name an `architecture` of its own"


def check_plausible(chip: Chip, file: str, others: Sequence[Chip]) -> None:
    """Refuse numbers that look like another unit, a sparse rate, or another number of dies.

    Args:
        chip: what the file says.
        file: name of the file, for messages.
        others: described chips to compare with, without `chip` itself.

    Raises:
        BadChipFile: says which constant, why, and what to do.
    """
    top = Table(data={}, file=file)
    _check_magnitudes(top, chip)
    _check_remarks(top, chip)
    _check_ladder(top, chip)
    family = [other for other in others if other.architecture == chip.architecture]
    _check_per_core(top, chip, family)
    _check_scope(top, chip, family)
    _check_ceilings(top, chip, family)
    for other in family:
        _check_doubled(top, chip, other)
    _check_directions(top, chip, family)
    for other in others:
        _check_same_product(top, chip, other)


def _check_magnitudes(top: Table, chip: Chip) -> None:
    """Refuse a value that was given in GB, TFLOP/s or GHz under the name of the base unit."""
    for key, constant in constants(chip):
        floor = _FLOORS.get(key.partition("[")[0], 0.0)
        if constant.value < floor:
            shown = f"{constant.value:g} {constant.unit}"
            hint = "values are in base units: 80 GB is 80e9, 989 TFLOP/s is 989e12"
            top.fail(f"{shown} is too little for `{key}`", key, hint)


def _check_remarks(top: Table, chip: Chip) -> None:
    """Refuse a peak whose own note says that it counts sparsity."""
    for peak in chip.peaks:
        note = peak.rate.note
        if _SPARSE.search(note) and not _EXPLAINED.search(note):
            _fail_sparse(top, peak, f"its note says '{note}'")


def _check_ladder(top: Table, chip: Chip) -> None:
    """Refuse a matrix rate that exceeds the 16-bit one by more than a dense one can."""
    found = [p.rate for p in (chip.peak("matrix", "bf16"), chip.peak("matrix", "fp16")) if p]
    full = [rate.value * (2 if _WIDE_SUMS.search(rate.note) else 1) for rate in found]
    base = min(full, default=None)
    if base is None:
        return
    for peak in chip.peaks:
        ceiling = _CEILINGS[min(PRECISION_BITS[peak.precision], 16)]
        if peak.engine == "matrix" and peak.rate.value > ceiling * base:
            ratio = peak.rate.value / base
            why = f"it is {ratio:.3g} times the 16-bit rate, {ceiling:g} is the most for its width"
            _fail_sparse(top, peak, why)


def _check_per_core(top: Table, chip: Chip, family: Sequence[Chip]) -> None:
    """Refuse a rate per core and cycle that no chip of the architecture comes near."""
    for peak in chip.peaks:
        own = _per_core(chip, peak)
        known = {
            other.name: rate
            for other in family
            for theirs in other.peaks
            if (theirs.engine, theirs.precision) == (peak.engine, peak.precision)
            if (rate := _per_core(other, theirs)) is not None
        }
        if own is None or not known:
            continue
        most, least = max(known, key=known.__getitem__), min(known, key=known.__getitem__)
        if own > known[most] * _FAMILY_FACTOR:
            _fail_per_core(top, peak, own, most, known[most])
        # fp64 is cut to a fraction on some parts of a family, and nothing else with it.
        if own < known[least] / _FAMILY_FACTOR and peak.precision != "fp64":
            _fail_per_core(top, peak, own, least, known[least])


def _per_core(chip: Chip, peak: Peak) -> float | None:
    """Return operations per core and cycle, None where cores or clock are unknown."""
    if chip.cores is None or chip.clock is None:
        return None
    return peak.rate.value / chip.cores.value / chip.clock.value


def _fail_per_core(top: Table, peak: Peak, own: float, name: str, theirs: float) -> NoReturn:
    key = f"peaks[{peak.engine}/{peak.precision}]"
    ratio = own / theirs
    if ratio > 1:
        cause = (
            f"a sparse rate (the dense one would be {peak.rate.value / ratio:.6g}), or the rate of "
            "a package with the cores of one die"
        )
    else:
        cause = "the rate of one die with the cores of a package"
    top.fail(
        f"rate, cores and clock make {own:.4g} operations per core and cycle, {ratio:.3g} times "
        f"those of {name}, which has the same architecture",
        key,
        f"{cause}; check `density`, `scope`, `cores` and `clock`; {_OWN_FAMILY}",
    )


def _check_doubled(top: Table, chip: Chip, other: Chip) -> None:
    """Refuse rates that are twice a relative's while the memory is the same, or the reverse."""
    ratios = _matrix_ratios(chip, other)
    if not ratios or not _same_memory(chip, other):
        return
    cores = _ratio(chip, other, "cores")
    peak = chip.peaks[0]
    if all(_near(ratio, 2) for ratio in ratios):
        if cores is not None and _near(cores, 2):
            _fail_dies(top, chip, other, "twice")
        shown = si(other.memory_bandwidth.value, "B/s") if other.memory_bandwidth else ""
        _fail_sparse(
            top, peak, f"all matrix rates are twice those of {other.name}, with its {shown}"
        )
    if all(_near(ratio, 0.5) for ratio in ratios) and cores is not None and _near(cores, 0.5):
        _fail_dies(top, chip, other, "half")


def _check_ceilings(top: Table, chip: Chip, family: Sequence[Chip]) -> None:
    """Refuse bandwidth and matrix rates far above all relatives: bits for bytes, a whole node."""
    bandwidths = {o.name: o.memory_bandwidth.value for o in family if o.memory_bandwidth}
    if chip.memory_bandwidth:
        _check_ceiling(top, "memory_bandwidth", chip.memory_bandwidth, bandwidths)
    for peak in chip.peaks:
        theirs = ((o.name, o.peak(peak.engine, peak.precision)) for o in family)
        rates = {name: other.rate.value for name, other in theirs if other is not None}
        _check_ceiling(top, f"peaks[{peak.engine}/{peak.precision}]", peak.rate, rates)


def _check_ceiling(top: Table, key: str, own: Constant, theirs: Mapping[str, float]) -> None:
    best = max(theirs, key=theirs.__getitem__, default=None)
    if best is not None and own.value > theirs[best] * _FAMILY_CEILING:
        unit = own.unit.replace("byte", "B")
        top.fail(
            f"{si(own.value, unit)} is {own.value / theirs[best]:.3g} times that of {best}, "
            "the most of this architecture",
            key,
            f"bits for bytes, or the figure of several chips; {_OWN_FAMILY}",
        )


def _check_directions(top: Table, chip: Chip, family: Sequence[Chip]) -> None:
    """Refuse a link at twice the rate of every relative's: data sheets print both directions."""
    alike = [
        other
        for other in family
        if other.scope == chip.scope
        and all(1 / _FAMILY_FACTOR < r < _FAMILY_FACTOR for r in _matrix_ratios(chip, other))
    ]
    for link in (link for link in chip.links if link.level == "scale-up"):
        found = ((other.name, other.link(link.level)) for other in alike)
        theirs = {n: o.bandwidth.value for n, o in found if o is not None and o.name == link.name}
        best = max(theirs, key=theirs.__getitem__, default=None)
        if best is not None and _near(link.bandwidth.value / theirs[best], 2):
            top.fail(
                f"{si(link.bandwidth.value, 'B/s')} is twice that of {best} by the same link",
                f"links[{link.level}: {link.name}]",
                f"give one direction; half would be {link.bandwidth.value / 2:.6g}; {_OWN_FAMILY}",
            )


def _check_scope(top: Table, chip: Chip, family: Sequence[Chip]) -> None:
    """Refuse a die that has the numbers of a whole package, where a relative shows what a die has.

    The reverse is no fault: a package with one die has the numbers of that die.
    """
    halves = [
        part
        for part in family
        if part.scope == chip.scope
        if (ratios := _matrix_ratios(chip, part)) and all(_near(ratio, 2) for ratio in ratios)
    ]
    for other in family:
        ratios = _matrix_ratios(chip, other)
        alike = bool(ratios) and all(_near(ratio, 1) for ratio in ratios)
        if alike and halves and chip.scope != other.scope and _same_memory(chip, other):
            top.fail(
                f"one chip is a {chip.scope} here, and rates and memory are those of {other.name}, "
                f"where one chip is a {other.scope}: dies and packages are mixed",
                "scope",
                f'write scope = "{other.scope}", or give every constant for one {chip.scope}, as '
                f"{halves[0].name} does; {_OWN_FAMILY}",
            )


def _check_same_product(top: Table, chip: Chip, other: Chip) -> None:
    """Refuse rates twice those of a chip with equal memory, whatever its architecture is called.

    Equal memory and three or more formats at exactly twice the rate are one product, read from the
    sparse column of its data sheet. A note that says `dense` on every such rate is believed.
    """
    ratios = _matrix_ratios(chip, other)
    if len(ratios) < _ENOUGH_FORMATS or not all(_near(ratio, 2) for ratio in ratios):
        return
    memory = [_ratio(chip, other, field) for field in ("memory_capacity", "memory_bandwidth")]
    matrix = [peak for peak in chip.peaks if peak.engine == "matrix"]
    confirmed = all("dense" in peak.rate.note for peak in matrix)
    if all(ratio is not None and abs(ratio - 1) < 0.01 for ratio in memory) and not confirmed:
        top.fail(
            f"all matrix rates are twice those of {other.name}, and the memory is the same: they "
            "look like rates with sparsity",
            f"peaks[matrix/{matrix[0].precision}]",
            "give the dense rates; if they are dense, say so in the note of each",
        )


def _matrix_ratios(chip: Chip, other: Chip) -> list[float]:
    found = []
    for peak in chip.peaks:
        theirs = other.peak(peak.engine, peak.precision)
        if peak.engine == "matrix" and theirs is not None:
            found.append(peak.rate.value / theirs.rate.value)
    return found


def _same_memory(chip: Chip, other: Chip) -> bool:
    bandwidth = _ratio(chip, other, "memory_bandwidth")
    capacity = _ratio(chip, other, "memory_capacity")
    return (
        bandwidth is not None
        and abs(bandwidth - 1) < 0.05
        and (capacity is None or abs(capacity - 1) < 0.1)
    )


def _ratio(chip: Chip, other: Chip, field: str) -> float | None:
    own, theirs = getattr(chip, field), getattr(other, field)
    return None if own is None or theirs is None else own.value / theirs.value


def _near(ratio: float, whole: float) -> bool:
    """Return whether two sources that round could mean `whole`."""
    return abs(ratio / whole - 1) < 0.02


def _fail_sparse(top: Table, peak: Peak, why: str) -> NoReturn:
    key = f"peaks[{peak.engine}/{peak.precision}]"
    hint = f"give the dense rate; half would be {peak.rate.value / 2:.6g}; {_OWN_FAMILY}"
    top.fail(f"{si(peak.rate.value, 'FLOP/s')} looks like a rate with sparsity: {why}", key, hint)


def _fail_dies(top: Table, chip: Chip, other: Chip, word: str) -> NoReturn:
    top.fail(
        f"rates and cores are {word} those of {other.name} (one chip there is one {other.scope}), "
        "and the memory is the same: dies and packages are mixed",
        "scope",
        f"give every constant for one {chip.scope}; {_OWN_FAMILY}",
    )
