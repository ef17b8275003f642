"""Prices of steps for the serving loop: whole nanoseconds, each distinct step worked out once.

Must not know schedulers.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from crossgrade.predict.layouts.cost import StepCost
from crossgrade.predict.serving.request import BUCKET, NS


@dataclass(slots=True, kw_only=True)
class StepPrices:
    """Time of a step of one instance, as `serving.request.Price`."""

    cost: StepCost
    """Times of steps of one replica."""
    replicas: int = 1
    """Replicas of attention that step together; requests are spread evenly over them."""
    delay_ns: int = 0
    """What every step takes beside its kernels, ns."""
    end: str = "mid"
    """`low`, `mid` or `high`: P10, P50 or P90."""
    _known: dict[tuple[int, int, tuple[tuple[int, int], ...]], int] = field(default_factory=dict)

    def __call__(self, decoding: int, bucket: int, chunks: tuple[tuple[int, int], ...]) -> int:
        """Return the time of a step, ns: that of the replica with the most to read."""
        key = decoding, bucket, chunks
        found = self._known.get(key)
        if found is None:
            each = -(-decoding // self.replicas)
            mine = chunks if self.replicas == 1 else sorted(chunks, reverse=True)[:: self.replicas]
            mean = (decoding + sum(new for new, _ in chunks)) / self.replicas
            seconds = self.cost.seconds(each, (bucket + 0.5) * BUCKET, mine, max(mean, 1.0),
                                        self.end)  # fmt: skip
            found = self._known[key] = max(round(seconds * NS) + self.delay_ns, 1)
        return found
