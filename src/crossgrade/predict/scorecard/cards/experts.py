"""Routed experts: one rank's fused operation, on models that were not fitted.

Rows are split by model (hidden, inter, topk, experts) into five folds, so that T2 and T3 score each
model once, unseen. The launched kernel of a scored row is never read. Rows of models that route
within groups have another routing than they name; they are scored apart and never fitted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crossgrade.chips.loader import chip_names, load_chip
from crossgrade.predict.scorecard.line import Anchor, Goal, Line, Tier
from crossgrade.predict.scorecard.score import Score, score
from crossgrade.predict.scorecard.sources.aiconfigurator_experts import experts
from crossgrade.predict.scorecard.splits import folds, shares, spread_out
from crossgrade.predict.silicon.experts import Experts, cores_of, weight_bytes
from crossgrade.predict.silicon.experts_table import Estimate, ExpertsTable
from crossgrade.predict.silicon.facts import ARITHMETIC, Facts, facts_of
from crossgrade.predict.silicon.kernel_sets import KernelSets, fitted, priced, unfitted
from crossgrade.predict.silicon.model import Floats
from crossgrade.predict.silicon.routing import share_of
from crossgrade.values.kernel import KernelRows

MODEL = ("hidden", "inter", "topk", "experts")
"""Sizes that make a model."""
POINTS = 30
"""Rows of the chip that T2 may see."""
FOLDS = 5
TWIN = 0.2
"""Sum of squared log ratios of peaks and cores below which two chips count as the same silicon."""
LEAST_MODELS = 5
"""With fewer models of a format there is no unseen one worth the name: T0 and T1 alone."""
BOUND = 0.12
"""Mean error asked of fp8_block on unseen models with a table (prototypes: 12 to 13 %)."""
ASKED = {("fp8_block", chip) for chip in ("h100", "b200", "b300", "gb200")}
"""(format, chip) that the bound was asked of."""
Parts = Sequence[KernelRows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Set:
    """Rows of one chip, format and stack."""

    parts: Parts
    """Rows by operation: gated and ungated experts."""
    facts: Facts
    """The chip."""

    @property
    def seconds(self) -> Floats:
        """Return the measured times, s, part after part."""
        return np.concatenate([p.seconds for p in self.parts if p.seconds is not None])

    @property
    def models(self) -> int:
        """Return how many models there are."""
        return len(np.unique(np.concatenate([shares(p, MODEL) for p in self.parts])))


def lines(data: Path) -> Iterator[Line]:
    """Yield the lines of routed experts.

    Args:
        data: the folder of the large data sets.
    """
    sets = _sets(experts(data))
    known: dict[tuple[str, str], KernelSets] = {}
    for format in sorted({format for format, _ in sets}):
        chips = {chip: one for (f, chip), one in sets.items() if f == format}
        for chip, one in chips.items():
            known[format, chip] = fitted(Experts(), one.parts, one.facts)
        for chip, one in chips.items():
            yield from _of_chip(format, chip, one, chips, known)
    yield from _grouped(data, sets)


def _sets(found: Mapping[str, Parts]) -> dict[tuple[str, str], Set]:
    """Return the rows by format and chip, of chips that are described."""
    sets: dict[tuple[str, str], Set] = {}
    for chip in sorted(set(found) & set(chip_names())):
        for format in sorted({part.format for part in found[chip]} & set(ARITHMETIC)):
            parts = [part for part in found[chip] if part.format == format]
            sets[format, chip] = Set(parts=parts, facts=facts_of(load_chip(chip), format))
    return sets


def _of_chip(
    format: str,
    chip: str,
    one: Set,
    chips: Mapping[str, Set],
    known: Mapping[tuple[str, str], KernelSets],
) -> Iterator[Line]:
    """Yield T0 to T3 of one chip and format."""
    guess = [priced(Experts(), part, one.facts, unfitted(Experts())).total for part in one.parts]
    yield _line(one, format, chip, "T0", "nothing fitted; all models", np.concatenate(guess), 0)
    others = {c: (s.facts, known[format, c]) for c, s in chips.items() if c != chip}
    donors, prior = _transferred(one.facts, others)
    if donors:
        told = [priced(Experts(), part, one.facts, prior).total for part in one.parts]
        split = f"fitted on {donors}; all models"
        yield _line(one, format, chip, "T1", split, np.concatenate(told), 0)
    if one.models < LEAST_MODELS:
        return
    begun = f", begun from {donors}" if donors else ""
    few = _folded(one, lambda train: _calibrated(train, one.facts, prior))
    split = f"{POINTS} rows of the other models{begun}; {FOLDS} folds by model"
    yield _line(one, format, chip, "T2", split, few, POINTS)
    table = _folded(one, lambda train: _table(train, one.facts).estimate)
    split = f"all rows of the other models; {FOLDS} folds by model"
    yield _line(one, format, chip, "T3", split, table, len(one.seconds) * (FOLDS - 1) // FOLDS)


def _transferred(
    facts: Facts, others: Mapping[str, tuple[Facts, KernelSets]]
) -> tuple[str, KernelSets]:
    """Return the chips that parameters come from, in words, and the parameters.

    A chip with nearly the same sheet gives everything, its choice of kernels included. Without one,
    each parameter is the median of the others': their kernels are not those of this chip.
    """

    def sheet(f: Facts) -> Floats:
        return np.log([f.matrix_flop_per_s, f.bandwidth_bytes_per_s, cores_of(f)])

    distance = {c: float(((sheet(f) - sheet(facts)) ** 2).sum()) for c, (f, _) in others.items()}
    nearest = min(distance, key=lambda c: distance[c], default="")
    if not nearest:
        return "", unfitted(Experts())
    if distance[nearest] < TWIN:
        return f"{nearest}, nearly the same sheet", others[nearest][1]
    names = [parameter.name for parameter in Experts().parameters]
    middle = {n: float(np.median([s.together[n] for _, s in others.values()])) for n in names}
    return ", ".join(others), KernelSets(together=middle)


def _table(train: Parts, facts: Facts) -> ExpertsTable:
    return ExpertsTable.build(train, facts, [shares(part, MODEL) for part in train])


def _calibrated(train: Parts, facts: Facts, prior: KernelSets) -> Callable[[KernelRows], Estimate]:
    """Return what POINTS rows far from each other teach; the band is from left-out models."""
    per_part = [max(2, round(POINTS * len(p) / sum(map(len, train)))) for p in train]
    few = [
        part.take(spread_out(part, np.ones(len(part), dtype=bool), count))
        for part, count in zip(train, per_part, strict=True)
    ]
    sets = fitted(Experts(), few, facts, prior)
    off = []
    for kept, out in _inner(few):
        told = fitted(Experts(), kept, facts, prior)
        for part in out:
            assert part.seconds is not None
            off.append(np.log(part.seconds / priced(Experts(), part, facts, told).total))
    low, high = np.quantile(np.concatenate(off), [0.1, 0.9])

    def estimate(rows: KernelRows) -> Estimate:
        p50 = priced(Experts(), rows, facts, sets).total
        return Estimate(p50=p50, p10=p50 * np.exp(low), p90=p50 * np.exp(high))

    return estimate


def _inner(parts: Parts) -> Iterator[tuple[list[KernelRows], list[KernelRows]]]:
    """Yield (kept, left out) rows, models as a whole."""
    groups = np.unique(np.concatenate([shares(part, MODEL) for part in parts]))
    for fold in range(min(4, len(groups))):
        chosen = groups[fold::4]
        out = [part.take(np.isin(shares(part, MODEL), chosen)) for part in parts]
        kept = [part.take(~np.isin(shares(part, MODEL), chosen)) for part in parts]
        if any(map(len, kept)):
            yield [p for p in kept if len(p)], [p for p in out if len(p)]


def _folded(one: Set, learn: Callable[[Parts], Callable[[KernelRows], Estimate]]) -> Estimate:
    """Return the estimate of every row by what the other folds teach."""
    found = [{n: np.full(len(part), np.nan) for n in ("p50", "p10", "p90")} for part in one.parts]
    splits = [list(folds(part, MODEL, FOLDS)) for part in one.parts]
    for fold in range(FOLDS):
        train = [p.take(s[fold][0]) for p, s in zip(one.parts, splits, strict=True)]
        told = learn([part for part in train if len(part)])
        for part, split, columns in zip(one.parts, splits, found, strict=True):
            scored = split[fold][1]
            if scored.any():
                estimate = told(part.take(scored))
                for name, column in columns.items():
                    column[scored] = getattr(estimate, name)
    return Estimate(**{n: np.concatenate([columns[n] for columns in found]) for n in found[0]})


def _line(
    one: Set, format: str, chip: str, tier: Tier, split: str, told: Floats | Estimate, rows: int
) -> Line:
    measured = one.seconds
    if isinstance(told, Estimate):
        found = score(told.p50, measured, told.p10, told.p90)
    else:
        found = score(told, measured)
    goals = (Goal(measure="mape", most=BOUND),) if (format, chip) in ASKED and tier == "T3" else ()
    return Line(
        family="experts",
        rows_of=f"routed experts {format}, {', '.join(sorted({p.stack for p in one.parts}))}",
        chip=chip,
        tier=tier,
        split=split,
        score=found,
        fitted_rows=rows,
        goals=goals,
        anchors=_anchors(one, measured),
    )


def _grouped(data: Path, sets: Mapping[tuple[str, str], Set]) -> Iterator[Line]:
    """Yield the models whose rows name another routing than they have, by tables of the others."""
    for (format, chip), one in _sets(experts(data, grouped=True)).items():
        others = sets.get((format, chip))
        if others is None or others.models < LEAST_MODELS:
            continue
        table = _table(others.parts, others.facts)
        told = [table.estimate(part) for part in one.parts]
        joined = Estimate(
            **{n: np.concatenate([getattr(e, n) for e in told]) for n in ("p50", "p10", "p90")}
        )
        split = "all rows of models without groups; the routing of these rows is not the named one"
        line_format = f"{format}, routing within groups"
        yield _line(one, line_format, chip, "T3", split, joined, len(others.seconds))


def _anchors(one: Set, measured: Floats) -> tuple[Anchor, ...]:
    """Return simple formulas on the same rows, given our load of the busiest rank."""
    flop, moved = (np.concatenate([_work(part)[i] for part in one.parts]) for i in (0, 1))
    compute = flop / one.facts.matrix_flop_per_s
    memory = moved / one.facts.bandwidth_bytes_per_s
    told: dict[str, tuple[str, Floats]] = {
        "spec roofline": ("max(FLOP / peak, bytes / bandwidth)", np.maximum(compute, memory)),
        "TensorCast's constants": (
            "max(FLOP / 0.7 peak, bytes / 0.6 bandwidth) + 5 us",
            np.maximum(compute / 0.7, memory / 0.6) + 5e-6,
        ),
    }
    return tuple(
        Anchor(
            who=who,
            figure=_figure(found),
            source=f"{formula}; run here on these rows, with our rows of the busiest rank",
            score=found,
        )
        for who, (formula, seconds) in told.items()
        for found in (score(seconds, measured),)
    )


def _work(rows: KernelRows) -> tuple[Floats, Floats]:
    """Return FLOP and least bytes of the busiest rank: weights once, activations in and out."""
    share = share_of(rows.sizes)
    products = 2 if rows.op == "ungated" else 3
    wide = rows.sizes["inter"] / rows.sizes["tp"]
    flop = 2 * share.rows * products * rows.sizes["hidden"] * wide
    return flop, weight_bytes(rows, share) + 4 * share.rows * rows.sizes["hidden"]


def _figure(found: Score) -> str:
    return f"MAPE {found.mape * 100:.1f} %"
