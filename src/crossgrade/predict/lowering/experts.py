"""Routed experts: router, order by expert, two grouped products, weighted sum.

The anchor is a pair of grouped products by parameters between which data flows through vector
calls. Must not know stacks or models.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from crossgrade.predict.lowering.graph import Graph

_GROUPED = frozenset({"_grouped_mm", "_scaled_grouped_mm"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """The routed part of one feed-forward layer."""

    up: int
    """Node of the first grouped product."""
    down: int
    """Node of the second one."""
    unit: int
    """Unit of all its nodes."""
    topk: int
    """Experts per token."""
    router: int | None
    """Node of the product that scores experts, None where it was not found."""


def find_experts(graph: Graph) -> list[Experts]:
    """Claim the nodes of every routed layer and return the layers."""
    return list(_layers(graph))


def _layers(graph: Graph) -> Iterator[Experts]:
    for up, node in enumerate(graph.nodes):
        if (
            node.stage != "forward"
            or node.name not in _GROUPED
            or node.part
            or not node.kernel.reads_parameter
        ):
            continue
        behind = _reached(graph, up, forwards=True)
        down = min((a for i in (up, *behind) for a in graph.nodes[i].after
                    if graph.nodes[a].name in _GROUPED and not graph.nodes[a].part),
                   default=None)  # fmt: skip
        if down is not None:
            yield _layer(graph, up, down, behind)


def _layer(graph: Graph, up: int, down: int, behind: set[int]) -> Experts:
    """Claim the nodes of one layer."""
    unit = graph.claim("up", [up])
    graph.claim("down", [down], unit)
    before = _reached(graph, up, forwards=False)
    feeds_down = _reached(graph, down, forwards=False)
    order = {i for i in before | feeds_down if graph.nodes[i].name in ("sort", "argsort")}
    chosen = {i for i in before | feeds_down if graph.nodes[i].name == "topk"}
    graph.claim("experts-act", sorted(behind & feeds_down), unit)
    picks = [i for i in feeds_down - before if graph.free(i)]
    graph.claim("experts-act", sorted(picks), unit)
    router = _router(graph, chosen)
    scores = _reached(graph, router, forwards=True) if router is not None else set()
    sorts = {j for i in order for j in _reached(graph, i, forwards=True)} | order
    summed = _reached(graph, down, forwards=True)
    _claim_combine(graph, summed, unit, {down} | scores | sorts)
    graph.claim("permute", sorted(i for i in before if i in sorts or i not in scores), unit)
    graph.claim("permute", sorted(sorts - summed), unit)
    graph.claim("topk", sorted(scores - sorts - summed), unit)
    return Experts(up=up, down=down, unit=unit, topk=_topk(graph, chosen), router=router)


def _claim_combine(graph: Graph, summed: set[int], unit: int, known: set[int]) -> None:
    """Claim what follows the second product and meets nothing but its result, weights and order."""
    for i in sorted(summed):
        if all(b in known or graph.nodes[b].ahead for b in graph.nodes[i].before):
            known.add(i)
            graph.claim("combine", [i], unit)


def _router(graph: Graph, chosen: set[int]) -> int | None:
    """Return the product whose results are ranked."""
    ready, seen = list(chosen), set(chosen)
    while ready:
        for b in graph.nodes[ready.pop()].before:
            if graph.nodes[b].kernel.kind == "matmul":
                return b
            if b not in seen:
                seen.add(b)
                ready.append(b)
    return None


def _topk(graph: Graph, chosen: set[int]) -> int:
    """Return how many experts a token goes to: what the last ranking keeps."""
    if not chosen:
        return 1
    arguments, named = json.loads(graph.key(graph.nodes[max(chosen)]).arguments)
    kept = named.get("k", arguments[1] if len(arguments) > 1 else 1)
    return int(kept)


def _reached(graph: Graph, start: int, *, forwards: bool) -> set[int]:
    """Return the free vector calls that a node's results go through, or that it is made of.

    Calls of another stage than the node's are another pass, and not of its layer.
    """
    found: set[int] = set()
    ready, stage = [start], graph.nodes[start].stage
    while ready:
        node = graph.nodes[ready.pop()]
        for other in node.after if forwards else node.before:
            if graph.free(other) and other not in found and graph.nodes[other].stage == stage:
                found.add(other)
                ready.append(other)
    return found
