"""Norms: a mean of squares (or a variance) of rows, and what scales rows by it.

Must not know stacks or models.
"""

from __future__ import annotations

from crossgrade.predict.lowering.graph import Graph

_WHOLE = frozenset({"native_layer_norm", "_fused_rms_norm", "rms_norm", "native_group_norm"})
_SCALE = frozenset({"add", "rsqrt", "pow", "sqrt", "reciprocal", "mul", "div", "sub"})
_TAIL = frozenset({"mul", "_to_copy", "add", "silu", "sigmoid", "clone"})
_LONGEST_TAIL = 6
"""Calls behind the scaled row at most: to another format, times a weight, a gate, back."""


def find_norms(graph: Graph) -> None:
    """Claim the calls of every norm."""
    for i, node in enumerate(graph.nodes):
        if node.name in _WHOLE and graph.free(i):
            graph.claim("norm", [i])
        elif node.name == "mean" and graph.free(i):
            members = _members(graph, i)
            if members:
                graph.claim("norm", members)


def _members(graph: Graph, mean: int) -> list[int]:
    """Return the calls of the norm whose squares a call averages, none if it is no norm."""
    squares = [b for b in graph.nodes[mean].before if graph.nodes[b].name in ("pow", "mul")]
    if len(squares) != 1 or not graph.free(squares[0]):
        return []
    inside = {squares[0], mean}
    for b in graph.nodes[squares[0]].before:
        if graph.nodes[b].name == "_to_copy" and graph.free(b):
            inside.add(b)
    scaled, scale = mean, False
    while True:
        after = [a for a in graph.nodes[scaled].after if graph.free(a) and a not in inside]
        if len(after) != 1 or graph.nodes[after[0]].name not in _SCALE:
            return []
        scaled = after[0]
        inside.add(scaled)
        scale |= graph.nodes[scaled].name in ("rsqrt", "pow", "sqrt")
        if scale and _rows(graph, scaled) > _rows(graph, mean):
            break
    return sorted(inside | _tail(graph, scaled, inside))


def _rows(graph: Graph, i: int) -> int:
    return graph.key(graph.nodes[i]).outputs[0].numel


def _tail(graph: Graph, scaled: int, inside: set[int]) -> set[int]:
    """Return what follows the scaled row: another format, the weight, a gate."""
    tail: set[int] = set()
    size, at = _rows(graph, scaled), scaled
    for _ in range(_LONGEST_TAIL):
        after = graph.nodes[at].after
        if len(after) != 1 or not graph.free(after[0]) or after[0] in inside:
            break
        node = graph.nodes[after[0]]
        others = [b for b in node.before if b != at]
        gate = _gate(graph, others)
        activations = [b for b in others if not graph.nodes[b].ahead]
        if node.name not in _TAIL or _rows(graph, after[0]) != size:
            break
        if activations and not gate:
            break
        tail |= {after[0], *gate}
        at = after[0]
    return tail


def _gate(graph: Graph, others: list[int]) -> set[int]:
    """Return the calls that make a gate out of one tensor, none if these do not."""
    if len(others) != 1 or graph.nodes[others[0]].name not in ("silu", "sigmoid"):
        return set()
    found, at = {others[0]}, others[0]
    before = graph.nodes[at].before
    if len(before) == 1 and graph.nodes[before[0]].name == "_to_copy" and graph.free(before[0]):
        found.add(before[0])
    return found if all(graph.free(i) for i in found) else set()
