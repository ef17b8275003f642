"""The seam between kernel models and everything that fits, transfers or scores them.

A model is a formula with a few parameters; parameters are positive, and are compared, fitted and
transferred by their logarithm. Must not know chips by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from crossgrade.predict.silicon.facts import Facts
from crossgrade.values.kernel import Family, KernelRows

Floats = NDArray[np.float64]
UNKNOWN = (0.4, 2.5)
"""P10 and P90 over P50 where it is not known how far off a kind is: no chip was measured, or one
alone, so that none could be told from another. Assumed, wide on purpose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a kernel model."""

    name: str
    """Such as `matrix_efficiency`."""
    unit: str
    """`1` or `s`."""
    start: float
    """Value without any measurement (T0), and where a fit begins."""
    low: float
    """Least value that physics or sense allows."""
    high: float
    """Greatest one."""
    spread: float
    """Standard deviation of its logarithm between chips: how freely few points may move it."""
    source: str
    """Why `start` is what it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Time of kernels and what it is made of; each array s, shape [kernels]."""

    total: Floats
    """Time of the kernel."""
    compute: Floats
    """What the matrix engine alone would take."""
    vector: Floats
    """What the vector engine alone would take."""
    memory: Floats
    """What memory traffic (or the links, of a collective) alone would take."""
    floor: Floats
    """What it takes however small it is."""


TERMS = tuple(f.name for f in fields(Terms))
"""Names of the terms."""


class KernelModel(Protocol):
    """Seconds of the kernels of one family, from sizes, chip and parameters."""

    @property
    def name(self) -> str:
        """Return the model's name, such as `tile-wave`."""

    @property
    def family(self) -> Family:
        """Return the family whose rows it prices."""

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Return its parameters."""

    def terms(self, rows: KernelRows, facts: Facts, values: Mapping[str, float]) -> Terms:
        """Return the time of each row.

        Args:
            rows: kernels of the model's family.
            facts: the chip, for the rows' format.
            values: parameter name -> value.
        """


def starting(model: KernelModel) -> dict[str, float]:
    """Return the parameters without any measurement."""
    return {p.name: p.start for p in model.parameters}
