"""The time of a training step on a layout, in the parts that a person can act on.

A micro-batch passes through all stages and back; then replicas add up gradients and the optimizer
runs. Collectives of tensor-parallel ranks and hand-overs between stages are waited for; those of
replicas run beside the computation as far as the plan lets them. Must not know how it is shown.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from crossgrade.predict.assumptions import assumptions
from crossgrade.predict.layouts.pieces import Piece, Pieces
from crossgrade.predict.layouts.step import ENDS, step_times
from crossgrade.predict.layouts.step import Priced as PricedKernels
from crossgrade.predict.lowering.stack import load_stack
from crossgrade.predict.memory import MemoryNeed
from crossgrade.predict.silicon.knowledge import Knowledge
from crossgrade.predict.training.exchanged import Links, Priced, time_of
from crossgrade.predict.training.memory import FP32_BYTES, accumulated, places_of, weights_share
from crossgrade.predict.training.passes import Place, TrainingPasses, shared_tokens
from crossgrade.predict.training.pipeline import pipeline_time
from crossgrade.values.chip import Chip
from crossgrade.values.layout import Layout
from crossgrade.values.training import PartName, TrainingPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingStep:
    """Time of a step."""

    low: float
    """P10, s."""
    mid: float
    """P50, s."""
    high: float
    """P90, s."""
    parts: dict[PartName, float]
    """What P50 is made of, s; without those of links that are not described."""
    unknown_links: bool
    """Whether a link that it needs is not described."""
    kernels: tuple[Counted, ...]
    """Kinds of launches of the busiest stage."""
    said: tuple[tuple[Priced, float], ...]
    """Collectives that are waited for, each with how often all of them are, per step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Launches of one kind on a rank of the busiest stage."""

    kind: PricedKernels
    """The launches of one pass."""
    times: float
    """How often that pass runs in a step, a share of blocks counting as a part."""


def compute(kernels: Iterable[PricedKernels], end: str) -> float:
    """Return the time of launches, s."""
    return sum(float((k.weights * getattr(k, end)).sum(axis=0)[0]) for k in kernels)


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedPass:
    """Some launches, once, with what tensor-parallel ranks say in them."""

    kernels: tuple[PricedKernels, ...]
    """The launches."""
    said: tuple[Priced, ...]
    """The collectives."""

    def compute(self, end: str) -> float:
        """Return the time of the launches, s."""
        return compute(self.kernels, end)

    def talk(self, end: str) -> float:
        """Return the time of the collectives, s."""
        return time_of(self.said, end)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPricer:
    """Prices the training step of one model on one chip, layout by layout."""

    passes: TrainingPasses
    """The captured step of one micro-batch."""
    need: MemoryNeed
    """Its memory on one chip."""
    chip: Chip
    """One chip."""
    stack: str
    """The stack that launches it."""
    knowledge: Knowledge
    """What is known of kernels."""

    def step(self, layout: Layout, plan: TrainingPlan) -> TrainingStep:
        """Return the time of a step.

        Args:
            layout: the degrees; its replicas share the batch of the plan evenly.
            plan: how it is run.
        """
        run = _Run(self, layout, plan)
        parts = {end: run.parts(end) for end in ENDS}
        known = {end: {name: s for name, s in found.items() if np.isfinite(s)}
                 for end, found in parts.items()}  # fmt: skip
        low, mid, high = (sum(known[end].values()) for end in ENDS)
        return TrainingStep(
            low=low, mid=mid, high=high, parts=known["mid"],
            unknown_links=len(known["mid"]) < len(parts["mid"]),
            kernels=tuple(run.counted()), said=tuple(run.waited_for()),
        )  # fmt: skip

    def priced(self, pieces: Pieces, tp: int) -> tuple[PricedKernels, ...]:
        """Return launches of one pass on one of some tensor-parallel ranks."""
        layout = Layout(chips=tp, kind="sharded", tp=tp)
        bare = _without_collectives(pieces)
        return step_times(bare, self.chip, [layout], [pieces.batch], self.stack,
                          self.knowledge).kernels  # fmt: skip

    def links(self, layout: Layout) -> Links:
        """Return what prices its collectives."""
        return Links(chip=self.chip, layout=layout, stacks=load_stack(self.stack).collectives,
                     knowledge=self.knowledge)  # fmt: skip

    @property
    def eager(self) -> bool:
        """Return whether the host launches call by call."""
        return bool(load_stack(self.stack)["graph"] == "calls")


class _Run:
    """One layout and plan."""

    def __init__(self, pricer: TrainingPricer, layout: Layout, plan: TrainingPlan) -> None:
        self._pricer, self._layout, self._plan = pricer, layout, plan
        self._links = pricer.links(layout)
        self._micro = plan.micro_batches(layout)
        self._share = float(np.ceil(pricer.passes.blocks / layout.pp)) / pricer.passes.blocks
        passes = pricer.passes
        self._forward = {place: self._pass(passes.forward[place]) for place in passes.forward}
        self._backward = {place: self._pass(passes.backward[place]) for place in passes.backward}
        self._again = self._recomputed()
        self._update = pricer.priced(_scaled(passes.update, self._updated()), 1)
        self._sums = pricer.priced(self._moved(*self._added_up()), 1)
        self._clip = pricer.priced(self._moved(*self._clipped()), 1)

    def _pass(self, pieces: Pieces) -> PricedPass:
        together = self._plan.sequence_parallel and self._layout.tp > 1
        said = tuple(self._links.summed([pieces], sequence_parallel=together))
        shown = shared_tokens(pieces) if together else pieces
        return PricedPass(kernels=self._pricer.priced(shown, self._layout.tp), said=said)

    def _recomputed(self) -> PricedPass:
        """Return what the backward pass of all blocks works out again."""
        passes = self._pricer.passes
        if self._plan.recompute == "full":
            return self._forward["blocks"]
        if self._plan.recompute == "selective" and passes.keeps_scores:
            return PricedPass(kernels=self._pricer.priced(passes.core, self._layout.tp), said=())
        return PricedPass(kernels=(), said=())

    def _updated(self) -> float:
        """Return the part of all parameters that the fullest rank updates."""
        share = self._held()
        return share if self._layout.shard == "none" else share / self._layout.dp

    def _held(self) -> float:
        """Return the part of all parameters that the fullest rank computes with."""
        return max(weights_share(self._pricer.passes, self._layout, stage)
                   for stage in (0, self._layout.pp - 1))  # fmt: skip

    def _added_up(self) -> tuple[float, float]:
        """Return bytes read and written to add a micro-batch's gradients to those before it.

        The product that makes a gradient reads the sum and writes it in place of the gradient.
        """
        need, share = self._pricer.need, self._held() / self._sharing()
        sums = accumulated(need, self._pricer.passes.optimizer) * share
        wider = sums - need.shares.gradients * share
        return (sums, wider) if self._micro > 1 or wider else (0.0, 0.0)

    def _clipped(self) -> tuple[float, float]:
        """Return bytes read and written to set gradients to zero, take their norm and scale them,
        as `torch.nn.utils.clip_grad_norm_` does."""
        sums = accumulated(self._pricer.need, self._pricer.passes.optimizer)
        sums *= self._held() / self._sharing()
        return 2 * sums, 2 * sums

    def _sharing(self) -> int:
        """Return how many replicas share out gradients."""
        return self._layout.dp if self._layout.shard in ("gradients", "full") else 1

    def _moved(self, read: float, written: float) -> Pieces:
        """Return one launch that moves so many bytes; none where it moves none."""
        update = self._pricer.passes.update
        like = next(iter(update.pieces), None)
        if like is None or not read:
            return dataclasses.replace(update, pieces={})
        elements = (read + written) / FP32_BYTES
        piece = dataclasses.replace(like, sizes=(read, written, elements, 0.0))
        return dataclasses.replace(update, pieces={piece: 1})

    # stages ---------------------------------------------------------------------------------------
    def _of(self, place: Place) -> float:
        """Return the part of a place's launches that a stage has."""
        return self._share if place == "blocks" else 1.0

    def _stage(self, stage: int, end: str) -> dict[PartName, float]:
        """Return the time of one micro-batch on one stage, by part, s."""
        found: dict[PartName, float] = defaultdict(float)
        for place in places_of(stage, self._layout):
            part = self._of(place)
            forward, backward = self._forward[place], self._backward[place]
            found["forward"] += forward.compute(end) * part
            found["backward"] += backward.compute(end) * part
            talk = forward.talk(end) + backward.talk(end)
            found["tensor-parallel collectives"] += talk * part
        found["recompute"] += self._again.compute(end) * self._share
        talk = self._again.talk(end)
        if self._plan.sequence_parallel and not self._plan.overlap:
            again = self._links.gathered_again([self._pricer.passes.backward["blocks"]])
            talk += time_of(again, end)
        found["tensor-parallel collectives"] += talk * self._share
        found["hand-over between stages"] += time_of(self._hops(), end)
        found["gradients added up"] += compute(self._sums, end)
        return found

    def _hops(self) -> list[Priced]:
        """Return what one stage hands on and is handed for one micro-batch."""
        size = self._pricer.passes.hidden_bytes
        together = self._plan.sequence_parallel
        count = 2.0 * self._plan.interleave
        return list(self._links.handed_on(size, count, sequence_parallel=together))

    def _stages(self, end: str) -> list[dict[PartName, float]]:
        """Return all stages: those between the first and the last are alike."""
        many = self._layout.pp
        first = self._stage(0, end)
        if many == 1:
            return [first]
        between = [self._stage(1, end)] * (many - 2) if many > 2 else []
        return [first, *between, self._stage(many - 1, end)]

    def parts(self, end: str) -> dict[PartName, float]:
        """Return the time of a step by part, s; they add up to it."""
        stages = self._stages(end)
        totals = [_known(stage) for stage in stages]
        slowest = stages[int(np.argmax(totals))]
        found: dict[PartName, float] = {name: seconds * self._micro
                                        for name, seconds in slowest.items()}  # fmt: skip
        whole = pipeline_time(totals, self._micro, self._plan.interleave)
        found["pipeline bubble"] = whole - self._micro * max(totals)
        found |= self._replicas(slowest, end)
        found["optimizer"] = compute((*self._update, *self._clip), end)
        if self._pricer.eager:
            found["host"] = self._host(end, _known(found))
        if self._plan.offload == "optimizer":
            found["offload"] = self._through_host()
        return {name: seconds for name, seconds in found.items() if seconds}

    def _host(self, end: str, device: float) -> float:
        """Return how much longer the host takes to launch every call than the chip to run it, s."""
        rate = assumptions()["host_launch_s"]
        each = {"low": rate.optimistic, "mid": rate.middle, "high": rate.pessimistic}[end]
        launches = sum(float(one.kind.counts.sum()) * one.times for one in self.counted())
        return max(each * launches - device, 0.0)

    # replicas -------------------------------------------------------------------------------------
    def _replicas(self, stage: dict[PartName, float], end: str) -> dict[PartName, float]:
        """Return what is waited for of the collectives of replicas, s.

        Gradients are reduced beside the backward pass of the last micro-batch, weights that were
        updated are gathered beside the forward pass of the first one, each but for the bucket of
        the last or first block. Weights that replicas share out are gathered for each pass of each
        micro-batch.
        """
        forward = stage["forward"]
        backward = stage["backward"] + stage["recompute"]
        shard = self._layout.shard
        need, passes = self._pricer.need, self._pricer.passes
        share = self._held()
        gradients = accumulated(need, passes.optimizer) * share
        updated = need.shares.trained * share
        weights = need.weights * share
        buckets = max(round(passes.blocks * self._share), 1)
        reduce = "all_reduce" if shard == "none" else "reduce_scatter"
        added = self._exposed(reduce, gradients, buckets, backward, end)
        if shard == "none":
            return {"gradients reduced": added}
        if shard != "full":
            # Shared-out sums have to be reduced in every micro-batch, whole ones once.
            times = self._micro if shard == "gradients" else 1
            gathered = self._exposed("all_gather", updated, buckets, forward, end)
            return {"gradients reduced": added * times, "weights gathered": gathered}
        return self._of_full(gradients, weights, buckets, (forward, backward), end)

    def _of_full(
        self, gradients: float, weights: float, buckets: int, beside: tuple[float, float], end: str
    ) -> dict[PartName, float]:
        """Return what is waited for where weights are shared out, in all micro-batches, s.

        Weights are gathered again beside the backward pass, which hides that and what is reduced
        together.
        """
        forward, backward = beside
        gathered = self._exposed("all_gather", weights, buckets, forward, end)
        again, added = (
            time_of(self._links.replicated(op, bytes_, buckets), end)
            for op, bytes_ in (("all_gather", weights), ("reduce_scatter", gradients))
        )
        both = again + added
        waited = both
        if self._plan.overlap:
            waited = max(both - backward, both / buckets)
        share = waited / both if both else 0.0
        return {"gradients reduced": added * share * self._micro,
                "weights gathered": (gathered + again * share) * self._micro}  # fmt: skip

    def _exposed(self, op: str, bytes_: float, buckets: int, beside: float, end: str) -> float:
        """Return how long a collective is waited for, s."""
        time = time_of(self._links.replicated(op, bytes_, buckets), end)
        if not self._plan.overlap:
            return time
        return max(time - beside, time / buckets)

    def _through_host(self) -> float:
        """Return the time in which the optimizer's state comes from the host and goes back, s."""
        link = self._pricer.chip.link("host")
        state = self._pricer.need.optimizer * self._updated()
        return float("nan") if link is None else 2 * state / link.bandwidth.value

    # kinds ----------------------------------------------------------------------------------------
    def counted(self) -> Iterable[Counted]:
        """Yield the launches of the busiest stage, each kind with how often its pass runs."""
        totals = [_known(stage) for stage in self._stages("mid")]
        for place in places_of(int(np.argmax(totals)), self._layout):
            times = self._micro * self._of(place)
            for one in (self._forward[place], self._backward[place]):
                yield from (Counted(kind=k, times=times) for k in one.kernels)
        yield from (Counted(kind=k, times=self._micro * self._share) for k in self._again.kernels)
        yield from (Counted(kind=k, times=float(self._micro)) for k in self._sums)
        yield from (Counted(kind=k, times=1.0) for k in (*self._update, *self._clip))

    def waited_for(self) -> Iterable[tuple[Priced, float]]:
        """Yield collectives of tensor-parallel ranks and hand-overs, with how often, per step."""
        for place in ("first", "blocks", "last"):
            times = self._micro * self._of(place)
            for one in (self._forward[place], self._backward[place]):
                yield from ((said, times) for said in one.said)
        yield from ((said, self._micro * self._share) for said in self._again.said)
        yield from ((said, float(self._micro)) for said in self._hops())


def _known(stage: dict[PartName, float]) -> float:
    """Return the time of a stage as far as its links are described, s."""
    return sum(seconds for seconds in stage.values() if np.isfinite(seconds))


def _without_collectives(pieces: Pieces) -> Pieces:
    return dataclasses.replace(pieces, sums={}, hidden_bytes=0.0, host_reads=0)


def _scaled(pieces: Pieces, share: float) -> Pieces:
    """Return launches over a share of what they go through."""
    found: dict[Piece, int] = defaultdict(int)
    for piece, count in pieces.pieces.items():
        sizes = tuple(size * share for size in piece.sizes)
        found[dataclasses.replace(piece, sizes=sizes)] += count
    return dataclasses.replace(pieces, pieces=dict(found))
