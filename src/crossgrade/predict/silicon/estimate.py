"""Kernel rows + chip -> P10, P50, P90 of each kernel, and what that rests on.

The best tier that is known decides: calibrated on this chip, else transferred from other chips,
else the model's starting parameters. Where a stack or a format was never measured the nearest one
stands in, and the basis says so. Must not know captures or vendors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crossgrade.chips.loader import load_chip
from crossgrade.predict.silicon.facts import Facts, facts_of
from crossgrade.predict.silicon.knowledge import Fit, Kind, Knowledge, kind_of, regime
from crossgrade.predict.silicon.likeness import averaged, likeness
from crossgrade.predict.silicon.model import Floats, KernelModel, Terms, starting
from crossgrade.predict.silicon.models import model_for
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


def estimate(rows: KernelRows, chip: Chip, knowledge: Knowledge) -> Estimate:
    """Return the times of kernels on a chip.

    Args:
        rows: kernels of one kind.
        chip: the chip.
        knowledge: what was fitted.

    Raises:
        ValueError: no model prices the family.
    """
    facts = facts_of(chip, rows.format)
    model = model_for(rows, facts)
    wanted = kind_of(rows)
    for kind in nearest(wanted, knowledge.kinds(rows.family, rows.op)):
        stands_in = "" if kind == wanted else f", as {kind.format} of {kind.stack}"
        own = next(iter(knowledge.on(chip.name, kind)), None)
        if own is not None:
            basis = f"calibrated on {own.rows} rows of {chip.name} ({own.source}){stands_in}"
            return _answer(model, rows, facts, own.values, (own,), "T2", basis)
        donors = knowledge.elsewhere(chip.name, kind)
        between = knowledge.between(kind, "T1")
        if donors and between is not None:
            values, names = _transferred(donors, facts, rows.format)
            basis = f"transferred from {names}{stands_in}"
            return _answer(model, rows, facts, values, (between,), "T1", basis)
    bands = [knowledge.between(kind, "T0") for kind in knowledge.kinds(rows.family, rows.op)]
    basis = "data sheet and starting parameters"
    return _answer(model, rows, facts, starting(model), [b for b in bands if b], "T0", basis)


def _transferred(donors: Sequence[Fit], facts: Facts, format: str) -> tuple[dict[str, float], str]:
    """Return the parameters of like chips averaged, and the names of those that count most."""
    theirs = [facts_of(load_chip(fit.chip), format) for fit in donors]
    weights = likeness(facts, theirs)
    order = np.argsort(weights)[::-1][:3]
    names = ", ".join(f"{donors[i].chip} ({weights[i]:.0%})" for i in order.tolist())
    return averaged([fit.values for fit in donors], weights), names


def _answer(
    model: KernelModel, rows: KernelRows, facts: Facts, values: dict[str, float] | object,
    bands: Sequence[Fit], tier: str, basis: str,
) -> Estimate:  # fmt: skip
    """Return the model's time with the widest of some bands."""
    known = {**starting(model), **values}  # type: ignore[dict-item]
    terms = model.terms(rows, facts, known)
    low, high = np.full(len(rows), UNKNOWN[0]), np.full(len(rows), UNKNOWN[1])
    if bands:
        ends = [fit.band.factors(regime(terms)) for fit in bands]
        low, high = np.min([e[0] for e in ends], axis=0), np.max([e[1] for e in ends], axis=0)
    return Estimate(
        low=terms.total * low,
        mid=terms.total,
        high=terms.total * high,
        terms=terms,
        tier=tier,
        basis=basis,
    )


def nearest(wanted: Kind, known: Sequence[Kind]) -> list[Kind]:
    """Return known kinds, the most like first: its format before its stack.

    Formats are alike by the bytes of an element; of two as near, the one that is stored as such.
    """
    from crossgrade.predict.silicon.facts import BYTES

    def distance(kind: Kind) -> tuple[float, bool, str]:
        bytes_ = BYTES.get(wanted.format, 2.0), BYTES.get(kind.format, 2.0)
        apart = 0.0 if kind.format == wanted.format else 0.1 + abs(np.log2(bytes_[0] / bytes_[1]))
        return apart, kind.stack != wanted.stack, kind.stack

    return sorted(known, key=distance)
