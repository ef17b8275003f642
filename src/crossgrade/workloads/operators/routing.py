"""Which tokens go to which experts of one rank, the way xpu-perf's workloads lay it down.

The choices of all tokens, topk each, go round robin over the experts, first expert of each rank,
second expert of each rank and so on. So load is even, and every number below is a formula. Must
not know what is done with the tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from crossgrade.workloads.operators.request import Request, bad


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """The tokens of one rank's experts."""

    tokens: int
    """Tokens of all ranks."""
    topk: int
    """Experts per token."""
    experts: int
    """Experts of all ranks."""
    ranks: int
    """Ranks of expert parallelism."""
    rank: int
    """Which of them."""

    @property
    def own(self) -> int:
        """Experts of this rank."""
        return self.experts // self.ranks

    @property
    def counts(self) -> list[int]:
        """Tokens of each expert of this rank."""
        choices = self.tokens * self.topk
        return [
            max(0, (choices - self._first(i) + self.experts - 1) // self.experts)
            for i in range(self.own)
        ]

    @property
    def rows(self) -> int:
        """Tokens of all experts of this rank; one that goes to two of them counts twice."""
        return sum(self.counts)

    @property
    def sources(self) -> int:
        """Distinct tokens among them."""
        return self.tokens if self.topk >= self.ranks else self.rows

    def _first(self, expert: int) -> int:
        """Return the first choice that an expert of this rank gets."""
        return expert * self.ranks + self.rank

    def token_ids(self) -> torch.Tensor:
        """Return the token of each row [rows], expert by expert, int64."""
        parts = [
            (torch.arange(count) * self.experts + self._first(i)) // self.topk
            for i, count in enumerate(self.counts)
        ]
        return torch.cat(parts)

    def expert_ids(self) -> torch.Tensor:
        """Return the expert of each row [rows], counted from this rank's first, int64."""
        return torch.repeat_interleave(torch.arange(self.own), torch.tensor(self.counts))

    def weights(self) -> torch.Tensor:
        """Return the weight of each row [rows], 1 / topk, float32."""
        return torch.full((self.rows,), 1.0 / self.topk)


def routing_of(request: Request) -> Routing:
    """Return the routing of a request.

    Raises:
        CannotRun: `bad-arguments`: experts do not divide over the ranks, there are fewer experts
            than choices, no such rank, or no token for this rank.
    """
    tokens, experts, topk, ranks, rank = request.sizes(
        "num_tokens", "num_experts", "topk", "ep_size", "ep_rank"
    )
    if experts % ranks:
        raise bad("num_experts", f"{experts} do not divide over {ranks} ranks")
    if topk > experts:
        raise bad("topk", f"{topk} of {experts} experts")
    if rank >= ranks:
        raise bad("ep_rank", f"{rank} of {ranks} ranks")
    found = Routing(tokens=tokens, topk=topk, experts=experts, ranks=ranks, rank=rank)
    if not found.rows:
        raise bad("num_tokens", f"none of {tokens} goes to an expert of rank {rank}")
    return found
