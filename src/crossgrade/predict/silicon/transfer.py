"""Parameters fitted on other chips -> parameters of a chip that was never measured (T1).

Chips are compared by what their data sheets say, never by who sells them. Without a donor the
model's starting values are returned: that is T0. Must not know chips, formats or where fits come
from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crossgrade.predict.silicon.facts import Facts, facts_of
from crossgrade.predict.silicon.model import KernelModel, Parameter
from crossgrade.values.chip import Chip

_SPREADS = {
    "ridge": 0.47,
    "bandwidth": 0.85,
    "cores": 1.5,
    "clock": 0.17,
    "cache_per_core": 1.95,
    "flop_per_core_cycle": 1.37,
}
"""Feature -> standard deviation of its logarithm over the described chips, which a test recomputes.

Cores are counted here as sheets give them, large ones as one.

Descriptions do not say the kind of memory; bandwidth stands for it.
"""

_REACH = 4.0
"""Distance at which the correlation of parameters has fallen to 1/e.

Chosen among 1.5, 2.5, 4, 6 and 10 on the calibration points of the described chips that have
measured kernels, each predicted from the others: products, latent attention and vector kernels want
more, attention and experts less.
"""
_FIT_ERROR = 0.05
"""Standard deviation of the logarithm of a parameter as fitted on a donor; assumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Donor:
    """A fitted chip, and how much it says about the target."""

    chip: Chip
    """The fitted chip."""
    distance: float
    """0 for equal data sheets; below 1 for the target's architecture, from 1 on for any other."""
    weight: float
    """Assumed correlation of its parameters with the target's, above 0 and at most 1."""


def donors(target: Chip, fitted: Sequence[Chip]) -> list[Donor]:
    """Return the fitted chips, the one that says most first.

    Chips of the target's architecture come before all others; among these and among those, data
    sheets decide. The target itself is left out: its own fit is no transfer.

    Args:
        target: the chip without measurements.
        fitted: chips whose parameters are known, in any order.
    """
    found = []
    for chip in fitted:
        if chip.name == target.name:
            continue
        away = distance(target, chip)
        weight = math.exp(-((away / _REACH) ** 2))
        found.append(Donor(chip=chip, distance=away, weight=weight))
    return sorted(found, key=lambda donor: (donor.distance, donor.chip.name))


def distance(one: Chip, other: Chip) -> float:
    """Return how far apart two chips are: below 1 within an architecture, from 1 on between two.

    Root mean square of the differences of log features, each over its standard deviation between
    chips. A feature that one of them does not publish counts as one standard deviation.
    """
    ours, theirs = _features(facts_of(one, "bf16")), _features(facts_of(other, "bf16"))
    off = [(ours[key] - theirs[key]) / spread for key, spread in _SPREADS.items()]
    apart = math.sqrt(sum(1.0 if math.isnan(z) else z * z for z in off) / len(off))
    return apart / (1 + apart) if one.architecture == other.architecture else 1 + apart


def transferred(
    model: KernelModel, fitted: Mapping[str, Mapping[str, float]], given: Sequence[Donor]
) -> dict[str, float]:
    """Return parameters for a chip from those of its donors.

    The logarithm of each parameter is the mean of donors and of the model's start, weighted by
    precision. The start is off by the parameter's `spread`. A donor is off by the error of its fit,
    and by what differs between chips: none at correlation 1, without bound towards 0. Far donors
    therefore leave the start as it is, and without a donor (or of a parameter that none of them
    has) the value is the start's: T0. Values stay within the parameter's limits.

    Args:
        model: whose parameters they are.
        fitted: chip -> parameter -> fitted value, above 0; chips that are no donors are ignored.
        given: as `donors` returns them.
    """
    values = {}
    for parameter in model.parameters:
        known = [
            (math.log(fitted[d.chip.name][parameter.name]), _variance(parameter, d))
            for d in given
            if parameter.name in fitted.get(d.chip.name, {})
        ]
        value = _combined(parameter, known)
        values[parameter.name] = min(max(value, parameter.low), parameter.high)
    return values


def _combined(parameter: Parameter, known: Sequence[tuple[float, float]]) -> float:
    """Return the value that follows from the start and from (log value, variance) of donors."""
    start = 1 / parameter.spread**2
    precisions = [1 / variance for _, variance in known]
    weighted = sum(p * log for p, (log, _) in zip(precisions, known, strict=True))
    return math.exp((start * math.log(parameter.start) + weighted) / (start + sum(precisions)))


def _variance(parameter: Parameter, donor: Donor) -> float:
    """Return the variance of a donor's log parameter as an estimate of the target's."""
    # Below this a square underflows, and nothing of the donor is left anyhow.
    correlation = max(donor.weight, 1e-6)
    return _FIT_ERROR**2 + parameter.spread**2 * (1 / correlation**2 - 1)


def _features(facts: Facts) -> dict[str, float]:
    """Return the logarithms of what chips are compared by; NaN where a sheet is silent."""
    return {
        "ridge": math.log(facts.matrix_flop_per_s / facts.bandwidth_bytes_per_s),
        "bandwidth": math.log(facts.bandwidth_bytes_per_s),
        "cores": math.log(facts.cores),
        "clock": math.log(facts.clock_hz),
        "cache_per_core": math.log(facts.cache_bytes / facts.cores),
        "flop_per_core_cycle": math.log(facts.matrix_flop_per_s / facts.cores / facts.clock_hz),
    }
