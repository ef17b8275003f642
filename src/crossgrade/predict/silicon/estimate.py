"""Kernel rows + chip -> P10, P50, P90 of each kernel, and what that rests on.

The best tier that is known decides: calibrated on this chip, else transferred from other chips,
else the model's starting parameters. Where a stack or a format was never measured the nearest one
stands in, and the basis says so. Must not know captures or vendors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from crossgrade.chips.loader import load_chip
from crossgrade.predict.silicon.facts import BYTES, Facts, facts_of
from crossgrade.predict.silicon.knowledge import Fit, Kind, Knowledge, kind_of, regime
from crossgrade.predict.silicon.model import Floats, KernelModel, Terms, starting
from crossgrade.predict.silicon.models import facts_for, model_for
from crossgrade.predict.silicon.transfer import donors, transferred
from crossgrade.values.chip import Chip
from crossgrade.values.kernel import KernelRows

UNKNOWN = (0.4, 2.5)
"""P10 and P90 over P50 where no chip was ever measured for a kind: assumed, wide on purpose."""


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
    tier: str
    """`T0`, `T1` or `T2`."""
    basis: str
    """What it rests on, for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """Parameters for one kind on one chip, and what is known of their error."""

    values: Mapping[str, float]
    """Parameters, where they differ from the model's start."""
    bands: tuple[Fit, ...]
    """Whose bands hold; the widest of them."""
    tier: str
    """`T0`, `T1` or `T2`."""
    text: str
    """For a person."""
    stack: str
    """Stack whose kernels the parameters are of."""


def estimate(rows: KernelRows, chip: Chip, knowledge: Knowledge) -> Estimate:
    """Return the times of kernels on a chip.

    Args:
        rows: kernels of one kind.
        chip: the chip.
        knowledge: what was fitted.

    Raises:
        KeyError: no model prices the family, or the format is unknown.
    """
    facts = facts_for(rows, chip)
    model = model_for(rows.family, rows.op, facts)
    found = _basis(kind_of(rows), chip, facts, knowledge)
    values = starting(model) | dict(found.values)
    terms = model.terms(replace(rows, stack=found.stack), facts, values)
    low, high = np.full(len(rows), UNKNOWN[0]), np.full(len(rows), UNKNOWN[1])
    if found.bands:
        ends = [fit.band.factors(regime(terms)) for fit in found.bands]
        low, high = np.min([e[0] for e in ends], axis=0), np.max([e[1] for e in ends], axis=0)
    return Estimate(
        low=terms.total * low, mid=terms.total, high=terms.total * high, terms=terms,
        tier=found.tier, basis=found.text,
    )  # fmt: skip


def _basis(wanted: Kind, chip: Chip, facts: Facts, knowledge: Knowledge) -> Basis:
    """Return the best that is known: every stand-in on this chip goes before any transfer."""
    model = model_for(wanted.family, wanted.op, facts)
    kinds = nearest(wanted, knowledge.kinds(wanted.family, wanted.op))
    for kind in kinds:
        own = knowledge.on(chip.name, kind)
        if own:
            fit = own[0]
            text = f"calibrated on {fit.rows} rows of {chip.name} ({fit.source})"
            return Basis(values=fit.values, bands=(fit,), tier="T2", stack=kind.stack,
                         text=text + _stand_in(wanted, kind))  # fmt: skip
    for kind in kinds:
        theirs = {f.chip: f.values for f in _alike(model, knowledge.elsewhere(chip.name, kind))}
        if theirs:
            values, text = moved(model, chip, theirs)
            between = knowledge.between(kind, "T1") or knowledge.between(kind, "T0")
            return Basis(values=values, bands=(between,) if between else (), tier="T1",
                         stack=kind.stack, text=text + _stand_in(wanted, kind))  # fmt: skip
    bands = tuple(b for kind in kinds if (b := knowledge.between(kind, "T0")) is not None)
    return Basis(values={}, bands=bands, tier="T0", stack=wanted.stack,
                 text="data sheet and starting parameters")  # fmt: skip


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
) -> tuple[dict[str, float], str]:
    """Return parameters that other chips lend to one, and whose they are, for a person.

    Args:
        model: the formula.
        chip: the chip that was not measured.
        theirs: chip -> its fitted parameters.
    """
    given = donors(chip, [load_chip(name) for name in theirs])
    found = transferred(model, theirs, given)
    names = ", ".join(donor.chip.name for donor in given[:3])
    more = f" and {len(given) - 3} more" if len(given) > 3 else ""
    return found.values, f"transferred from {names}{more}"


def nearest(wanted: Kind, known: Sequence[Kind]) -> list[Kind]:
    """Return known kinds, the most like first: the format counts more than the stack.

    Formats are alike by the bytes of an element.
    """

    def distance(kind: Kind) -> tuple[float, bool, str]:
        theirs = kind.format or wanted.format
        bytes_ = BYTES.get(wanted.format, 2.0), BYTES.get(theirs, 2.0)
        apart = 0.0 if theirs == wanted.format else 0.1 + abs(np.log2(bytes_[0] / bytes_[1]))
        return apart, kind.stack != wanted.stack, kind.stack

    return sorted(known, key=distance)
