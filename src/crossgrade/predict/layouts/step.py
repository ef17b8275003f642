"""The time of one step on the ranks of layouts, and the memory of the fullest rank.

Many layouts and batches are priced at once. Errors of one kind of kernel are taken to go together,
so P10 of a step is the sum of P10s. Must not know how a layout was chosen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crossgrade.predict.assumptions import assumptions
from crossgrade.predict.layouts.divided import Floats, Shares, divided, shares_of, stored
from crossgrade.predict.layouts.exchanged import Exchanges, exchanges
from crossgrade.predict.layouts.pieces import Piece, Pieces
from crossgrade.predict.lowering.stack import Stack, load_stack
from crossgrade.predict.lowering.stacks import distinct_rows
from crossgrade.predict.silicon.estimate import Estimate, estimates
from crossgrade.predict.silicon.facts import narrows
from crossgrade.predict.silicon.knowledge import Knowledge
from crossgrade.predict.stack_time import format_on
from crossgrade.values.chip import Chip
from crossgrade.values.kernel import SIZES, Family, KernelRows
from crossgrade.values.layout import Layout

ENDS = ("low", "mid", "high")
"""P10, P50, P90."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTimes:
    """Times of one step; each array of shape [combinations], s."""

    low: Floats
    """P10."""
    mid: Floats
    """P50."""
    high: Floats
    """P90."""
    network: Exchanges
    """Collectives, which are in the times."""
    host: Floats
    """Part of P50 in which the device waits for the host."""
    kernels: tuple[Priced, ...]
    """Every kind of launch with its times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """Launches of one kind in all combinations; arrays of shape [distinct launches, combinations]
    s, where nothing else is said."""

    rows: KernelRows
    """Sizes on one rank, flattened."""
    pieces: tuple[Piece, ...]
    """The distinct launches."""
    counts: Floats
    """How often each is launched, shape [distinct launches]."""
    weights: Floats
    """How often a token waits for each: as often, or more where stages are of unlike lengths."""
    low: Floats
    """P10 of one launch."""
    mid: Floats
    """P50."""
    high: Floats
    """P90."""
    found: tuple[Estimate, ...]
    """What the times rest on."""


def step_times(
    pieces: Pieces,
    chip: Chip,
    layouts: Sequence[Layout],
    batches: Sequence[float] | Floats,
    stack: str,
    knowledge: Knowledge,
) -> StepTimes:
    """Return the time of a step of each layout at its batch.

    A token passes through all pipeline stages, each of which works on its part of the batch and
    waits for the slowest one: the time is that of the fullest stage as often as there are stages,
    embedding and head once. Nothing overlaps, but where a layout has two batches in turn and a rank
    two sequences: then the longer of kernels and collectives counts, each at half the batch.

    Args:
        pieces: the captured step.
        chip: one chip.
        layouts: one per combination.
        batches: sequences over all chips of the layout, one per combination.
        stack: the stack that launches it.
        knowledge: what is known of kernels.
    """
    shares = shares_of(layouts, batches, pieces.batch, pieces.blocks, reads=pieces.reads)
    chosen = load_stack(stack)
    kernels = tuple(_priced(pieces, shares, chip, chosen, knowledge))
    said = exchanges(pieces, shares, chip, chosen.collectives, knowledge)
    rate = assumptions()["host_sync_s"]
    reads = np.full(len(shares), float(pieces.host_reads))
    ends = reads * rate.optimistic, reads * rate.pessimistic
    total = {
        name: sum(
            ((p.weights * getattr(p, name)).sum(axis=0) for p in kernels), np.zeros(len(shares))
        )
        for name in ENDS
    }
    host = (ends[0] + ends[1]) / 2
    whole = {
        name: np.where(shares.turns > 1, np.maximum(time, getattr(said, name)),
                       time + getattr(said, name))
        for name, time in total.items()
    }  # fmt: skip
    return StepTimes(
        low=whole["low"] + ends[0], mid=whole["mid"] + host, high=whole["high"] + ends[1],
        network=said, host=host, kernels=kernels,
    )  # fmt: skip


def _priced(
    pieces: Pieces, shares: Shares, chip: Chip, stack: Stack, knowledge: Knowledge
) -> list[Priced]:
    """Return every kind of launch with its times in all combinations."""
    kinds: dict[tuple[Family, str, str], list[Piece]] = defaultdict(list)
    for piece in pieces.pieces:
        format = format_on(chip, piece.format, stack)
        if piece.family != "quantise" or narrows(chip, format):
            kinds[piece.family, piece.op, format].append(piece)
    result = []
    for (family, op, format), same in kinds.items():
        columns = [divided(piece, shares) for piece in same]
        sizes = {name: np.concatenate([c[name] for c in columns]) for name in SIZES[family]}
        rows = KernelRows(family=family, op=op, format=format, stack=stack.name, sizes=sizes)
        shape = (len(same), len(shares))
        low, mid, high = (np.zeros(len(rows)) for _ in range(3))
        found = []
        for at, one in _estimated(rows, chip, knowledge):
            low[at], mid[at], high[at] = one.low, one.mid, one.high
            found.append(one)
        counts = np.array([pieces.pieces[piece] for piece in same], dtype=np.float64)
        stretch = np.array([shares.stretch if p.repeated else shares.turns for p in same])
        result.append(
            Priced(
                rows=rows,
                pieces=tuple(same),
                counts=counts,
                weights=counts[:, None] * stretch,
                low=low.reshape(shape),
                mid=mid.reshape(shape),
                high=high.reshape(shape),
                found=tuple(found),
            )
        )
    return result


def _estimated(
    rows: KernelRows, chip: Chip, knowledge: Knowledge
) -> list[tuple[np.ndarray, Estimate]]:
    """Return estimates of rows, each distinct one priced once."""
    distinct, inverse = distinct_rows(rows)
    result = []
    for at, one in estimates(distinct, chip, knowledge, replayed=True):
        place = np.full(len(distinct), -1)
        place[at] = np.arange(len(at))
        where = place[inverse]
        mine = np.flatnonzero(where >= 0)
        spread = where[mine]
        result.append((mine, Estimate(low=one.low[spread], mid=one.mid[spread],
                                      high=one.high[spread], terms=one.terms, tier=one.tier,
                                      basis=one.basis)))  # fmt: skip
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class RankMemory:
    """Bytes on the fullest rank; each array of shape [combinations]."""

    weights: Floats
    """Parameters and buffers."""
    cache: Floats
    """Cache of all sequences that are in work on it."""
    activations: Floats
    """What else is alive at once, not divided: an upper bound."""

    @property
    def total(self) -> Floats:
        """Return all of it."""
        return self.weights + self.cache + self.activations


def rank_memory(
    pieces: Pieces, layouts: Sequence[Layout], batches: Sequence[float] | Floats
) -> RankMemory:
    """Return what the fullest rank of each layout holds.

    Args:
        pieces: the captured step; its cache is that of its end.
        layouts: one per combination.
        batches: sequences over all chips of the layout, one per combination.
    """
    shares = shares_of(layouts, batches, pieces.batch, pieces.blocks, reads=pieces.reads)
    resident = np.maximum(np.ceil(np.array(batches, dtype=np.float64) / shares.dp), 1.0)
    return RankMemory(
        weights=stored(pieces.weights, shares, pieces.routed.experts if pieces.routed else 1),
        cache=stored(pieces.cache, shares) * resident / pieces.batch / shares.cp,
        activations=pieces.activations * shares.rows * shares.turns,
    )
