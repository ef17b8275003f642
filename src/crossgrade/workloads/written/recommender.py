"""DLRM: tables of categories, dense features, and the products of all pairs of them.

Written from Naumov et al., 2019, arXiv 1906.00091, section 2. Must not know how execution is
recorded.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from crossgrade.workloads.built import OwnSize
from crossgrade.workloads.feeding import Feeding

if TYPE_CHECKING:
    from crossgrade.values.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Sizes of a DLRM."""

    dense_features: int
    """Numbers per sample."""
    embedding_size: int
    """Features of a category."""
    table_rows: tuple[int, ...]
    """Categories of each table."""
    bottom_layers: tuple[int, ...]
    """Widths of the layers that read the numbers; the last is `embedding_size`."""
    top_layers: tuple[int, ...]
    """Widths of the layers behind the products; the last is 1."""


def make(sizes: Sizes) -> nn.Module:
    """Return the module."""
    return Recommender(sizes)


def feeding(sizes: Sizes, module: nn.Module) -> Feeding:
    """Return how the module is fed: numbers, and categories of each table."""

    def inputs(workload: Workload, device: torch.device) -> tuple[tuple[Any, ...], dict[str, Any]]:
        b, hot = workload.batch, workload.size("hot")
        kind = next(module.parameters()).dtype
        dense = torch.zeros((b, sizes.dense_features), dtype=kind, device=device)
        chosen = torch.zeros((len(sizes.table_rows), b, hot), dtype=torch.int64, device=device)
        return (dense, chosen), {}

    return Feeding(
        make_inputs=inputs,
        sizes=frozenset({"batch"}),
        own_sizes={"hot": OwnSize(default=1, most=1 << 16, meaning="categories per table, summed")},
        phases=("prefill", "train"),
        items={"prefill": "executions", "train": "executions"},
        describe=lambda w: f"batch {w.batch:,}, {w.size('hot')} categories per table",
        notes=(
            "an execution is one sample; in training the gradient of a table is dense, and AdamW "
            "updates all of it",
        ),
    )


def _layers(widths: tuple[int, ...], *, last_linear: bool) -> nn.Sequential:
    """Return linear layers with ReLU between them."""
    parts: list[nn.Module] = []
    for first, last in itertools.pairwise(widths):
        parts += [nn.Linear(first, last), nn.ReLU()]
    return nn.Sequential(*(parts[:-1] if last_linear else parts))


class Recommender(nn.Module):
    """Numbers and categories -> the score of a click."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        s = sizes
        if s.bottom_layers[-1] != s.embedding_size:
            raise ValueError("the last of bottom_layers is not embedding_size")
        vectors = len(s.table_rows) + 1
        pairs = vectors * (vectors - 1) // 2
        self.bottom = _layers((s.dense_features, *s.bottom_layers), last_linear=False)
        self.tables = nn.ModuleList(
            nn.EmbeddingBag(rows, s.embedding_size, mode="sum") for rows in s.table_rows
        )
        self.top = _layers((s.embedding_size + pairs, *s.top_layers), last_linear=True)

    def forward(self, dense: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        """Return scores, shape [b, 1]; dense [b, numbers], chosen [tables, b, hot]."""
        x = self.bottom(dense)
        vectors = torch.stack(
            [x, *(table(row) for table, row in zip(self.tables, chosen, strict=True))], dim=1
        )
        products = torch.bmm(vectors, vectors.transpose(1, 2))
        n = vectors.shape[1]
        rows, columns = torch.tril_indices(n, n, -1, device=dense.device)
        pairs = products.flatten(1).index_select(1, rows * n + columns)
        out: torch.Tensor = self.top(torch.cat([x, pairs], dim=1))
        return out
