"""Recurrences over kept state, such as linear attention, and convolutions over kept inputs.

Must not know stacks or models.
"""

from __future__ import annotations

from crossgrade.predict.lowering.graph import Graph

CONVOLUTIONS = frozenset({"convolution", "_convolution", "convolution_overrideable"})
CONVOLUTION_GRADIENTS = frozenset({"convolution_backward", "convolution_backward_overrideable"})
_BEHIND = frozenset({"silu", "_to_copy", "mul", "sigmoid"})


def find_convolutions(graph: Graph) -> None:
    """Claim convolutions over kept inputs with the calls that keep them, and the activation."""
    for i, node in enumerate(graph.nodes):
        if node.name not in CONVOLUTIONS:
            continue
        joined = [b for b in node.before if graph.free(b)]
        kept = {b for b in joined if graph.reads_kept(graph.nodes[b])}
        written = {a for b in node.before for a in graph.nodes[b].after
                   if graph.free(a) and graph.keeps(graph.nodes[a])}  # fmt: skip
        written |= {b for a in written for b in graph.nodes[a].before
                    if graph.free(b) and graph.keeps(graph.nodes[b])}  # fmt: skip
        if not kept and not written and not any(graph.keeps(graph.nodes[b]) for b in joined):
            continue
        behind = {a for a in node.after if graph.free(a) and graph.nodes[a].name in _BEHIND
                  and graph.nodes[a].before == [i]}  # fmt: skip
        unit = graph.claim("convolution", sorted(kept | written | behind | set(joined)))
        node.part, node.unit = "convolution", unit


def find_states(graph: Graph) -> None:
    """Claim recurrences: what writes kept state, and what meets it.

    One unit is all that is connected through vector calls and products of activations, up to
    products by weights, convolutions and norms.
    """
    for i, node in enumerate(graph.nodes):
        if not graph.free(i) or not graph.keeps(node):
            continue
        found, ready = {i}, [i]
        while ready:
            at = graph.nodes[ready.pop()]
            for other in (*at.before, *at.after):
                if other not in found and _joins(graph, other):
                    found.add(other)
                    ready.append(other)
        unit = graph.claim("state", sorted(found))
        for j in found:
            graph.nodes[j].part, graph.nodes[j].unit = "state", unit


def _joins(graph: Graph, i: int) -> bool:
    """Return whether a node belongs to a recurrence that it is connected to."""
    node = graph.nodes[i]
    if node.part:
        return False
    if node.vector:
        return True
    products = node.kernel.kind == "matmul" and not node.kernel.reads_parameter
    return products and node.name not in CONVOLUTIONS
