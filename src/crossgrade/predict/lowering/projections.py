"""Products by weights that read the same activation are one product.

Services store the weights of queries, keys and values side by side, and those of gate and up.
What ranks experts stays apart, as do products that end in another attention: a parallel
feed-forward layer is not part of the projection of its attention. Must not know models.
"""

from __future__ import annotations

from collections import defaultdict

from crossgrade.predict.lowering.graph import Graph
from crossgrade.predict.lowering.launches import Launch, Launches
from crossgrade.values.capture import ROLES

PARAMETER = ROLES.index("parameter")

PRODUCTS = frozenset({"mm", "addmm", "linear"})
"""Operators that multiply rows by one matrix."""
_WIDEST = 128
"""Products whose widths differ more than so many times stay apart: one value per head, or one per
token, is a gate that its own kernel reads. Assumed; queries of 128 heads are 128 times as wide as a
key that they share."""


def merge_projections(launches: Launches, routers: set[int]) -> None:
    """Join products that read one activation.

    Args:
        launches: changed.
        routers: nodes of products that rank experts.
    """
    graph = launches.graph
    groups: dict[tuple[object, ...], list[Launch]] = defaultdict(list)
    for i, node in enumerate(graph.nodes):
        if node.name not in PRODUCTS or i in routers or not node.kernel.reads_parameter:
            continue
        _, m, _, k = product_sizes(graph, i)
        activations = tuple(
            sorted(s for s in node.kernel.reads if s < 0 or graph.roles[s] != PARAMETER)
        )
        made = tuple(node.before)
        after = graph.attention_after[i]
        key = (activations, made, m, k, node.kernel.dtype, node.kernel.weight_format, after)
        groups[key].append(launches.of[i])
    for group in groups.values():
        for same in _alike(launches, group):
            for other in same[1:]:
                launches.merge(same[0], other, "mm")


def _alike(launches: Launches, group: list[Launch]) -> list[list[Launch]]:
    """Return sets of products of about the same width, widest first."""
    sets: list[list[Launch]] = []
    width = {id(x): product_sizes(launches.graph, x.nodes[0])[2] for x in group}
    for launch in sorted(group, key=lambda x: (-width[id(x)], x.at)):
        for same in sets:
            if width[id(same[0])] <= _WIDEST * width[id(launch)]:
                same.append(launch)
                break
        else:
            sets.append([launch])
    return sets


def product_sizes(graph: Graph, i: int) -> tuple[float, float, float, float]:
    """Return batch, rows, columns and inner size of the product at a node."""
    node = graph.nodes[i]
    if node.kernel.sizes:
        batch, m, n, k = node.kernel.sizes
        return batch, m, n, k
    inputs = graph.key(node).inputs
    at = 1 if node.name in ("addmm", "baddbmm", "addmv") else 0
    a, b = inputs[at].shape, inputs[at + 1].shape
    if node.name == "linear":
        return 1.0, float(inputs[0].numel // a[-1]), float(b[0]), float(a[-1])
    if len(a) == 3 and len(b) == 3:
        return float(a[0]), float(a[1]), float(b[2]), float(a[2])
    n = float(b[-1]) if len(b) > 1 else 1.0
    return 1.0, float(inputs[at].numel // a[-1]), n, float(a[-1])
