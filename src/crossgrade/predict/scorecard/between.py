"""One chip from the others: parameters that they lend, and bands from how far off they were.

The few points of a calibration lie far apart and are harder than the bulk of kernels, so a band
from them is too wide. A band here is what the same procedure was off by on other chips, near the
same regime: conformal over chips. No row of the scored chip is in its band. Must not know families
of kernels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from crossgrade.chips.loader import load_chip
from crossgrade.predict.silicon.bands import TAIL, Bands
from crossgrade.predict.silicon.estimate import moved
from crossgrade.predict.silicon.fitting import Batch, seconds_of
from crossgrade.predict.silicon.knowledge import regime
from crossgrade.predict.silicon.model import UNKNOWN, Floats, KernelModel, Terms, starting
from crossgrade.predict.silicon.score import Score, score

PROBES = 600
"""Rows of one chip that its part of a band comes from at most, as of a shipped fit."""
ASSUMED = f"band assumed, {UNKNOWN[0]:g} to {UNKNOWN[1]:g} times"
"""What a line says where no other chip tells of a band."""
Values = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Kernels that are fitted together, on one chip."""

    key: str
    """Which kernels; those of other chips with this key lend parameters."""
    batches: Sequence[Batch]
    """What is scored while nothing of the chip is known."""
    fitted: Values | None = None
    """Parameters that it lends to others; None: none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What one line scores: kernels of one chip."""

    chip: str
    """Name of the chip."""
    format: str
    """Their format."""
    stack: str
    """Whose kernels they are."""
    model: KernelModel
    """The formula."""
    parts: Sequence[Part]
    """The kernels."""

    @property
    def measured(self) -> Floats:
        """Return the measured times, s, part after part."""
        return seconds_of([b for part in self.parts for b in part.batches])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Off:
    """How far off predictions were on one chip."""

    case: Case
    """What was predicted."""
    residuals: Floats
    """log(measured / predicted), shape [rows]."""
    places: Floats
    """Their regimes, shape [rows, 3]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """One chip predicted from others."""

    donors: str
    """Whose parameters they are, for a person."""
    left_out: str
    """What had to be left out, for a person."""
    score: Score
    """Errors on all rows of the case."""


def family_of(architecture: str) -> str:
    """Return the architecture without what follows a hyphen: chips of one family are near-twins."""
    return architecture.split("-")[0]


def strangers(chip: str, others: Iterable[Case]) -> list[Case]:
    """Return the cases of chips of other architecture families."""
    mine = family_of(load_chip(chip).architecture)
    return [c for c in others if family_of(load_chip(c.chip).architecture) != mine]


def terms_of(case: Case, values: Mapping[str, Values]) -> Terms:
    """Return the terms of all rows; values by key of a part, the start where one is absent."""
    begun = starting(case.model)
    return joined([
        case.model.terms(b.rows, b.facts, values.get(part.key, begun))
        for part in case.parts
        for b in part.batches
    ])  # fmt: skip


def joined(several: Sequence[Terms]) -> Terms:
    """Return terms one after another."""
    names = ("total", "compute", "vector", "memory", "floor")
    return Terms(**{n: np.concatenate([getattr(t, n) for t in several]) for n in names})


def off(case: Case, terms: Terms, measured: Floats) -> Off:
    """Return how far off predictions were, of at most PROBES rows spread evenly."""
    at = np.linspace(0, len(measured) - 1, min(PROBES, len(measured))).astype(np.int64)
    residuals, places = np.log(measured[at] / terms.total[at]), regime(terms)[at]
    fine = np.isfinite(residuals)
    return Off(case=case, residuals=residuals[fine], places=places[fine])


def bands(case: Case, known: Iterable[Off]) -> Bands | None:
    """Return a band from other chips; None where none is known.

    Other chips with this format and stack; without any, their other formats of this stack, then
    this format of other stacks.
    """
    elsewhere = [o for o in known if o.case.chip != case.chip and len(o.residuals)]
    stack = [o for o in elsewhere if o.case.stack == case.stack]
    format = [o for o in elsewhere if o.case.format == case.format]
    found = [o for o in stack if o.case.format == case.format] or stack or format
    return _pooled(found) if found else None


def _pooled(found: Sequence[Off]) -> Bands:
    """Return the band of residuals of several chips, what tells chips apart stretched.

    Rows of one chip are off together, so that chips count and not rows: the medians of a few chips
    are spread less than a further chip may lie from them. Each is moved away from their mean by
    what Student's t interval of one further draw has over the spread of the sample.
    """
    shift = np.array([np.median(o.residuals) for o in found])
    moved = (stretch(len(found)) - 1) * (shift - shift.mean())
    return Bands.of(
        np.concatenate([o.residuals + by for o, by in zip(found, moved, strict=True)]),
        np.concatenate([o.places for o in found]),
    )


def stretch(count: int) -> float:
    """Return how much wider a 80 % interval of one further draw is than that of a normal sample.

    Student's t at 0.9 with count - 1 degrees of freedom times sqrt(1 + 1 / count), over the normal
    quantile times the sample's own standard deviation. 1 for a single draw, whose spread is 0.
    """
    from scipy.stats import norm, t

    if count < 2:
        return 1.0
    wide = t.ppf(1 - TAIL, count - 1) * np.sqrt(1 + 1 / count)
    return float(wide / (norm.ppf(1 - TAIL) * np.sqrt(1 - 1 / count)))


def banded(terms: Terms, measured: Floats, held: Bands | None) -> Score:
    """Return the errors of predictions with a band; the assumed one where nobody knows any."""
    if held is None:
        return assumed(terms.total, measured)
    low, high = held.factors(regime(terms))
    return score(terms.total, measured, terms.total * low, terms.total * high)


def assumed(predicted: Floats, measured: Floats) -> Score:
    """Return the errors of predictions whose kind was measured on no other chip."""
    low, high = UNKNOWN
    return score(predicted, measured, predicted * low, predicted * high)


def sheets(cases: Sequence[Case]) -> Iterator[tuple[Case, Score]]:
    """Yield the errors of the starting parameters (T0), bands from those of other chips."""
    begun = [(case, terms_of(case, {}), case.measured) for case in cases]
    known = [off(*one) for one in begun]
    for case, terms, measured in begun:
        yield case, banded(terms, measured, bands(case, known))


def transfers(case: Case, cases: Sequence[Case]) -> Iterator[Moved]:
    """Yield a case predicted from others (T1): without the chip, and without its family.

    Where the chip is the only one of its family both are the same, and one comes. The band is from
    those others, each predicted from the rest as this chip is from them: with a chip of its family
    among the rest if this one has such a chip, else without.

    Args:
        case: the chip to be predicted.
        cases: cases that may lend, this one may be among them.
    """
    others = [c for c in cases if c.chip != case.chip and any(p.fitted for p in c.parts)]
    far = strangers(case.chip, others)
    alone = len(far) == len(others)
    if others:
        what = "this chip left out" + ", the only one of its architecture" * alone
        yield _moved(case, others, what, family=alone)
    if far and not alone:
        yield _moved(case, far, "this architecture left out", family=True)


def _moved(case: Case, others: Sequence[Case], what: str, *, family: bool) -> Moved:
    values, donors = lent(case, others)
    found = _tellings(others, family=family) or _tellings(others, family=True)
    held = _pooled(found) if found else bands(case, [off(*_begun(c)) for c in others])
    result = banded(terms_of(case, values), case.measured, held)
    return Moved(donors=donors, left_out=what, score=result)


def _begun(case: Case) -> tuple[Case, Terms, Floats]:
    return case, terms_of(case, {}), case.measured


def lent(case: Case, others: Sequence[Case]) -> tuple[dict[str, Values], str]:
    """Return the parameters that others lend to a case, by key, and whose, for a person."""
    values: dict[str, Values] = {}
    texts: dict[str, None] = {}
    for part in case.parts:
        theirs = {
            c.chip: p.fitted for c in others for p in c.parts if p.key == part.key and p.fitted
        }
        if theirs:
            values[part.key], text, _ = moved(case.model, load_chip(case.chip), theirs)
            texts[text] = None
    return values, "; ".join(texts) or "no other chip"


def _tellings(others: Sequence[Case], *, family: bool) -> list[Off]:
    return [o for case in others if (o := _told(case, others, family=family)) is not None]


def _told(case: Case, others: Sequence[Case], *, family: bool) -> Off | None:
    """Return how far off a chip is if told by the rest; None where that is another situation."""
    rest = [c for c in others if c.chip != case.chip]
    far = strangers(case.chip, rest)
    if not family and len(far) == len(rest):
        return None  # A chip without a near-twin says nothing of one that has one.
    rest = far if family else rest
    if not rest:
        return None
    thin = thinned(case)
    return off(thin, terms_of(thin, lent(case, rest)[0]), thin.measured)


def thinned(case: Case) -> Case:
    """Return a case with at most PROBES rows of each batch, spread evenly."""
    return replace(case, parts=[
        replace(part, batches=[_thin(b) for b in part.batches]) for part in case.parts
    ])  # fmt: skip


def _thin(batch: Batch) -> Batch:
    count = len(batch.rows)
    at = np.linspace(0, count - 1, min(PROBES, count)).astype(np.int64)
    return Batch(rows=batch.rows.take(at), facts=batch.facts)
