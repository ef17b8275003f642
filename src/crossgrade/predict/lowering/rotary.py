"""Rotation of queries and keys by position (RoPE), and writes to the cache of keys and values.

A rotation multiplies by tables of sines and cosines; which layout its halves have does not matter.
Everything that is rotated for one attention is one unit. Must not know stacks or models.
"""

from __future__ import annotations

from crossgrade.predict.lowering.graph import NOWHERE, Graph
from crossgrade.predict.lowering.states import CONVOLUTIONS

_AROUND = frozenset({"neg", "cat", "_to_copy", "clone", "stack"})
_BEHIND = frozenset({"add", "sub", "cat", "_to_copy", "clone", "stack"})
_WRITES = frozenset({"cat", "copy", "index_copy", "index_put", "_index_put_impl", "slice_scatter"})


def find_rotations(graph: Graph) -> None:
    """Claim the calls of every rotation, one unit per attention that they are for."""
    units: dict[int, int] = {}
    for i, node in enumerate(graph.nodes):
        if node.name != "mul" or not graph.free(i):
            continue
        if not any(graph.nodes[b].trig for b in node.before):
            continue
        found = _rotation(graph, i)
        sink = graph.sink[i]
        key = sink if sink != NOWHERE else i
        units[key] = graph.claim("rope", sorted(found), units.get(key, -1))


def _rotation(graph: Graph, product: int) -> set[int]:
    """Return the product with a table and what belongs to it before and behind."""
    found, ready = {product}, [product]
    while ready:
        node = graph.nodes[ready.pop()]
        for a in node.after:
            if graph.free(a) and a not in found and _behind(graph, a):
                found.add(a)
                ready.append(a)
    ready = [product]
    while ready:
        for b in graph.nodes[ready.pop()].before:
            if graph.free(b) and b not in found and _around(graph, b, found):
                found.add(b)
                ready.append(b)
    return found


def _around(graph: Graph, i: int, found: set[int]) -> bool:
    """Return whether a call prepares halves for products with tables, and for nothing else."""
    node = graph.nodes[i]
    return node.name in _AROUND and all(
        a in found or graph.nodes[a].name in _AROUND or graph.nodes[a].name == "mul"
        for a in node.after
    )


def _behind(graph: Graph, i: int) -> bool:
    """Return whether a call joins rotated halves, and nothing that a cache keeps."""
    node = graph.nodes[i]
    return node.name in _BEHIND and not graph.keeps(node)


def find_cache_writes(graph: Graph) -> None:
    """Claim the calls that append keys and values, one unit per attention that reads them."""
    units: dict[int, int] = {}
    for i, node in enumerate(graph.nodes):
        if not graph.free(i) or node.name not in _WRITES or not graph.keeps(node):
            continue
        reader = _reader(graph, i)
        if reader == NOWHERE or _convolved(graph, i):
            continue
        units[reader] = graph.claim("cache", [i], units.get(reader, -1))


def _reader(graph: Graph, i: int) -> int:
    """Return what a cache is for: attention, or a product of activations that picks keys for it."""
    sink = graph.sink[i]
    if sink != NOWHERE and not graph.nodes[sink].kernel.reads_parameter:
        return sink
    return graph.attention_after[i]


def _convolved(graph: Graph, i: int) -> bool:
    """Return whether a convolution reads what a call makes."""
    return any(graph.nodes[a].name in CONVOLUTIONS for a in graph.nodes[i].after)
