"""Bytes on the ranks of a training layout: parameters with their state, and kept activations.

Weights, gradients and optimizer state are divided as the launches that read a weight; kept
activations as the launches that write them, as many times as micro-batches are under way. Must not
know chips.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crossgrade.predict.layouts.divided import kept, shares_of, stored
from crossgrade.predict.layouts.pieces import Stored
from crossgrade.predict.memory import MemoryNeed
from crossgrade.predict.training.passes import Kept, Place, TrainingPasses
from crossgrade.predict.training.pipeline import in_flight
from crossgrade.values.layout import Layout
from crossgrade.values.training import TrainingPlan
from crossgrade.values.workload import Optimizer


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingMemory:
    """Bytes on one rank."""

    weights: float
    """Parameters and buffers, and a gathered block where they are shared out."""
    gradients: float
    """Their gradients."""
    optimizer: float
    """State of the optimizer, where it is not in the memory of the host."""
    activations: float
    """Kept for the backward pass, of all micro-batches under way."""

    @property
    def total(self) -> float:
        """Return all of it."""
        return self.weights + self.gradients + self.optimizer + self.activations


def held(passes: TrainingPasses, layout: Layout, place: Place) -> float:
    """Return bytes of the weights of a place on one rank, before replicas share them out."""
    pieces = passes.forward[place]
    # Replicas have experts of their own: in training they are not shared out among them.
    alone = one_replica(layout)
    shares = shares_of([alone], [pieces.batch * layout.pp], pieces.batch, passes.blocks)
    rows = [row for row in pieces.weights if place != "blocks" or row.repeated]
    return float(stored(rows, shares)[0])


def one_replica(layout: Layout) -> Layout:
    """Return the layout of one replica."""
    return Layout(chips=layout.tp * layout.pp, kind="sharded", tp=layout.tp, pp=layout.pp)


def places_of(stage: int, layout: Layout) -> tuple[Place, ...]:
    """Return what a stage has: blocks, before them the embedding, behind them the head."""
    first: tuple[Place, ...] = ("first",) if stage == 0 else ()
    last: tuple[Place, ...] = ("last",) if stage == layout.pp - 1 else ()
    return (*first, "blocks", *last)


def weights_share(passes: TrainingPasses, layout: Layout, stage: int) -> float:
    """Return the part of all weights that one rank of a stage computes with."""
    everything = _bytes(passes, Layout(chips=1, kind="sharded"), 0)
    return _bytes(passes, layout, stage) / everything if everything else 0.0


def _bytes(passes: TrainingPasses, layout: Layout, stage: int) -> float:
    """Return bytes of the weights of a stage on one rank; tied ones on one stage count once."""
    total = sum(held(passes, layout, place) for place in places_of(stage, layout))
    if layout.pp == 1:
        total -= sum(row.bytes * float(kept(row.degrees, np.array([float(layout.tp)]))[0])
                     for row in passes.tied)  # fmt: skip
    return total


def training_memory(
    passes: TrainingPasses, need: MemoryNeed, layout: Layout, plan: TrainingPlan
) -> TrainingMemory:
    """Return what the fullest rank of a layout holds.

    Args:
        passes: the captured step.
        need: what the captured step needs on one chip.
        layout: the degrees.
        plan: how it is run.
    """
    ends = {0, layout.pp - 1}
    found = [_on_stage(passes, need, layout, plan, stage) for stage in sorted(ends)]
    return max(found, key=lambda memory: memory.total)


def _on_stage(
    passes: TrainingPasses, need: MemoryNeed, layout: Layout, plan: TrainingPlan, stage: int
) -> TrainingMemory:
    share = weights_share(passes, layout, stage)
    shared = {name: layout.dp if layout.shard in which else 1 for name, which in _SHARED.items()}
    weights = need.weights * share / shared["weights"]
    if layout.shard == "full" and layout.dp > 1:
        weights += need.shares.block / layout.tp
    optimizer = need.optimizer * share / shared["optimizer"]
    return TrainingMemory(
        weights=weights,
        gradients=accumulated(need, passes.optimizer) * share / shared["gradients"],
        optimizer=0.0 if plan.offload == "optimizer" else optimizer,
        activations=_activations(passes, layout, plan, stage),
    )


def accumulated(need: MemoryNeed, optimizer: Optimizer) -> float:
    """Return bytes of the sums of gradients over micro-batches, of all parameters.

    In the format of the weights, or in fp32 where the optimizer keeps fp32 master weights, as
    Megatron-LM does (`accumulate_allreduce_grads_in_fp32`).
    """
    if optimizer != "adamw-fp32" or not need.weights_as_computed:
        return need.shares.gradients
    elements = need.parameters * need.shares.gradients / need.weights_as_computed
    return max(FP32_BYTES * elements, need.shares.gradients)


FP32_BYTES = 4.0
"""Bytes of an element of fp32."""
_SHARED = {
    "weights": ("full",), "gradients": ("gradients", "full"),
    "optimizer": ("optimizer", "gradients", "full"),
}  # fmt: skip
"""What of a replica's state replicas share out, under which `shard`."""


def _activations(passes: TrainingPasses, layout: Layout, plan: TrainingPlan, stage: int) -> float:
    """Return bytes that the backward pass will read, kept on one rank of a stage."""
    under_way = in_flight(stage, layout.pp, plan.micro_batches(layout), plan.interleave)
    share = float(np.ceil(passes.blocks / layout.pp)) / passes.blocks
    total = 0.0
    for place in places_of(stage, layout):
        part = share if place == "blocks" else 1.0
        if place == "blocks" and plan.recompute == "full":
            inputs = passes.hidden_bytes * passes.blocks
            inputs /= layout.tp if plan.sequence_parallel else 1
            one = _divided(passes.kept[place], layout, plan) / passes.blocks
            total += inputs * part * under_way + one
        else:
            # What is behind the blocks is used at once.
            times = 1.0 if place == "last" else under_way
            total += _divided(passes.kept[place], layout, plan) * part * times
    return total


def _divided(found: Kept, layout: Layout, plan: TrainingPlan) -> float:
    """Return kept bytes of one micro-batch on one rank, over all blocks."""
    rows: tuple[Stored, ...] = found.rest
    if plan.recompute != "selective":
        rows = (*rows, *found.core)
    ranks = np.array([float(layout.tp)])
    total = 0.0
    for row in rows:
        part = float(kept(row.degrees, ranks)[0])
        if plan.sequence_parallel and row.degrees[0][0] == 1:
            part = 1 / layout.tp
        total += row.bytes * part
    return total
