"""Sessions of made-up ranks: what they would have measured, with noise of a seed."""

from __future__ import annotations

import itertools

import numpy as np

from crossgrade.measure.collectives.member import pairs_of
from crossgrade.values.collective import (
    CollectiveOp,
    CommCell,
    CommPlan,
    CommSession,
    Rank,
    whole_elements,
)


def cell(op: CollectiveOp = "all-reduce", size: int = 4096, ranks: int = 4) -> CommCell:
    elements = whole_elements(op, size, ranks, 4)
    return CommCell(op=op, elements=elements, size_bytes=elements * 4)


def plan(ranks=4, cells=None, **more) -> CommPlan:
    cells = (cell(ranks=ranks),) if cells is None else tuple(cells)
    return CommPlan(target="cpu", ranks=ranks, dtype="float32", cells=cells, **more)


def members(count: int) -> tuple[Rank, ...]:
    return tuple(Rank(rank=r, device=f"made-up:{r}", facts={}) for r in range(count))


def session(
    index, rng, *, ranks=4, rounds=20, noise=0.05, between=0.02, work=None, late_ns=None, link=None,
    cells=1, time_ns=1e6, calls=2,
) -> CommSession:  # fmt: skip
    """Return a session.

    Args:
        index: its number.
        rng: where noise comes from.
        ranks: how many.
        rounds: how many.
        noise: of single values, standard deviation of the logarithm.
        between: of the ranks between sessions, the same.
        work: rank -> factor of its own work.
        late_ns: rank -> how much later than the others it is released, ns.
        link: rank -> factor of its messages.
        cells: cells of the plan, each once a round.
        time_ns: time per call.
        calls: calls per block.
    """

    def scatter(shape, size=noise):
        return np.exp(rng.normal(0, size, shape))

    own = scatter((ranks, 1), between) * scatter((ranks, rounds)) * 4e6
    for rank, factor in (work or {}).items():
        own[rank] *= factor
    released = np.arange(rounds) * 1e8 + rng.uniform(0, 5e4, (ranks, rounds))
    for rank, late in (late_ns or {}).items():
        released[rank] += late
    arrived = released + own
    waits = arrived.max(axis=0) - arrived + 2e5
    pairs = pairs_of(ranks)
    messages = scatter((len(pairs), 1), between) * scatter((len(pairs), rounds)) * 1e6
    for place, pair in enumerate(pairs):
        for rank, factor in (link or {}).items():
            if rank in pair:
                messages[place] *= factor
    blocks = cells * rounds
    spans = time_ns * calls * scatter((1, blocks)) * rng.uniform(0.9, 1.0, (ranks, blocks))
    started = np.tile(np.arange(blocks) * 1e7, (ranks, 1))
    return CommSession(
        index=index, start="forked", calls=(calls,) * cells,
        order=tuple(itertools.chain.from_iterable(rng.permutation(cells).tolist()
                                                  for _ in range(rounds))),
        started_ns=_rows(started), spans_ns=_rows(spans), released_ns=_rows(released),
        work_ns=_rows(own), wait_ns=_rows(waits), pairs=pairs, pair_ns=_rows(messages),
        primed_s=0.1, spent_s=1.0,
    )  # fmt: skip


def sessions(count=5, seed=0, **more):
    rng = np.random.default_rng(seed)
    return [session(i, rng, **more) for i in range(count)]


def _rows(array):
    return tuple(tuple(float(x) for x in row) for row in array)
