"""Routed experts -> the launches that a stack lists for them.

The first grouped product leads: kernel models price a routed layer as a whole, from its sizes, and
the other launches of it count as part of that. The choice of experts stands for itself. Must not
know stacks by name or models.
"""

from __future__ import annotations

from collections import defaultdict

from crossgrade.predict.lowering.experts import Experts
from crossgrade.predict.lowering.formats import Formats
from crossgrade.predict.lowering.launches import Launch, Launches

PARTS = {
    "topk": "topk", "permute": "permute", "up": "up", "act": "experts-act", "down": "down",
    "combine": "combine",
}  # fmt: skip
"""Word in a stack's list -> part of the graph."""
_NAMES = {"up": "grouped_mm", "down": "grouped_mm", "act": "act_mul"}
"""Word -> name of the launch, where they differ."""


def launch_experts(launches: Launches, layers: list[Experts], formats: Formats) -> None:
    """Append the launches of routed layers.

    Raises:
        ValueError: a stack's list leaves a part of the experts out.
    """
    parts: dict[int, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    units = {layer.unit: layer for layer in layers}
    for i, node in enumerate(launches.graph.nodes):
        if node.unit in units:
            parts[node.unit][node.part].append(i)
    for unit, layer in units.items():
        format = formats.of(launches.graph.nodes[layer.up].kernel)
        listed = launches.stack.experts_for(format)
        _launch_layer(launches, layer, parts[unit], listed or _ONE_EACH)


def _name(covers: tuple[str, ...]) -> str:
    """Return the name of a launch by what it covers."""
    if {"up", "down"} <= set(covers):
        return "moe"
    return _NAMES.get(covers[0], covers[0])


_ONE_EACH = tuple((word,) for word in PARTS)


def _launch_layer(
    launches: Launches, layer: Experts, parts: dict[str, list[int]], listed: object
) -> None:
    """Append the launches of one layer."""
    assert isinstance(listed, tuple)
    words = {word for launch in listed for word in launch}
    if not words >= PARTS.keys():
        missing = ", ".join(sorted(PARTS.keys() - words))
        raise ValueError(f"stack {launches.stack.name}: experts without {missing}")
    made: list[Launch] = []
    last = min(n for nodes in parts.values() for n in nodes)
    for covers in listed:
        nodes = sorted(i for word in covers for i in parts.get(PARTS.get(word, ""), ()))
        op = _name(covers)
        if nodes:
            launch = launches.add(op, nodes)
            last = launch.nodes[-1]
        elif covers[0] in PARTS:
            continue  # this model has no such part
        else:
            launch = Launch(op=op, nodes=[], at=float(last))
            launches.all.append(launch)
        made.append(launch)
    leader = launches.of[layer.up]
    for position, launch in enumerate(made):
        launch.at = leader.at + (position - made.index(leader)) / (2.0 * len(made))
        if launch is not leader and not (launch.op == "topk" and launch.nodes):
            launch.leader = leader
    leader.experts = layer
