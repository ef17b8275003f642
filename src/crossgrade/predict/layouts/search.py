"""All layouts and batches of a model on N chips, and which of them meet the aims.

A service at a steady load: a batch of sequences is open on every instance; each step gives all of
them a token or, with drafts, some, and now and then a new prompt is read between, for everyone that
ends. Prompts of a replica are read one at a time, so a token takes one decode step and its share of
a prompt, and the first token of a request the step in progress and its own prompt. What a queue
adds is the serving loop's to say. Must not know how the answer is shown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from crossgrade.predict.layouts.divided import Floats
from crossgrade.predict.layouts.faults import batch_faults, layout_faults
from crossgrade.predict.layouts.pieces import Pieces
from crossgrade.predict.layouts.step import StepTimes, rank_memory, step_times
from crossgrade.predict.silicon.knowledge import Knowledge
from crossgrade.units import bytes_, seconds
from crossgrade.values.assessment import Tier
from crossgrade.values.chip import Chip
from crossgrade.values.evidence import Band
from crossgrade.values.layout import Layout
from crossgrade.values.layout_search import Rejected, ServicePoint

NO_LINK = "no described link joins so many chips"
MOST_BATCH = 1 << 13
"""Sequences of one instance, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What is searched for."""

    decode: Pieces
    """A decode step at the mean context."""
    last: Pieces
    """A decode step at the longest context, for the memory that it needs."""
    prefill: Pieces
    """A step that reads one prompt, or the first part of one that is too long for a step."""
    prefill_last: Pieces
    """The step that reads the last part, which attends to all before it; the same for one part."""
    parts: float
    """Such steps per prompt; the mean of first and last is taken for each."""
    chip: Chip
    """One chip."""
    chips: int
    """How many there are."""
    stack: str
    """The stack."""
    knowledge: Knowledge
    """What is known of kernels."""
    output: int
    """Tokens of a request."""
    pace: float = 1.0
    """Tokens that a sequence gets per decode step: one, and the drafts that are right."""
    usable: float
    """Bytes of a chip that the service may take."""
    ttft_s: float | None
    """Aim at P50; None: any."""
    tpot_s: float | None
    """Aim at P50; None: any."""
    price_per_hour: float | None
    """Of one chip, in the user's currency."""
    two_batch: bool = False
    """Whether the sequences of a rank are worked on as two batches in turn."""
    redundant: int = 0
    """Copies of routed experts beside the first of each, where ranks share them out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The answer."""

    considered: int
    """Layouts and batches that were priced."""
    points: tuple[ServicePoint, ...]
    """All that meet the aims."""
    rejected: tuple[Rejected, ...]
    """Layouts of which no batch does."""


def layouts_of(
    chips: int, *, routed: bool, redundant: int = 0, two_batch: bool = False
) -> Iterator[Layout]:
    """Yield every layout of an instance whose copies fill the chips, small ones first.

    Args:
        chips: of all instances.
        routed: whether the model has routed experts.
        redundant: copies of them, where ranks share them out.
        two_batch: whether all have two batches in turn.
    """
    for size in _divisors(chips):
        for tp in _divisors(size):
            for pp in _divisors(size // tp):
                dp = size // tp // pp
                for ep in _divisors(tp * dp) if routed else (1,):
                    yield Layout(chips=size, kind="sharded", tp=tp, pp=pp, dp=dp, ep=ep,
                                 redundant=redundant if ep > 1 else 0,
                                 two_batch=two_batch)  # fmt: skip


def _divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]


def batches_of(layout: Layout) -> list[int]:
    """Return the batches of an instance that are priced: powers of two per replica and stage."""
    least = layout.dp * layout.pp
    found: list[int] = []
    while least <= MOST_BATCH or not found:
        found.append(least)
        least *= 2
    return found


def search(service: Service) -> Found:
    """Return the points that meet the aims, and why each other layout has none."""
    rejected: list[Rejected] = []
    combos: list[tuple[Layout, int]] = []
    routed = service.decode.routed is not None
    every = layouts_of(service.chips, routed=routed, redundant=service.redundant,
                       two_batch=service.two_batch)  # fmt: skip
    for layout in every:
        fault = next(layout_faults(service.decode, layout), None)
        if fault is not None:
            rejected.append(Rejected(layout=layout, reason=fault))
            continue
        combos += [(layout, batch) for batch in batches_of(layout)
                   if next(batch_faults(layout, batch), None) is None]  # fmt: skip
    if not combos:
        return Found(considered=0, points=(), rejected=tuple(rejected))
    priced = _Priced.of(service, combos)
    points: list[ServicePoint] = []
    by_layout: dict[Layout, list[int]] = defaultdict(list)
    for i, (layout, _) in enumerate(combos):
        by_layout[layout].append(i)
    for layout, indices in by_layout.items():
        met = [i for i in indices if priced.reason(i) is None]
        points += [priced.point(i) for i in met]
        if not met:
            rejected.append(Rejected(layout=layout, reason=priced.why(indices)))
    return Found(considered=len(combos), points=tuple(points), rejected=tuple(rejected))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Priced:
    """All combinations with their figures; arrays of shape [combinations]."""

    service: Service
    combos: Sequence[tuple[Layout, int]]
    decode: StepTimes
    prefill: StepTimes
    memory: Floats
    """Bytes of the fullest rank."""
    weights: Floats
    """Of these, weights."""
    tpot: dict[str, Floats]
    """End of the band -> s."""
    ttft: dict[str, Floats]
    """End of the band -> s."""

    @classmethod
    def of(cls, service: Service, combos: Sequence[tuple[Layout, int]]) -> _Priced:
        layouts = [layout for layout, _ in combos]
        batches = np.array([batch for _, batch in combos], dtype=np.float64)
        one_each = np.array([x.dp * x.pp for x in layouts], dtype=np.float64)
        times = [
            step_times(pieces, service.chip, layouts, some, service.stack, service.knowledge)
            for pieces, some in ((service.decode, batches), (service.prefill, one_each),
                                 (service.prefill_last, one_each))
        ]  # fmt: skip
        decode, prefill, last = times
        memory = rank_memory(service.last, layouts, batches)
        reading = rank_memory(service.prefill, layouts, one_each).activations
        replicas, stages = (np.array([getattr(x, n) for x in layouts]) for n in ("dp", "pp"))
        others = np.maximum(batches / replicas - 1, 0)
        tpot, ttft = {}, {}
        for end in ("low", "mid", "high"):
            read = (getattr(prefill, end) + getattr(last, end)) / 2 * service.parts
            step = getattr(decode, end)
            tpot[end] = step / service.pace + others / service.output * read / stages
            ttft[end] = step + read
        activations = np.maximum(memory.activations, reading)
        return cls(
            service=service, combos=combos, decode=decode, prefill=prefill,
            memory=memory.weights + memory.cache + activations, weights=memory.weights,
            tpot=tpot, ttft=ttft,
        )  # fmt: skip

    def reason(self, i: int) -> str | None:
        """Return the first thing that is in the way of a combination; None: nothing."""
        s = self.service
        if self.memory[i] > s.usable:
            return f"a rank needs {bytes_(self.memory[i])} of {bytes_(s.usable)}"
        if np.isnan(self.decode.network.mid[i]):
            return NO_LINK
        if s.tpot_s is not None and self.tpot["mid"][i] > s.tpot_s:
            return f"TPOT {seconds(self.tpot['mid'][i])}"
        if s.ttft_s is not None and self.ttft["mid"][i] > s.ttft_s:
            return f"TTFT {seconds(self.ttft['mid'][i])}"
        return None

    def why(self, indices: Sequence[int]) -> str:
        """Return why no batch of a layout will do: what is in the way of the one that comes
        farthest, the smallest of them."""
        s, first = self.service, min(indices, key=lambda i: self.combos[i][1])
        if self.weights[first] > s.usable:
            return f"weights of {bytes_(self.weights[first])} in {bytes_(s.usable)}"
        reasons = {i: self.reason(i) for i in indices}
        fits = [i for i in indices if not (reasons[i] or "").startswith("a rank needs")]
        if not fits:
            return f"{reasons[first]} at batch {self.combos[first][1]}"
        if all(reasons[i] == NO_LINK for i in fits):
            return NO_LINK
        best = min(fits, key=lambda i: np.nan_to_num(self.tpot["mid"][i], nan=np.inf))
        return f"{reasons[best]} at best, at batch {self.combos[best][1]}"

    def point(self, i: int) -> ServicePoint:
        """Return the figures of a combination."""
        s, (layout, batch) = self.service, self.combos[i]
        instances = s.chips // layout.chips
        mid, first = float(self.tpot["mid"][i]), float(self.ttft["mid"][i])
        rate = batch * s.output / (first + (s.output - 1) * mid) * instances
        price = None if s.price_per_hour is None else rate / (s.price_per_hour * s.chips / 3600)
        return ServicePoint(
            layout=layout, instances=instances, batch=batch,
            tpot_s=self._band(self.tpot, i), tpot_mid_s=mid,
            ttft_s=self._band(self.ttft, i), ttft_mid_s=first,
            tokens_per_s=rate, tokens_per_s_per_chip=rate / s.chips, tokens_per_price=price,
            rank_bytes=float(self.memory[i]), tiers=self._tiers(i),
        )  # fmt: skip

    def _band(self, times: dict[str, Floats], i: int) -> Band:
        return Band(low=float(times["low"][i]), high=float(times["high"][i]), low_name="P10",
                    high_name="P90", unit="s", kind="predicted")  # fmt: skip

    def _tiers(self, i: int) -> dict[Tier, float]:
        shares: dict[Tier, float] = defaultdict(float)
        for one in self.decode.kernels:
            main = max(one.found, key=lambda found: len(found.mid))
            shares[main.tier] += float(one.weights[:, i] @ one.mid[:, i])
        total = sum(shares.values()) or 1.0
        return {tier: shares[tier] / total for tier in sorted(shares)}


def front_of(points: Sequence[ServicePoint]) -> tuple[ServicePoint, ...]:
    """Return the points that no other one beats in both TPOT and tokens per chip.

    The fastest tokens come first; of equal ones the layout with fewer chips per instance.
    """
    ordered = sorted(points, key=lambda p: (p.tpot_mid_s, -p.tokens_per_s_per_chip,
                                            p.layout.chips))  # fmt: skip
    found: list[ServicePoint] = []
    for point in ordered:
        if not found or point.tokens_per_s_per_chip > found[-1].tokens_per_s_per_chip:
            found.append(point)
    return tuple(found)


def best_of(points: Sequence[ServicePoint]) -> tuple[ServicePoint, ...]:
    """Return the point with the most tokens per chip of every layout, the most first."""
    best: dict[Layout, ServicePoint] = {}
    for point in points:
        kept = best.get(point.layout)
        if kept is None or point.tokens_per_s_per_chip > kept.tokens_per_s_per_chip:
            best[point.layout] = point
    return tuple(sorted(best.values(), key=lambda p: -p.tokens_per_s_per_chip))
