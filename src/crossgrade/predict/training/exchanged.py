"""What ranks say to each other in a training step, and how long each takes.

Tensor-parallel ranks are next to each other, replicas come next, and stages are farthest apart.
Groups of one kind talk at the same time. Must not know stacks by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from crossgrade.predict.exchange import domain
from crossgrade.predict.layouts.exchanged import Said, price
from crossgrade.predict.layouts.pieces import Pieces
from crossgrade.predict.silicon.estimate import Estimate
from crossgrade.predict.silicon.knowledge import Knowledge
from crossgrade.values.chip import Chip
from crossgrade.values.layout import Layout

Priced = tuple[Said, Estimate]


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """What prices collectives between the ranks of one layout."""

    chip: Chip
    """One chip, with its links."""
    layout: Layout
    """The degrees."""
    stacks: tuple[str, ...]
    """Whose collectives may be called."""
    knowledge: Knowledge
    """What is known of their times."""

    def among(self, op: str, ranks: int, stride: int, bytes_: float, count: float) -> Priced:
        """Return a collective of ranks that lie so far apart, and the time of one.

        Inside a scale-up domain groups do not disturb each other. Beyond it, as many groups as lie
        between two ranks share its outer links: together they say as much as one group of all.

        Args:
            op: the collective.
            ranks: of one group.
            stride: chips from one to the next.
            bytes_: larger buffer of one rank.
            count: how often.
        """
        joined = domain(self.chip, ranks * stride)
        if ranks > 1 and joined < ranks * stride:
            side = min(stride, joined)
            ranks, bytes_ = max(ranks * side, joined + 1), bytes_ * side
        said = Said(op=op, ranks=np.array([float(ranks)]), bytes=np.array([bytes_]),
                    count=np.array([float(count)]))  # fmt: skip
        return said, price(said, self.chip, self.stacks, self.knowledge)

    def summed(self, passes: Iterable[Pieces], *, sequence_parallel: bool) -> Iterator[Priced]:
        """Yield the collectives of tensor-parallel ranks in some launches.

        With tokens shared out, an all-reduce is a reduce-scatter and an all-gather.
        """
        tp = self.layout.tp
        if tp == 1:
            return
        for pieces in passes:
            for one, count in pieces.sums.items():
                if "gather" in one.kinds:  # ranks work out the loss of their own columns
                    continue
                ops = ("reduce_scatter", "all_gather") if sequence_parallel else ("all_reduce",)
                for op in ops:
                    yield self.among(op, tp, 1, one.bytes, count)

    def gathered_again(self, backward: Iterable[Pieces]) -> Iterator[Priced]:
        """Yield the gathers of what products read, of which each rank kept its tokens alone."""
        tp = self.layout.tp
        if tp == 1:
            return
        for pieces in backward:
            for one, count in pieces.sums.items():
                yield self.among("all_gather", tp, 1, one.bytes, count)

    def handed_on(
        self, bytes_: float, count: float, *, sequence_parallel: bool
    ) -> Iterator[Priced]:
        """Yield what passes from one stage to the next: each rank hands on its share.

        Where ranks do not keep to their own tokens they gather the shares behind the hop.
        """
        layout = self.layout
        if layout.pp == 1:
            return
        yield self.among("send_recv", 2, layout.tp * layout.dp, bytes_ / layout.tp, count)
        if layout.tp > 1 and not sequence_parallel:
            yield self.among("all_gather", layout.tp, 1, bytes_, count)

    def replicated(self, op: str, bytes_: float, count: float) -> Iterator[Priced]:
        """Yield a collective among data-parallel replicas, in so many buckets."""
        if self.layout.dp > 1:
            yield self.among(op, self.layout.dp, self.layout.tp, bytes_ / count, count)


def time_of(said: Iterable[Priced], end: str) -> float:
    """Return the time of all of them one after another, s; NaN where a link is not described."""
    return sum(float(one.count[0] * getattr(found, end)[0]) for one, found in said)
