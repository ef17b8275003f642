"""Kernel rows + chip -> P10, P50, P90 of each kernel, and what that rests on.

The best tier that is known decides: a measured table of this chip, parameters calibrated on it,
parameters transferred from other chips, else the model's starting ones. Where a stack or a format
was never measured the nearest one stands in, and the basis says so. Must not know captures or
vendors.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from crossgrade.chips.loader import load_chip
from crossgrade.predict.assumptions import assumptions
from crossgrade.predict.silicon.experts import UNGATED
from crossgrade.predict.silicon.facts import BYTES, facts_of
from crossgrade.predict.silicon.grouped import GroupedCube
from crossgrade.predict.silicon.kernel_sets import priced
from crossgrade.predict.silicon.knowledge import Fit, Kind, Knowledge, kind_of, regime
from crossgrade.predict.silicon.measured import PRODUCT, Measured
from crossgrade.predict.silicon.model import TERMS, UNKNOWN, Floats, KernelModel, Terms, starting
from crossgrade.predict.silicon.models import alone, facts_for, model_for, priced_as
from crossgrade.predict.silicon.plans import plan_of
from crossgrade.predict.silicon.table import Tabled
from crossgrade.predict.silicon.transfer import donors, transferred
from crossgrade.units import things
from crossgrade.values.assessment import Tier
from crossgrade.values.chip import Chip
from crossgrade.values.kernel import BACKWARD, Family, KernelRows

LENDERS: Mapping[Family, tuple[Family, str]] = {
    "quantise": ("matmul", "mm"), "matmul": ("matmul", "mm"), "experts": ("experts", "gated"),
}  # fmt: skip
"""Family -> family and operation whose fits have its parameters, whatever the launch is called.

Tables time a conversion and its product together; batched products and gated experts are one kind.
"""
OWN = 0.5
"""Part of a measured time that a launch must take itself, for the time to tell of it in a graph;
assumed: from there on more is known of the host than of the launch."""
OTHER_STACK = 0.5
"""A lender of another stack counts as that much further away; distances as in `transfer`."""
FAR = 1.6
"""Distance of the nearest lender from which on a band is twice as wide, in the logarithm; assumed:
bands of transfers come from chips that are mostly nearer to each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Times of kernels, each array s, shape [kernels]."""

    low: Floats
    """P10."""
    mid: Floats
    """P50."""
    high: Floats
    """P90."""
    terms: Terms
    """What P50 is made of."""
    tier: Tier
    """What it knew."""
    basis: str
    """What it rests on, for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """Parameters for one kind on one chip, and what is known of their error."""

    values: Mapping[str, float]
    """Parameters, where they differ from the model's start."""
    bands: tuple[Fit, ...]
    """Whose bands hold; the widest of them."""
    tier: Tier
    """`T0`, `T1` or `T2`."""
    text: str
    """For a person."""
    stack: str
    """Stack whose kernels the parameters are of."""
    format: str
    """Format that the model is asked for: one with as many bits may stand in."""
    power: float = 1.0
    """Power of the factors of the bands: how many times as wide they are, in the logarithm."""


def estimates(
    rows: KernelRows, chip: Chip, knowledge: Knowledge, *, replayed: bool = False
) -> list[tuple[NDArray[np.int64], Estimate]]:
    """Return (which rows, their times) by what the times rest on.

    A measured table tells what it can. It is not asked for sizes beyond its own where parameters
    were fitted to this chip, for kernels of a stack that it does not have where they were fitted to
    that stack here, nor, in a replayed graph, where mostly the host's time was measured.

    Args:
        rows: kernels of one kind.
        chip: the chip.
        knowledge: what was fitted and measured.
        replayed: as of `estimate`.

    Raises:
        KeyError: no model prices the family, or the format is unknown.
    """
    if rows.op == BACKWARD:
        return [_backward(*one) for one in estimates(replace(rows, op="prefill"), chip, knowledge,
                                                     replayed=replayed)]  # fmt: skip
    everything, kind = np.arange(len(rows)), kind_of(rows)
    table, known = knowledge.measured(chip.name, kind), basis_of(kind, chip, knowledge)
    fitted_here = known.tier == "T2" and known.format == kind.format
    if table is None or (
        table.kind.stack != kind.stack and fitted_here and known.stack == kind.stack
    ):
        return [(everything, estimate(rows, chip, knowledge, replayed=replayed))]
    found = _tabled(rows, table, replayed=replayed)
    far = found.beyond & fitted_here
    result = []
    told = ~far & ~found.hidden
    if told.any():
        result.append((everything[told], found.estimate(told, kind)))
    for which, why in ((far & ~found.hidden, "beyond"), (found.hidden, "hidden by the host in")):
        if which.any():
            fit = estimate(rows.take(which), chip, knowledge, replayed=replayed)
            text = f"{fit.basis}; {why} the {table.text()}"
            result.append((everything[which], replace(fit, basis=text)))
    return result


def _backward(at: NDArray[np.int64], forward: Estimate) -> tuple[NDArray[np.int64], Estimate]:
    """Return the gradients of attention as so many times its forward pass."""
    rate = assumptions()["attention_backward"]
    low, mid, high = rate.optimistic, rate.middle, rate.pessimistic
    return at, Estimate(
        low=forward.low * low, mid=forward.mid * mid, high=forward.high * high,
        terms=Terms(**{name: getattr(forward.terms, name) * mid for name in TERMS}), tier="T1",
        basis=f"{mid:g} times the forward pass; {forward.basis}",
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tabled:
    """What a table says of kernels; each array of shape [kernels]."""

    table: Measured
    """The table."""
    said: Tabled
    """What it says of the rows as they would be measured, s."""
    terms: Terms
    """What P50 of a launch is made of, s."""
    share: Floats
    """Part of the measured time that is the launch's own."""
    beyond: NDArray[np.bool_]
    """Whether a size lies outside all measured ones."""

    @property
    def hidden(self) -> NDArray[np.bool_]:
        """Return where mostly the host's time was measured."""
        return self.share < OWN

    def estimate(self, told: NDArray[np.bool_], kind: Kind) -> Estimate:
        """Return the times of some kernels.

        A band is as wide in seconds as it is for the measured time, so wider in its logarithm.
        """
        said, share = self.said, self.share[told]
        terms = Terms(**{name: getattr(self.terms, name)[told] for name in TERMS})
        text = f"{self.table.text()}: {int(said.exact[told].sum())} of "
        text += f"{things(int(told.sum()), 'size')} among them"
        beyond = int(self.beyond[told].sum())
        return Estimate(
            low=terms.total * (said.p10 / said.p50)[told] ** (1 / share), mid=terms.total,
            high=terms.total * (said.p90 / said.p50)[told] ** (1 / share), terms=terms, tier="T3",
            basis=text + f", {beyond} beyond them" * bool(beyond)
            + _stand_in(kind, self.table.kind),
        )  # fmt: skip


def _tabled(rows: KernelRows, measured: Measured, *, replayed: bool) -> _Tabled:
    """Return what a table says: measured over modelled scales the model.

    So a launch in a replayed graph has the table's correction without the host's time in its rows,
    and attention that of the whole layer that was measured.
    """
    table, kind = measured.table, measured.kind
    op = PRODUCT if rows.family == "matmul" else kind.op or rows.op
    asked = replace(rows, stack=kind.stack, op=op)
    said = table.estimate(asked)
    terms = said.terms
    if replayed:
        own = rows.op if rows.family == "latent-attention" else op
        terms = priced(table.model, replace(asked, op=own), table.facts, table.sets, alone)
    share = np.minimum(terms.total / said.terms.total, 1.0)
    ratio = said.p50 / said.terms.total
    scaled = Terms(**{name: getattr(terms, name) * ratio for name in TERMS})
    return _Tabled(table=measured, said=said, terms=scaled, share=share,
                   beyond=measured.beyond(asked))  # fmt: skip


def estimate(
    rows: KernelRows, chip: Chip, knowledge: Knowledge, *, replayed: bool = False
) -> Estimate:
    """Return the times of kernels on a chip from what was fitted; tables are not asked.

    Args:
        rows: kernels of one kind.
        chip: the chip.
        knowledge: what was fitted.
        replayed: whether every launch is counted by itself and replayed from a graph; else times
            are of rows as tables have them, with conversions and the host's time in some of them.

    Raises:
        KeyError: no model prices the family, or the format is unknown.
    """
    found = basis_of(kind_of(rows), chip, knowledge)
    rows = replace(rows, format=priced_as(rows.family, found.format), stack=found.stack)
    facts = facts_for(rows, chip)
    model = model_for(rows.family, rows.op, facts)
    values = starting(model) | {n: v for n, v in found.values.items() if n in starting(model)}
    terms = alone(model, rows, facts, values) if replayed else model.terms(rows, facts, values)
    low, high = np.full(len(rows), UNKNOWN[0]), np.full(len(rows), UNKNOWN[1])
    if found.bands:
        ends = [fit.band.factors(regime(terms)) for fit in found.bands]
        # Where others were off in one direction only, P50 stays the formula's and ends the band.
        low = np.minimum(np.min([e[0] for e in ends], axis=0), 1.0) ** found.power
        high = np.maximum(np.max([e[1] for e in ends], axis=0), 1.0) ** found.power
    return Estimate(
        low=terms.total * low, mid=terms.total, high=terms.total * high, terms=terms,
        tier=found.tier, basis=found.text,
    )  # fmt: skip


@functools.lru_cache(maxsize=4096)
def basis_of(wanted: Kind, chip: Chip, knowledge: Knowledge) -> Basis:
    """Return the best that is known; a format that stands in comes after a transfer of the right
    one, because efficiencies of two formats have little to do with each other."""
    model = model_for(wanted.family, wanted.op, facts_of(chip, "bf16"))
    family, op = LENDERS.get(wanted.family, (wanted.family, wanted.op))
    op = wanted.op if wanted.op == UNGATED else op
    if isinstance(model, GroupedCube):
        family, op = LENDERS["matmul"]
    kinds = nearest(wanted, knowledge.kinds(family, op))
    if wanted.family == "quantise":
        kinds = [k for k in kinds if plan_of(k.stack, k.format, chip.architecture).quantises]
    for _, group in itertools.groupby(kinds, key=lambda kind: apart(wanted, kind)):
        same = list(group)
        for kind in same:
            own = knowledge.on(chip.name, kind)
            if own is not None:
                found_here = _calibrated(wanted, own)
                return _by_products(found_here) if isinstance(model, GroupedCube) else found_here
        lent = [_lent(wanted, kind, chip, model, knowledge) for kind in same]
        found = [(distance, basis) for distance, basis in lent if basis is not None]
        if found:
            return min(found, key=lambda pair: pair[0])[1]
    bands = tuple(b for kind in kinds if (b := knowledge.between(kind, "T0")) is not None)
    return Basis(values={}, bands=bands, tier="T0", stack=wanted.stack, format=wanted.format,
                 text="data sheet and starting parameters")  # fmt: skip


def _calibrated(wanted: Kind, fit: Fit) -> Basis:
    text = f"calibrated on {fit.rows} rows of {fit.chip} ({fit.source})"
    return Basis(
        values=fit.values, bands=(fit,), tier="T2", stack=fit.kind.stack,
        format=_asked(wanted, fit.kind), text=text + _stand_in(wanted, fit.kind),
    )  # fmt: skip


def _by_products(basis: Basis) -> Basis:
    """Return a basis for routed experts from one of dense products: nothing of experts is in it."""
    return replace(basis, tier="T1", text=f"dense products, {basis.text}")


def _lent(
    wanted: Kind, kind: Kind, chip: Chip, model: KernelModel, knowledge: Knowledge
) -> tuple[float, Basis | None]:
    """Return how far the nearest lender is, and what chips lend; None without any."""
    theirs = {f.chip: f.values for f in _alike(model, knowledge.elsewhere(chip.name, kind))}
    if not theirs:
        return math.inf, None
    values, text, distance = moved(model, chip, theirs)
    if distance >= 1 and _better_from_nothing(kind, knowledge):
        return math.inf, None
    between = knowledge.between(kind, "T1")
    basis = Basis(
        values=values, bands=(between,) if between else (), tier="T1", stack=kind.stack,
        format=_asked(wanted, kind), text=text + _stand_in(wanted, kind),
        power=2.0 if distance > FAR else 1.0,
    )  # fmt: skip
    return distance + OTHER_STACK * (kind.stack != wanted.stack), basis


def _better_from_nothing(kind: Kind, knowledge: Knowledge) -> bool:
    """Return whether chips of other architectures lent worse parameters than the formula begins
    with, each measured chip predicted from the others."""
    lent, start = knowledge.between(kind, "T1"), knowledge.between(kind, "T0")
    return lent is not None and start is not None and start.error < lent.error


def _asked(wanted: Kind, kind: Kind) -> str:
    """Return the kind's own format where it stores the same bits, such as weights alone in 4 bits;
    else the one wanted."""
    known = kind.format in BYTES and kind.family == wanted.family
    same = known and BYTES[kind.format] == BYTES.get(wanted.format)
    return kind.format if same else wanted.format


def _stand_in(wanted: Kind, kind: Kind) -> str:
    format = "" if kind.format in ("", wanted.format) else f"{kind.format} of "
    return "" if not format and kind.stack == wanted.stack else f", as {format}{kind.stack}"


def _alike(model: KernelModel, fits: Sequence[Fit]) -> Iterator[Fit]:
    """Yield the fits of chips for which the same formula holds."""
    for fit in fits:
        theirs = facts_of(load_chip(fit.chip), "bf16")
        if model_for(model.family, fit.kind.op, theirs).name == model.name:
            yield fit


def moved(
    model: KernelModel, chip: Chip, theirs: Mapping[str, Mapping[str, float]]
) -> tuple[dict[str, float], str, float]:
    """Return parameters that other chips lend to one, whose they are, and how far the nearest is.

    Args:
        model: the formula.
        chip: the chip that was not measured.
        theirs: chip -> its fitted parameters.
    """
    given = donors(chip, [load_chip(name) for name in theirs])
    names = ", ".join(donor.chip.name for donor in given[:3])
    more = f" and {len(given) - 3} more" if len(given) > 3 else ""
    return transferred(model, theirs, given), f"transferred from {names}{more}", given[0].distance


def nearest(wanted: Kind, known: Sequence[Kind]) -> list[Kind]:
    """Return known kinds, the most like first: the format counts more than the stack."""

    def order(kind: Kind) -> tuple[float, bool, str, str]:
        return apart(wanted, kind), kind.stack != wanted.stack, kind.stack, kind.format

    return sorted(known, key=order)


def apart(wanted: Kind, kind: Kind) -> float:
    """Return how unlike two formats are: 0 for the same one, then by the bytes of an element."""
    theirs = kind.format or wanted.format
    bytes_ = BYTES.get(wanted.format, 2.0), BYTES.get(theirs, 2.0)
    return 0.0 if theirs == wanted.format else 0.1 + abs(float(np.log2(bytes_[0] / bytes_[1])))
