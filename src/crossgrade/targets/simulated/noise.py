"""How the times of a made-up device scatter: between sessions, within one, and in rare spikes.

All factors are log-normal with median 1, so the time without noise is the median of the samples and
the geometric mean over sessions. Must not know what is timed.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from crossgrade.targets.protocol import Opening


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseModel:
    """Sizes of the noise; none by default."""

    session_sd: float = 0.0
    """Standard deviation of the log of the factor that all kernels of a session share."""
    kernel_sd: float = 0.0
    """The same of the factor that one kernel has in one session; it stays in ratios of kernels."""
    within_sd: float = 0.0
    """The same of the factor of one block; consecutive blocks are an AR(1) process."""
    phi: float = 0.0
    """Correlation of consecutive blocks, from 0 to below 1."""
    spike_rate: float = 0.0
    """Share of blocks that are hit by something else."""
    spike: float = 1.0
    """Part of its own time by which such a block is longer."""


class Noise:
    """The noise of one session; the same opening gives the same noise."""

    __slots__ = ("_model", "_name", "_rng", "_state", "_step", "_within", "session")

    def __init__(self, model: NoiseModel, opening: Opening) -> None:
        """Seed it with the session and draw the session's factor."""
        self._name = f"{opening.seed}/{opening.session}"
        self._model = model
        self._rng = random.Random(self._name)
        self.session = math.exp(model.session_sd * self._rng.gauss(0.0, 1.0))
        self._state = model.within_sd * self._rng.gauss(0.0, 1.0)
        self._step = model.within_sd * math.sqrt(1.0 - model.phi**2)
        self._within = model.within_sd > 0.0

    def kernel(self, key: str) -> float:
        """Return the factor of a kernel in this session."""
        if not self._model.kernel_sd:
            return self.session
        drawn = random.Random(f"{self._name}/{key}").gauss(0.0, 1.0)
        return self.session * math.exp(self._model.kernel_sd * drawn)

    def block(self) -> float:
        """Return the factor of the next block."""
        factor = 1.0
        if self._within:
            self._state = self._model.phi * self._state + self._step * self._rng.gauss(0.0, 1.0)
            factor = math.exp(self._state)
        if self._model.spike_rate and self._rng.random() < self._model.spike_rate:
            factor *= 1.0 + self._model.spike
        return factor
