"""Lengths of sequences and where their keys and values lie in a cache, as xpu-perf lays them down.

Without pages (block_size 0) a cache is [sequences, heads, longest, features]; with pages it is
[pages, heads, block_size, features], and a table names the pages of each sequence. Must not know
what is computed from them.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch

from crossgrade.workloads.operators.request import Request, bad
from crossgrade.workloads.operators.tensors import Described, Fill, tensor

_MOST_PAGES = 1 << 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequences:
    """New and cached tokens of a batch."""

    new: tuple[int, ...]
    """New tokens of each sequence."""
    cached: tuple[int, ...]
    """Cached tokens of each sequence."""

    @property
    def tokens(self) -> int:
        """New tokens of all."""
        return sum(self.new)

    @property
    def lengths(self) -> list[int]:
        """Tokens of each sequence, cached and new."""
        return [q + c for q, c in zip(self.new, self.cached, strict=True)]

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence."""
        return max(self.lengths)

    @property
    def uniform(self) -> bool:
        """Whether all have the same lengths."""
        return len(set(self.new)) == 1 and len(set(self.cached)) == 1

    @property
    def pairs(self) -> int:
        """Query-key pairs of causal attention: q (2 c + q + 1) / 2 for each sequence."""
        return sum(q * (2 * c + q + 1) // 2 for q, c in zip(self.new, self.cached, strict=True))

    @property
    def positions(self) -> int:
        """Distinct positions that new tokens have."""
        ends: list[tuple[int, int]] = sorted(zip(self.cached, self.lengths, strict=True))
        count, reached = 0, 0
        for start, end in ends:
            count += max(0, end - max(start, reached))
            reached = max(reached, end)
        return count

    def position_ids(self) -> torch.Tensor:
        """Return the position of each new token [tokens], int64."""
        pairs = zip(self.new, self.cached, strict=True)
        return torch.cat([torch.arange(c, c + q) for q, c in pairs])

    def sequence_ids(self) -> torch.Tensor:
        """Return the sequence of each new token [tokens], int64."""
        return torch.repeat_interleave(torch.arange(len(self.new)), torch.tensor(self.new))


def sequences_of(request: Request) -> Sequences:
    """Return the lengths that a request asks for.

    Raises:
        CannotRun: `bad-arguments`: lists of other lengths, or prefill without q_len.
    """
    if request.form == "batch_llm":
        new, cached = request.values["q_lens"], request.values["cache_lens"]
        if len(new) != len(cached):
            raise bad("cache_lens", f"{len(cached)} entries, q_lens has {len(new)}")
        return Sequences(new=tuple(new), cached=tuple(cached))
    new_tokens = request.values["q_len"]
    if new_tokens is None:
        if request.text("attn_mode") == "prefill":
            raise bad("q_len", "missing; prefill needs it: new tokens per sequence")
        new_tokens = 1
    batch = request.size("batch_size")
    return Sequences(new=(new_tokens,) * batch, cached=(request.size("cache_len"),) * batch)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheLayout:
    """Where keys and values lie."""

    block: int
    """Tokens per page, or of a row where there are no pages."""
    blocks: int
    """Pages, or rows."""
    table: tuple[tuple[int, ...], ...]
    """Pages of each sequence in order, or its row."""

    def cache(self, heads: int, width: int, dtype: torch.dtype, fill: Fill) -> Described:
        """Return the description of one cache [blocks, heads, block, width]."""
        return tensor(dtype, self.blocks, heads, self.block, width, fill=fill)

    def used(self, lengths: list[int]) -> torch.Tensor:
        """Return the pages [sequences, most] that hold the tokens, int64; filled up with page 0."""
        counts = [-(-length // self.block) for length in lengths]
        rows = torch.zeros((len(lengths), max(counts)), dtype=torch.int64)
        for i, count in enumerate(counts):
            rows[i, :count] = torch.tensor(self.table[i][:count])
        return rows

    def slots(self, where: Sequences) -> tuple[torch.Tensor, torch.Tensor]:
        """Return page and place in it of each new token, [tokens] each, int64."""
        positions, owners = where.position_ids(), where.sequence_ids()
        pages = self.used(where.lengths)
        return pages[owners, positions // self.block], positions % self.block


def layout_of(request: Request, where: Sequences) -> CacheLayout:
    """Return the layout of the cache that a request asks for.

    Raises:
        CannotRun: `bad-arguments`: a table or mapping with too few entries, or entries that are no
            page.
    """
    block = request.size("block_size")
    if block == 0:
        rows = request.values["slot_mapping"] or list(range(len(where.new)))
        _check_rows("slot_mapping", rows, len(where.new), len(where.new))
        return CacheLayout(
            block=where.longest, blocks=len(where.new), table=tuple((r,) for r in rows)
        )
    needed = [-(-length // block) for length in where.lengths]
    if sum(needed) > _MOST_PAGES:
        raise bad("block_size", f"{block} makes {sum(needed)} pages; {_MOST_PAGES} are taken")
    given = request.values["block_table"]
    if given is None:
        starts = [0, *itertools.accumulate(needed)][:-1]
        table = tuple(tuple(range(s, s + n)) for s, n in zip(starts, needed, strict=True))
        return CacheLayout(block=block, blocks=len(needed) * max(needed), table=table)
    blocks = len(given) * max(len(row) for row in given)
    if len(given) < len(needed):
        raise bad("block_table", f"{len(given)} rows for {len(needed)} sequences")
    for row, count in zip(given, needed, strict=False):
        _check_rows("block_table", row[:count], count, blocks)
    return CacheLayout(block=block, blocks=blocks, table=tuple(tuple(row) for row in given))


def _check_rows(argument: str, rows: list[int], count: int, blocks: int) -> None:
    if len(rows) < count:
        raise bad(argument, f"{len(rows)} entries where {count} are needed")
    outside = [r for r in rows if not 0 <= r < blocks]
    if outside:
        raise bad(argument, f"entry {outside[0]} is none of {blocks}")
