"""How alike two chips are, and parameters averaged over chips by it.

Efficiencies depend on how far a chip's engines have outrun its memory, and on its generation; both
show in two figures of the data sheet, bandwidth and peak over bandwidth. Must not know models or
rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from crossgrade.predict.silicon.facts import Facts


def family_of(architecture: str) -> str:
    """Return the architecture without what follows a hyphen: chips of one family are near-twins."""
    return architecture.split("-")[0]


def likeness(target: Facts, others: Sequence[Facts]) -> list[float]:
    """Return a weight per chip, which sum to 1.

    A weight falls by e for each factor of two in bandwidth, or in peak over bandwidth, between the
    chips: the spread between generations. Chips of one family share the weight of one chip, so that
    twins do not outvote the rest. What a sheet does not give counts as a factor of two.

    Args:
        target: the chip to be predicted.
        others: chips whose parameters are known.
    """
    counts = Counter(family_of(o.architecture) for o in others)
    weights = [np.exp(-_octaves(target, o)) / counts[family_of(o.architecture)] for o in others]
    return [float(w / sum(weights)) for w in weights]


def _octaves(one: Facts, other: Facts) -> float:
    steps = (
        np.log2(one.bandwidth_bytes_per_s / other.bandwidth_bytes_per_s),
        np.log2(_balance(one) / _balance(other)),
    )
    return float(sum(abs(s) if np.isfinite(s) else 1.0 for s in steps))


def _balance(facts: Facts) -> float:
    return facts.matrix_flop_per_s / facts.bandwidth_bytes_per_s


def averaged(values: Sequence[Mapping[str, float]], weights: Sequence[float]) -> dict[str, float]:
    """Return the weighted mean of the logarithm of each parameter.

    Raises:
        ValueError: nothing to average.
    """
    if not values:
        raise ValueError("no parameters to average")
    share = np.asarray(weights) / np.sum(weights)
    return {
        name: float(np.exp(np.dot(share, [np.log(v[name]) for v in values]))) for name in values[0]
    }
