"""One side of a comparison: a variant of a run, with its session values. Must not compare."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from crossgrade.measure.samples import Floats, samples_of
from crossgrade.measure.statistics import Series, series_of
from crossgrade.values.bench import BenchResult, VariantResult
from crossgrade.values.case import Case

CLOCK = "clock_hz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A variant of a run."""

    result: BenchResult
    """The run."""
    variant: int
    """Place of the variant in its plan."""

    @property
    def case(self) -> Case:
        """Return what runs."""
        return self.result.plan.variants[self.variant].case

    @property
    def target(self) -> str:
        """Return the specification of the target."""
        return self.result.plan.variants[self.variant].target

    @property
    def name(self) -> str:
        """Return variant and target, such as `compiled on cpu`; once where they are the same."""
        name = self.result.plan.variants[self.variant].name
        return name if name == self.target else f"{name} on {self.target}"

    @property
    def row(self) -> VariantResult:
        """Return what was found of it."""
        return self.result.variants[self.variant]

    @property
    def device(self) -> str:
        """Return the name of the device; empty unknown."""
        facts = (dict(a.facts) for a in self.result.audits if a.target == self.target)
        return next((f["device"] for f in facts if "device" in f), "")

    @property
    def timers(self) -> tuple[str, ...]:
        """Return the timers that were used for it, by name."""
        return tuple(sorted({t for s in self.result.sessions if (t := s.timers[self.variant])}))

    def values(self) -> Floats:
        """Return [sessions] logarithms of its time per call."""
        return session_series(self.result, self.variant).values

    def over_anchor(self) -> Floats:
        """Return [sessions] logarithms of its time over the anchor's."""
        return session_series(self.result, self.variant, self.anchor).values

    def anchor_values(self) -> Floats:
        """Return [sessions] logarithms of the anchor's time per call."""
        return session_series(self.result, self.anchor).values

    @property
    def anchor(self) -> int:
        """Return the place of the anchor."""
        return len(self.result.plan.variants)


def session_series(result: BenchResult, variant: int, over: int | None = None) -> Series:
    """Return session values of a run; a variant that is absent has none."""
    gone = [v is not None and result.variants[v].status == "absent" for v in (variant, over)]
    samples = [] if any(gone) else [samples_of(s, len(result.plan.variants))
                                    for s in result.sessions]  # fmt: skip
    return series_of(samples, result.plan.batch, variant, over)


def clock_values(side: Side) -> Floats:
    """Return logarithms of clock cycles per call, of the sessions in which the clock is known."""
    series = session_series(side.result, side.variant)
    found = []
    for value, index in zip(series.values, series.sessions, strict=True):
        clocks = side.result.sessions[index].telemetry.get(CLOCK, ())
        if clocks and all(math.isfinite(c) and c > 0 for c in clocks):
            found.append(value + math.log(sum(clocks) / len(clocks)))
    return np.array(found)


def same_case(a: Case, b: Case) -> bool:
    """Return whether two cases are the same work, whatever the seed of their inputs."""
    return replace(a, seed=0).key == replace(b, seed=0).key
