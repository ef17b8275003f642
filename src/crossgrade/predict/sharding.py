"""Data-parallel training whose chips share out what they would each keep a copy of.

ZeRO (Rajbhandari et al., 2020, arXiv 1910.02054): the optimizer state, then gradients, then weights
are divided over N chips; activations are not, because every chip works on sequences of its own.
Must not know vendors, nor how an answer is shown.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from crossgrade.predict.assumptions import End, assumptions
from crossgrade.predict.exchange import domain, timed
from crossgrade.predict.memory import MemoryNeed, TrainingShares
from crossgrade.predict.price import KernelColumns
from crossgrade.values.breakdown import Exchange
from crossgrade.values.capture import STAGES, Capture
from crossgrade.values.chip import Chip
from crossgrade.values.layout import Shard


def state_per_chip(
    *, weights: float, gradients: float, optimizer: float, chips: int, shard: Shard
) -> float:
    """Return bytes of weights, gradients and optimizer state on one of N chips.

    ZeRO, section 5 and figure 1, in bytes instead of parameters: W + G + O / N with the optimizer
    state shared out, W + (G + O) / N with gradients too, (W + G + O) / N with weights too.
    """
    if shard == "none":
        return weights + gradients + optimizer
    if shard == "optimizer":
        return weights + gradients + optimizer / chips
    if shard == "gradients":
        return weights + (gradients + optimizer) / chips
    return (weights + gradients + optimizer) / chips


def peak_per_chip(memory: MemoryNeed, shard: Shard, chips: int, *, eager: bool = False) -> float:
    """Return the most that one of N chips holds at once, bytes.

    One replica's peak, less what the other chips hold of it. Where weights are shared out, the
    largest block is there in full while it is computed. Where gradients are, they count with the
    most that is alive beside them, which may be at another moment.
    """
    peak = memory.peak_eager if eager else memory.peak_fused
    if chips == 1 or shard == "none":
        return peak
    if shard == "optimizer":
        return peak - memory.optimizer + memory.optimizer / chips
    s = memory.shares
    state = state_per_chip(
        weights=memory.weights,
        gradients=s.gradients,
        optimizer=memory.optimizer,
        chips=chips,
        shard=shard,
    )
    gathered = s.block if shard == "full" else 0.0
    return min(peak, state + gathered + (s.rest_eager if eager else s.rest_fused))


def least_sharded(
    memory: MemoryNeed, shard: Shard, usable: float, *, eager: bool = False
) -> int | None:
    """Return how many chips hold the step at least; None where no number does.

    What divides falls as 1/N and the rest stays, so the number follows from both.
    """
    if peak_per_chip(memory, shard, 1, eager=eager) <= usable:
        return 1
    huge = 1 << 40
    stays = peak_per_chip(memory, shard, huge, eager=eager)
    if stays >= usable:
        return None
    divides = (peak_per_chip(memory, shard, 2, eager=eager) - stays) * 2
    chips = max(2, math.ceil(divides / (usable - stays)))
    while peak_per_chip(memory, shard, chips, eager=eager) > usable:
        chips += 1
    return chips


def exchanged_bytes(shares: TrainingShares, weights: float, shard: Shard) -> tuple[float, int]:
    """Return what every chip passes on per step, bytes, and in how many collectives.

    ZeRO, section 7: without sharding gradients are all-reduced, 2 G. With the optimizer state or
    gradients shared out they are reduce-scattered, G, and the updated weights gathered, T. With
    weights shared out, all of them are gathered for the forward pass and again for the backward
    pass, 2 W, block by block, and gradients reduce-scattered, G. Each collective over N chips moves
    (N-1)/N of that through a chip's link; the factor is applied by `sharded_exchange`.
    """
    if shard == "none":
        return 2 * shares.gradients, 1
    if shard == "full":
        return 2 * weights + shares.gradients, 3 * shares.blocks
    return shares.gradients + shares.trained, 2


def sharded_exchange(
    chip: Chip, memory: MemoryNeed, shard: Shard, chips: int, end: End,
    changes: Mapping[str, float] = MappingProxyType({}),
) -> Exchange | None:  # fmt: skip
    """Return a lower bound of the collectives per step; None on one chip or without a known link.

    Of V bytes, (m-1)/m pass through the link of a scale-up domain of m chips, and the share of one
    of its chips, V/m, through the link between d domains, (d-1)/d of it. Both at the same time.
    `changes` are assumed rates in place of the shipped ones.
    """
    if chips == 1:
        return None
    members = domain(chip, chips)
    domains = -(-chips // members)
    volume, rounds = exchanged_bytes(memory.shares, memory.weights, shard)
    return timed(
        chip,
        {name: row.at(end) for name, row in assumptions().items()} | dict(changes),
        kind=f"collectives of `--shard {shard}`",
        rounds=rounds,
        inside=volume * (members - 1) / members,
        outside=volume / members * (domains - 1) / domains,
        at_once=True,
    )


def columns_per_chip(
    columns: KernelColumns, calls: tuple[int, ...], capture: Capture, shard: Shard, chips: int
) -> KernelColumns:
    """Return kernels as one of N chips runs them: each updates its share of the parameters.

    Args:
        columns: kernels of one replica.
        calls: the first call of each kernel.
        capture: where they come from.
        shard: what is shared out.
        chips: how many chips share.
    """
    if shard == "none" or chips == 1 or not calls:
        return columns
    stages = capture.columns["call_stage"][np.array(calls)]
    share = np.where(stages == STAGES.index("optimizer"), 1.0 / chips, 1.0)
    return dataclasses.replace(
        columns,
        work=columns.work * share,
        vector_ops=columns.vector_ops * share,
        bytes=columns.bytes * share,
    )
