"""What the ranks of a layout say to each other in one step, and how long that takes.

Collectives are kernels: the models of `silicon` price them by ranks and bytes. Must not know
stacks by name, nor how a step was captured.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from crossgrade.predict.layouts.divided import Floats, Shares
from crossgrade.predict.layouts.pieces import ATTENTION, Pieces, Routed, Sum
from crossgrade.predict.silicon.estimate import Estimate, estimate
from crossgrade.predict.silicon.facts import BYTES
from crossgrade.predict.silicon.knowledge import Knowledge
from crossgrade.values.chip import Chip
from crossgrade.values.kernel import KernelRows


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One kind of collective in one step; arrays of shape [combinations]."""

    op: str
    """Operation, as the collective model names it."""
    ranks: Floats
    """Ranks that take part; 1: nothing is said."""
    bytes: Floats
    """Larger buffer of one rank, bytes, as the model takes it."""
    count: Floats
    """How often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchanges:
    """Collectives of one step with their times; arrays of shape [combinations], s."""

    low: Floats
    """P10 of all of them together."""
    mid: Floats
    """P50."""
    high: Floats
    """P90."""
    said: tuple[tuple[Said, Estimate], ...]
    """Each kind with the time of one."""


def exchanges(
    pieces: Pieces, shares: Shares, chip: Chip, stacks: tuple[str, ...], knowledge: Knowledge
) -> Exchanges:
    """Return the collectives of a step.

    Args:
        pieces: the step.
        shares: layouts and batches.
        chip: one chip; ranks are placed on its links from the innermost level outwards.
        stacks: whose collectives may be called; the fastest of them counts.
        knowledge: what is known of their times.
    """
    said = []
    for one in _all(pieces, shares):
        found = price(one, chip, stacks, knowledge)
        said.append((one, found))
    zero = np.zeros(len(shares))
    low, mid, high = (
        sum((one.count * getattr(found, name) for one, found in said), zero)
        for name in ("low", "mid", "high")
    )
    return Exchanges(low=low, mid=mid, high=high, said=tuple(said))


def price(said: Said, chip: Chip, stacks: tuple[str, ...], knowledge: Knowledge) -> Estimate:
    """Return the time of one collective of a kind, 0 where no other rank takes part."""
    rows = [
        KernelRows(family="collective", op=said.op, format="bf16", stack=stack,
                   sizes={"ranks": np.maximum(said.ranks, 2.0),
                          "bytes": np.maximum(said.bytes, 1.0)})
        for stack in stacks
        if said.op == "all_reduce" or stack in ("nccl", "hccl")
    ]  # fmt: skip
    found = [estimate(one, chip, knowledge) for one in rows]
    best = found[0]
    for other in found[1:]:
        best = _faster(best, other)
    talks = said.ranks > 1
    return Estimate(
        low=np.where(talks, best.low, 0.0), mid=np.where(talks, best.mid, 0.0),
        high=np.where(talks, best.high, 0.0), terms=best.terms, tier=best.tier, basis=best.basis,
    )  # fmt: skip


def _faster(one: Estimate, other: Estimate) -> Estimate:
    """Return for each row the estimate whose P50 is smaller; tier and basis of the first."""
    first = one.mid <= other.mid
    return Estimate(
        low=np.where(first, one.low, other.low), mid=np.where(first, one.mid, other.mid),
        high=np.where(first, one.high, other.high), terms=one.terms, tier=one.tier,
        basis=one.basis if first.all() else f"{one.basis}; {other.basis}",
    )  # fmt: skip


def _all(pieces: Pieces, shares: Shares) -> list[Said]:
    """Return every collective of a step."""
    found: list[Said] = []
    for one, count in pieces.sums.items():
        many = float(count) * (shares.stretch if one.repeated else shares.turns)
        size = one.bytes * shares.rows
        found += _sum(one, size, many, shares, pieces.routed)
    if (shares.cp > 1).any():
        found += _of_context(pieces, shares)
    if pieces.hidden_bytes:
        # The last stage hands the chosen tokens to the first one; a hop leaves a stage's ranks.
        ranks = np.where(shares.pp > 1, 2 * shares.tp * shares.dp * shares.cp, 1.0)
        found.append(Said(op="send_recv", ranks=ranks,
                          bytes=pieces.hidden_bytes * shares.rows,
                          count=shares.pp * shares.turns))  # fmt: skip
    merged: dict[tuple[str, bytes, bytes], list[Said]] = defaultdict(list)
    for said in found:
        merged[said.op, said.ranks.tobytes(), said.bytes.tobytes()].append(said)
    return [Said(op=g[0].op, ranks=g[0].ranks, bytes=g[0].bytes,
                 count=np.sum([s.count for s in g], axis=0)) for g in merged.values()]  # fmt: skip


def _of_context(pieces: Pieces, shares: Shares) -> list[Said]:
    """Return what ranks that share out sequences tell each other for attention.

    Where prompts are read, each has the keys and values, or latents, of all in the end. Where a
    step decodes, each has a part of the sums over keys, which are added up in fp32.
    """
    found = []
    for piece, many in pieces.pieces.items():
        if piece.family not in ATTENTION:
            continue
        count = many * (shares.stretch if piece.repeated else shares.turns)
        batch = piece.size("batch") * shares.factor
        heads = np.ceil(piece.size("heads") / shares.tp)
        latent = piece.family == "latent-attention"
        if shares.reads:
            wide = piece.size("rank") + piece.size("rope") if latent else (
                np.ceil(piece.size("kv_heads") / np.minimum(shares.tp, piece.size("kv_heads")))
                * (piece.size("qk_size") + piece.size("v_size")))  # fmt: skip
            size = batch * piece.size("keys") * wide * BYTES.get(piece.format, 2.0)
            found.append(Said(op="all_gather", ranks=shares.cp, bytes=size, count=count))
        else:
            sums = piece.size("rank") if latent else piece.size("v_size")
            size = batch * heads * piece.size("queries") * (sums + 1) * 4.0
            found.append(Said(op="all_reduce", ranks=shares.cp, bytes=size, count=count))
    return found


def _sum(
    one: Sum, size: Floats, count: Floats, shares: Shares, routed: Routed | None
) -> list[Said]:
    """Return the collectives of one place where ranks add up or collect."""
    if "gather" in one.kinds:
        return [Said(op="all_gather", ranks=shares.tp, bytes=size, count=count)]
    found = []
    # One replica: partial sums of experts and of dense layers are added in one all-reduce.
    alone = shares.dp * shares.cp <= 1
    dense = np.where(alone | ("rows" in one.kinds), shares.tp, 1.0)
    found.append(Said(op="all_reduce", ranks=dense, bytes=size, count=count))
    if "experts" in one.kinds and routed is not None and not alone.all():
        found += _dispatched(size, np.where(alone, 0.0, count), shares, routed)
    return found


def _dispatched(size: Floats, count: Floats, shares: Shares, routed: Routed) -> list[Said]:
    """Return how tokens of several replicas reach experts and come back.

    Each tensor-parallel rank of a replica takes its part of the tokens and sends each of them to
    the ranks that have one of its experts, E (1 - (1 - 1/E)^k) of E ranks for k experts chosen
    without preference; results come back as they went, in 16 bits, and are gathered within the
    replica. Where experts are divided themselves, all tokens go to all ranks.
    """
    ranks = shares.tp * shares.dp * shares.cp
    # Decoding tokens are on all ranks of a sequence, each of which sends its part of them.
    within = shares.tp if shares.reads else shares.tp * shares.cp
    own = size / within
    apart = shares.expert_tp <= 1
    reached = ranks * (1 - (1 - 1 / np.maximum(ranks, 2.0)) ** routed.topk)
    width = 0.5 if routed.narrow else 1.0
    everywhere = size * shares.dp * (shares.cp if shares.reads else 1.0)
    sent, back = own * reached * width, own * reached
    return [
        Said(op="all_to_all", ranks=np.where(apart, ranks, 1.0), bytes=sent, count=count),
        Said(op="all_to_all", ranks=np.where(apart, ranks, 1.0), bytes=back, count=count),
        Said(op="all_gather", ranks=np.where(apart, 1.0, ranks), bytes=everywhere, count=count),
        Said(op="reduce_scatter", ranks=np.where(apart, 1.0, ranks), bytes=everywhere, count=count),
        Said(op="all_gather", ranks=within, bytes=size, count=count),
    ]
