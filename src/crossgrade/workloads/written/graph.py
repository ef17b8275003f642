"""Message passing on a graph: gather along edges, scatter to nodes.

`heads` 1 and mean aggregation is GraphSAGE (Hamilton et al., 2017, arXiv 1706.02216, algorithm 1);
more heads are graph attention with a softmax per node (GAT, Velickovic et al., 2018, arXiv
1710.10903, section 2.1). The whole graph is one execution. Must not know how execution is recorded.
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
    """Sizes of a message-passing network."""

    input_features: int
    """Features of a node."""
    hidden_features: int
    """Features between layers, over all heads."""
    num_classes: int
    """Classes of nodes."""
    num_layers: int
    """Layers."""
    num_heads: int
    """Attention heads; 1: mean aggregation without attention."""
    nodes: int
    """Nodes that an execution has by itself."""
    edges: int
    """Directed edges that an execution has by itself."""


def make(sizes: Sizes) -> nn.Module:
    """Return the module."""
    return GraphNetwork(sizes)


def feeding(sizes: Sizes, module: nn.Module) -> Feeding:
    """Return how the module is fed: features of nodes, and ends of edges."""

    def inputs(workload: Workload, device: torch.device) -> tuple[tuple[Any, ...], dict[str, Any]]:
        nodes, edges = workload.size("nodes"), workload.size("edges")
        kind = next(module.parameters()).dtype
        features = torch.zeros((nodes, sizes.input_features), dtype=kind, device=device)
        ends = (torch.zeros((edges,), dtype=torch.int64, device=device) for _ in range(2))
        return (features, *ends), {}

    return Feeding(
        make_inputs=inputs,
        sizes=frozenset(),
        own_sizes={
            "nodes": OwnSize(default=sizes.nodes, meaning="nodes of the graph"),
            "edges": OwnSize(default=sizes.edges, meaning="directed edges of the graph"),
        },
        phases=("prefill", "train"),
        items={"prefill": "executions", "train": "executions"},
        describe=lambda w: (
            f"one graph of {w.size('nodes'):,} nodes and {w.size('edges'):,} directed edges"
        ),
        notes=(
            "the whole graph is one execution: no neighbours are sampled; give the size of a "
            "sampled subgraph with --size",
            "a gather is counted as if each node's features were read from memory once: how often "
            "they are read again depends on the graph",
        ),
    )


class MeanLayer(nn.Module):
    """A node's own features and the mean of its neighbours', each through a matrix."""

    def __init__(self, features: int, out: int) -> None:
        super().__init__()
        self.neighbours = nn.Linear(features, out)
        self.own = nn.Linear(features, out, bias=False)

    def forward(self, x: torch.Tensor, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return new features, shape [nodes, out]."""
        summed = torch.zeros_like(x).index_add_(0, target, x.index_select(0, source))
        ones = x.new_ones(target.shape[0])
        degree = x.new_zeros(x.shape[0]).scatter_add_(0, target, ones)
        mean = summed / degree.clamp(min=1).unsqueeze(1)
        out: torch.Tensor = self.neighbours(mean) + self.own(x)
        return out


class AttentionLayer(nn.Module):
    """Neighbours weighted by a softmax over the edges that end in a node."""

    def __init__(self, features: int, out: int, heads: int) -> None:
        super().__init__()
        self.heads, self.out = heads, out
        self.project = nn.Linear(features, heads * out, bias=False)
        self.of_source = nn.Parameter(torch.zeros(heads, out))
        self.of_target = nn.Parameter(torch.zeros(heads, out))
        self.bias = nn.Parameter(torch.zeros(heads * out))

    def forward(self, x: torch.Tensor, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return new features, shape [nodes, heads x out]."""
        nodes = x.shape[0]
        h = self.project(x).view(nodes, self.heads, self.out)
        by_source = (h * self.of_source).sum(-1).index_select(0, source)
        by_target = (h * self.of_target).sum(-1).index_select(0, target)
        scores = nn.functional.leaky_relu(by_source + by_target, 0.2)
        index = target.unsqueeze(1).expand(-1, self.heads)
        largest = scores.new_zeros(nodes, self.heads).scatter_reduce(
            0, index, scores.detach(), "amax", include_self=False
        )
        weights = (scores - largest.index_select(0, target)).exp()
        total = scores.new_zeros(nodes, self.heads).scatter_add(0, index, weights)
        weights = weights / total.index_select(0, target)
        messages = h.index_select(0, source) * weights.unsqueeze(-1)
        summed = torch.zeros_like(h).index_add(0, target, messages)
        out: torch.Tensor = summed.view(nodes, -1) + self.bias
        return out


class GraphNetwork(nn.Module):
    """Features of nodes and edges -> scores of classes per node."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        s = sizes
        if s.hidden_features % s.num_heads:
            raise ValueError("hidden_features is not a multiple of num_heads")
        widths = [s.input_features, *[s.hidden_features] * (s.num_layers - 1), s.num_classes]
        layers: list[nn.Module] = []
        for index, (first, last) in enumerate(itertools.pairwise(widths)):
            if s.num_heads == 1:
                layers.append(MeanLayer(first, last))
            else:
                heads = s.num_heads if index < s.num_layers - 1 else 1
                layers.append(AttentionLayer(first, last // heads, heads))
        self.layers = nn.ModuleList(layers)

    def forward(self, x: torch.Tensor, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return scores, shape [nodes, classes]; source and target are ends of edges [edges]."""
        for index, layer in enumerate(self.layers):
            x = layer(x, source, target)
            if index < len(self.layers) - 1:
                x = x.relu()
        return x
