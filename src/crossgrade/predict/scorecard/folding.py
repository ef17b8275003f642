"""Rows told by what the other folds teach, each row once; folds are by site and frozen.

Must not know families or chips.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from crossgrade.predict.silicon.facts import Facts
from crossgrade.predict.silicon.model import Floats, KernelModel
from crossgrade.predict.silicon.splits import folds
from crossgrade.predict.silicon.table import Table
from crossgrade.values.kernel import SITES, KernelRows

FOLDS = 5
Parts = Sequence[KernelRows]
Columns = Mapping[str, Floats]
"""What is told of kernels by name, such as `total`, `p10` and `p90`; each s, shape [kernels]."""
Learnt = Callable[[KernelRows], Columns]


def folded(parts: Parts, learn: Callable[[Parts], Learnt]) -> Columns:
    """Return the columns of every row, part after part, NaN where nothing else was measured.

    Args:
        parts: measured rows of one family, by operation.
        learn: rows of the other folds -> what they tell of further rows.
    """
    found: list[dict[str, Floats]] = [{} for _ in parts]
    splits = [list(folds(part, SITES[part.family], FOLDS)) for part in parts]
    for fold in range(FOLDS):
        train = [p.take(s[fold][0]) for p, s in zip(parts, splits, strict=True)]
        train = [part for part in train if len(part)]
        if not train or not any(split[fold][1].any() for split in splits):
            continue
        told = learn(train)
        for part, split, columns in zip(parts, splits, found, strict=True):
            scored = split[fold][1]
            if scored.any():
                for name, column in told(part.take(scored)).items():
                    columns.setdefault(name, np.full(len(part), np.nan))[scored] = column
    return {name: np.concatenate([columns[name] for columns in found]) for name in found[0]}


def tabled(model: KernelModel, facts: Facts) -> Callable[[Parts], Learnt]:
    """Return what makes a table of rows, to be asked for `p50`, `p10` and `p90`."""

    def learn(train: Parts) -> Learnt:
        table = Table.build(model, train, facts)

        def told(rows: KernelRows) -> Columns:
            found = table.estimate(rows)
            return {name: getattr(found, name) for name in ("p50", "p10", "p90")}

        return told

    return learn
