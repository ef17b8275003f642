"""Which experts of the busiest rank have work, and how many rows each has.

A router sends every token to `topk` of `experts`; a rank holds `experts / ep` of them, and a step
waits for the rank with most rows. Three ways to route are known: perfectly even, at random, and by
a power law. Must not know chips, formats or kernels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from crossgrade.values.kernel import EVEN_ODDS

Floats = NDArray[np.float64]

BLOCKS = (8, 16, 32, 64, 128)
"""Rows that a grouped product takes at once: what the rows of an expert are padded to."""
MOST = 0.8
"""Largest draw of the power law, as a share of the tokens.

Found from measured rows: a rank with one expert takes the time of 0.6 to 0.9 of all tokens.
"""
_SHUFFLES = 4
"""Placements of experts on ranks that the busiest rank is averaged over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What the busiest rank has to do; each array of shape [kernels]."""

    rows: Floats
    """Tokens times the choices that fall on this rank."""
    active: Floats
    """Experts of this rank with at least one row: their weights are read."""
    most: Floats
    """Rows of its fullest expert."""
    blocks: Mapping[int, Floats]
    """Rows of a block, one of BLOCKS -> blocks of this rank, the last of each expert padded."""


def active_at_random(tokens: float, topk: float, experts: float, ep: float) -> float:
    """Return how many experts of a rank are chosen at least once, every expert alike.

    A token misses an expert with probability 1 - topk / experts, all tokens with that to the power
    of `tokens`.
    """
    missed = np.expm1(tokens * np.log1p(-min(topk / experts, 1 - 1e-12)))
    return float(-missed * experts / ep)


def loads(tokens: float, topk: float, experts: int, skew: float) -> Floats:
    """Return whole rows per expert, largest first, shape [experts].

    Even: as equal as whole numbers can be. Power law: draws between 1 and MOST of the tokens with
    density x^-skew, here its quantiles instead of draws, scaled to `tokens * topk`, none above
    `tokens`; what rounding leaves over goes to the largest.

    Args:
        tokens: tokens before routing.
        topk: experts per token.
        experts: experts of all ranks.
        skew: 0 for even, else the exponent of the power law.

    Source: docs/POWER_LAW_DISTRIBUTION.md of ai-dynamo/aiconfigurator, whose rows are read here.
    """
    total = round(tokens * topk)
    if skew == 0:
        return np.asarray(total // experts + (np.arange(experts) < total % experts), dtype=float)
    at = 1 - (np.arange(experts) + 0.5) / experts
    top, bend = max(MOST * tokens, 1 + 1e-9), 1 - skew
    drawn = ((top**bend - 1) * at + 1) ** (1 / bend)
    shared = _capped(drawn * total / drawn.sum(), tokens, total)
    whole = np.floor(shared + 0.5)
    return _balanced(whole, int(total - whole.sum()), tokens)


def _capped(shared: Floats, tokens: float, total: float) -> Floats:
    """Return loads of which none is above the tokens, with the same sum."""
    for _ in range(50):
        shared = np.minimum(shared, tokens)
        missing = total - shared.sum()
        room = shared < tokens
        if missing <= 1e-9 * total or not room.any():
            break
        shared[room] *= 1 + missing / shared[room].sum()
    return shared


def _balanced(whole: Floats, missing: int, tokens: float) -> Floats:
    """Return whole loads with `missing` more rows (or fewer), from the largest on."""
    while missing > 0 and (room := np.flatnonzero(whole < tokens)).size:
        given = room[:missing]
        whole[given] += 1
        missing -= len(given)
    while missing < 0:
        taken = np.flatnonzero(whole > 0)[missing:]
        whole[taken] -= 1
        missing += len(taken)
    return whole


def share_of(sizes: Mapping[str, Floats]) -> Share:
    """Return the work of the busiest rank.

    Args:
        sizes: the sizes of rows of family `experts`; `skew` may be EVEN_ODDS.
    """
    columns = np.stack([sizes[n] for n in ("tokens", "topk", "experts", "ep", "skew")], axis=1)
    table = _share_table(np.ascontiguousarray(columns).tobytes())
    return Share(
        rows=table[0],
        active=table[1],
        most=table[2],
        blocks={block: table[3 + j] for j, block in enumerate(BLOCKS)},
    )


@lru_cache(maxsize=256)
def _share_table(columns: bytes) -> Floats:
    points = np.frombuffer(columns, dtype=np.float64).reshape(-1, 5)
    unique, index = np.unique(points, axis=0, return_inverse=True)
    found = np.array([_busiest(*point) for point in unique.tolist()]).reshape(-1, 3 + len(BLOCKS))
    return found[index.reshape(-1)].T


@lru_cache(maxsize=65536)
def _busiest(tokens: float, topk: float, experts: float, ep: float, skew: float) -> Floats:
    """Return rows, active experts, the fullest expert and the blocks of the busiest rank."""
    count, here = round(experts), max(1, round(experts / ep))
    if skew == EVEN_ODDS:
        return _random(tokens, topk, experts, ep)
    all_loads = loads(tokens, topk, count, skew)
    if skew == 0:
        return _counted(np.sort(all_loads[:: max(1, round(ep))])[None, ::-1][:, :here])
    rng = np.random.default_rng(0)
    ranks = count // here
    groups = np.stack([rng.permutation(all_loads)[: ranks * here] for _ in range(_SHUFFLES)])
    groups = groups.reshape(_SHUFFLES, ranks, here)
    busy = groups.sum(axis=2).argmax(axis=1)
    return _counted(groups[np.arange(_SHUFFLES), busy])


@lru_cache(maxsize=65536)
def relieved(
    tokens: float, topk: float, experts: float, ep: float, skew: float, redundant: float
) -> float:
    """Return the rows of the busiest rank over those of even loads, where experts have copies.

    The expert with the most rows per copy gets the next copy; then copies are given, the largest
    first, to the rank with the fewest rows that still has a place.

    Args:
        tokens: tokens before routing.
        topk: experts per token.
        experts: experts of all ranks.
        ep: ranks.
        skew: exponent of the loads, above 0.
        redundant: copies beside the first of each expert; with them every rank has as many.
    """
    rows = _placed(loads(tokens, topk, round(experts), skew), round(ep), round(redundant))
    return max(rows * ep / (tokens * topk), 1.0)


def _placed(rows: Floats, ranks: int, redundant: int) -> float:
    """Return the rows of the busiest rank after copies were made and placed by load."""
    copies = np.ones(len(rows))
    for _ in range(redundant):
        copies[np.argmax(rows / copies)] += 1
    each = np.sort(np.repeat(rows / copies, copies.astype(int)))[::-1]
    room, held = np.full(ranks, -(-len(each) // ranks)), np.zeros(ranks)
    for one in each.tolist():
        rank = int(np.argmin(np.where(room > 0, held, np.inf)))
        held[rank] += one
        room[rank] -= 1
    return float(held.max())


def _counted(groups: Floats) -> Floats:
    blocks = [np.ceil(groups / block).sum(axis=1).mean() for block in BLOCKS]
    sums = groups.sum(axis=1).mean(), (groups > 0).sum(axis=1).mean(), groups.max(axis=1).mean()
    return np.array([*sums, *blocks])


def _random(tokens: float, topk: float, experts: float, ep: float) -> Floats:
    """Return the same for random choice: expectations, blocks from a normal spread of the loads."""
    rows, active = tokens * topk / ep, active_at_random(tokens, topk, experts, ep)
    per_expert = rows / active
    most = min(tokens, per_expert + np.sqrt(2 * per_expert * np.log(max(experts / ep, 1.0))))
    # The last block of an expert with many rows is half full on average, the only one holds all.
    blocks = [active * max(1.0, per_expert / block + 0.5) for block in BLOCKS]
    return np.array([rows, active, most, *blocks])
