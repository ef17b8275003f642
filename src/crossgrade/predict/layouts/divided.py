"""Sizes of a launch on one rank, for many layouts and batches at once.

Arrays have one entry per combination of a layout and a batch. Must not know chips or prices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossgrade.predict.layouts.pieces import Piece, Stored
from crossgrade.predict.silicon.routing import relieved
from crossgrade.values.kernel import SIZES
from crossgrade.values.layout import Layout

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """What ranks share out; each array of shape [combinations]."""

    factor: Floats
    """Sequences that one rank's replica works on at a time, over those captured."""
    turns: Floats
    """Batches that its sequences are worked on as, one after the other: 1 or 2."""
    tp: Floats
    """Tensor-parallel ranks."""
    dp: Floats
    """Replicas of attention, each with sequences of its own."""
    ep: Floats
    """Ranks that share out experts."""
    expert_tp: Floats
    """Ranks that share out one expert."""
    pp: Floats
    """Pipeline stages."""
    cp: Floats
    """Ranks that share out the tokens of a sequence."""
    reads: bool
    """Whether the step reads prompts: new tokens are shared out too, not cached ones alone."""
    redundant: Floats
    """Copies of routed experts beside the first of each, over all ranks."""
    stage: Floats
    """Share of the repeated blocks that the fullest stage has."""

    @property
    def rows(self) -> Floats:
        """Return the new tokens of one rank at a time, over those captured."""
        return self.factor / self.cp if self.reads else self.factor

    @property
    def stretch(self) -> Floats:
        """Return how often a block of the fullest stage is waited for, over the blocks."""
        return self.stage * self.pp * self.turns

    def __len__(self) -> int:
        """Return the number of combinations."""
        return len(self.tp)


def shares_of(
    layouts: Sequence[Layout], batches: Sequence[float] | Floats, captured: int, blocks: int, *,
    reads: bool = False,
) -> Shares:  # fmt: skip
    """Return the shares of layouts that each work on a batch.

    Args:
        layouts: one per combination.
        batches: sequences over all ranks, one per combination; pipeline stages work on as many
            parts of it, one after another, and a rank has at least one sequence.
        captured: sequences of the captured step.
        blocks: repeated blocks of the model; the fullest stage has a whole number of them.
        reads: whether the step reads prompts.
    """
    tp, dp, ep, pp, cp, redundant = (
        np.array([getattr(layout, name) for layout in layouts], dtype=np.float64)
        for name in ("tp", "dp", "ep", "pp", "cp", "redundant")
    )
    local = np.maximum(np.ceil(np.array(batches, dtype=np.float64) / (dp * pp)), 1.0)
    two = np.array([layout.two_batch for layout in layouts]) & (local >= 2)
    turns = np.where(two, 2.0, 1.0)
    many = max(blocks, 1)
    return Shares(
        factor=np.ceil(local / turns) / captured, turns=turns, tp=tp, dp=dp, ep=ep,
        expert_tp=tp * dp * cp / ep, pp=pp, cp=cp, reads=reads, redundant=redundant,
        stage=np.ceil(many / pp) / many,
    )  # fmt: skip


def divided(piece: Piece, shares: Shares) -> dict[str, Floats]:
    """Return the sizes of a launch on the busiest rank, each of shape [combinations]."""
    many = len(shares)
    sizes = {name: np.full(many, size)
             for name, size in zip(SIZES[piece.family], piece.sizes, strict=True)}  # fmt: skip
    part = kept(piece.division.degrees, shares.tp)
    changed = _CHANGES[piece.family](piece, sizes, shares, part)
    return {**sizes, **changed}


def kept(degrees: Sequence[tuple[int, float]], ranks: Floats) -> Floats:
    """Return the part of a size that one rank has: each share over its degree or the ranks."""
    parts = [share / np.minimum(ranks, degree) for degree, share in degrees]
    return np.asarray(np.sum(parts, axis=0))


def stored(rows: Sequence[Stored], shares: Shares, experts: int = 1) -> Floats:
    """Return bytes on the fullest rank, shape [combinations]; a cache is of the captured batch.

    Args:
        rows: what is stored.
        shares: of the ranks.
        experts: routed experts of a layer, of which some may be stored more than once.
    """
    total = np.zeros(len(shares))
    for row in rows:
        if row.role == "experts":
            part = (1 + shares.redundant / experts) / (shares.ep * shares.expert_tp)
        else:
            part = kept(row.degrees, shares.tp)
        total += row.bytes * part * (shares.stage if row.repeated else 1.0)
    return total


def _rows(size: Floats, factor: Floats) -> Floats:
    """Return a number of rows for another batch: whole, and at least one."""
    return np.maximum(np.ceil(size * factor - 1e-6), 1.0)


def _matmul(
    piece: Piece, sizes: Mapping[str, Floats], shares: Shares, part: Floats
) -> dict[str, Floats]:
    role = piece.division.role
    m = _rows(sizes["m"], shares.rows)
    if role in ("columns", "vocabulary"):
        return {"m": m, "n": np.ceil(sizes["n"] * part)}
    if role == "rows":
        return {"m": m, "k": np.ceil(sizes["k"] * part)}
    if role == "heads":
        return {"m": m, "batch": np.ceil(sizes["batch"] * part)}
    if role == "experts":
        m = _rows(sizes["m"], shares.factor * shares.dp)
        return {"m": m, "batch": np.ceil(sizes["batch"] / (shares.ep * shares.expert_tp))}
    if role in ("gradient-rows", "gradient-columns"):
        across = "m" if role == "gradient-rows" else "n"
        return {across: np.ceil(sizes[across] * part), "k": _rows(sizes["k"], shares.rows)}
    if role == "whole":
        return {"m": m}
    if piece.size("batch") > 1:  # activations of each sequence by each other
        return {"batch": _rows(sizes["batch"] * part, shares.rows)}
    return {"m": np.ceil(m * part)}


def _attention(
    piece: Piece, sizes: Mapping[str, Floats], shares: Shares, part: Floats
) -> dict[str, Floats]:
    del piece
    heads = np.ceil(sizes["heads"] * part)
    result = {"batch": _rows(sizes["batch"], shares.factor), "heads": heads}
    if "kv_heads" in sizes:
        result["kv_heads"] = np.ceil(sizes["kv_heads"] / np.minimum(shares.tp, sizes["kv_heads"]))
    return {**result, **_context(sizes, shares)} if (shares.cp > 1).any() else result


def _context(sizes: Mapping[str, Floats], shares: Shares) -> dict[str, Floats]:
    """Return the queries and keys of one of the ranks that share out a sequence.

    Prompts are dealt out so that every rank sees as many pairs of query and key (the first and the
    last part of 2 cp go to one rank): keys are those of as many pairs. A decoding step has its
    queries on all ranks and looks at the keys of each.
    """
    new, keys, ranks = sizes["queries"], sizes["keys"], shares.cp
    if not shares.reads:
        kept = {"window": np.ceil(sizes["window"] / ranks)} if "window" in sizes else {}
        return {"keys": np.ceil(keys / ranks), **kept}
    own = np.ceil(new / ranks)
    pairs = (new * (keys - new) + new * (new + 1) / 2) / ranks
    return {"queries": own, "keys": np.maximum(np.ceil(pairs / own + (own - 1) / 2), own)}


def _experts(
    piece: Piece, sizes: Mapping[str, Floats], shares: Shares, part: Floats
) -> dict[str, Floats]:
    del piece, part
    tokens = _rows(sizes["tokens"], shares.factor) * shares.dp
    changed = {"tokens": tokens, "tp": shares.expert_tp, "ep": shares.ep}
    unlike = (shares.redundant > 0) & (sizes["skew"] > 0)
    if unlike.any():
        # What the busiest rank has left is priced as even loads of so many more tokens.
        columns = (tokens, sizes["topk"], sizes["experts"], shares.ep, sizes["skew"],
                   shares.redundant)  # fmt: skip
        more = [relieved(*map(float, one)) if changes else 1.0
                for *one, changes in zip(*columns, unlike, strict=True)]  # fmt: skip
        changed |= {"tokens": np.ceil(tokens * more), "skew": np.where(unlike, 0.0, sizes["skew"])}
    return changed


def _quantise(
    piece: Piece, sizes: Mapping[str, Floats], shares: Shares, part: Floats
) -> dict[str, Floats]:
    m = _rows(sizes["m"], shares.rows)
    return {"m": m, "k": np.ceil(sizes["k"] * part)} if piece.division.role == "rows" else {"m": m}


def _vector(
    piece: Piece, sizes: Mapping[str, Floats], shares: Shares, part: Floats
) -> dict[str, Floats]:
    division = piece.division
    if division.role == "heads":  # weights laid out anew: no batch changes them
        return {name: size * part for name, size in sizes.items()}
    moved = shares.rows * part
    traffic = division.fixed + (1 - division.fixed) * moved
    return {
        "bytes_read": sizes["bytes_read"] * traffic,
        "bytes_written": sizes["bytes_written"] * moved,
        "element_ops": sizes["element_ops"] * moved,
        "rows": np.ceil(sizes["rows"] * moved),
    }


_CHANGES = {
    "matmul": _matmul, "attention": _attention, "latent-attention": _attention,
    "experts": _experts, "quantise": _quantise, "vector": _vector,
}  # fmt: skip
