"""Parts of the graph -> launches, by the rules of a stack.

A launch is a set of nodes; what passes inside it is neither written nor read. Must not know stacks
by name, chips or models.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from crossgrade.predict.lowering.experts import Experts
from crossgrade.predict.lowering.graph import NOWHERE, Graph, Node
from crossgrade.predict.lowering.kernel import Kernel
from crossgrade.predict.lowering.stack import Stack


@dataclass(slots=True, kw_only=True, eq=False)
class Launch:
    """What is launched together."""

    op: str
    """Its name."""
    nodes: list[int]
    """Nodes that it stands for; none for a helper."""
    at: float
    """Where it stands among the launches."""
    kernel: Kernel | None = None
    """Work and traffic, once they are added up."""
    leader: Launch | None = None
    """The launch whose sizes stand for this one too."""
    experts: Experts | None = None
    """The routed layer whose sizes it has."""
    like: Launch | None = None
    """The launch that it divides over ranks as, for one that computes nothing of its own."""


class Launches:
    """All launches of one capture, while rules join them."""

    def __init__(self, graph: Graph, stack: Stack) -> None:
        """Begin with one launch per unit of every part, and one per matrix kernel."""
        self.graph, self.stack = graph, stack
        self.all: list[Launch] = []
        self.of: dict[int, Launch] = {}

    def add(self, op: str, nodes: Iterable[int]) -> Launch:
        """Append a launch of some nodes."""
        listed = sorted(nodes)
        launch = Launch(op=op, nodes=listed, at=float(listed[-1]))
        self.all.append(launch)
        self.of.update(dict.fromkeys(listed, launch))
        return launch

    def helper(self, op: str, beside: Launch, offset: float) -> Launch:
        """Append a launch without nodes of its own, before or after another one."""
        launch = Launch(op=op, nodes=[], at=beside.at + offset, leader=beside)
        self.all.append(launch)
        return launch

    def merge(self, into: Launch, other: Launch, op: str) -> None:
        """Let a launch take over the nodes of another."""
        if into is other:
            return
        into.nodes = sorted({*into.nodes, *other.nodes})
        into.at, into.op = float(into.nodes[-1]), op
        self.of.update(dict.fromkeys(other.nodes, into))
        other.nodes = []
        self.all.remove(other)

    def split(self, launch: Launch, own: set[int]) -> Launch:
        """Give some nodes of a launch a launch of their own; all of them: return it as it is."""
        if own >= set(launch.nodes):
            return launch
        launch.nodes = [i for i in launch.nodes if i not in own]
        launch.at = float(launch.nodes[-1])
        return self.add(launch.op, own)

    def component(self, nodes: set[int], start: int) -> set[int]:
        """Return the nodes of a set that are connected to one of them."""
        found, ready = {start}, [start]
        while ready:
            node = self.graph.nodes[ready.pop()]
            for other in (*node.before, *node.after):
                if other in nodes and other not in found:
                    found.add(other)
                    ready.append(other)
        return found

    def of_component(self, launch: Launch, i: int, reader: Launch) -> bool:
        """Return whether what a node of a launch is connected to is read by another launch."""
        own = self.component(set(launch.nodes), i)
        read = {b for j in reader.nodes for b in self.graph.nodes[j].before}
        return bool(own & read)

    def readers(self, launch: Launch) -> list[Launch]:
        """Return the launches that read what a launch makes, in order."""
        found = {
            id(self.of[a]): self.of[a]
            for i in launch.nodes
            for a in self.graph.nodes[i].after
            if a in self.of and self.of[a] is not launch
        }
        return sorted(found.values(), key=lambda other: other.at)

    def makers(self, launch: Launch) -> list[Launch]:
        """Return the launches whose results a launch reads, in order."""
        found = {
            id(self.of[b]): self.of[b]
            for i in launch.nodes
            for b in self.graph.nodes[i].before
            if b in self.of and self.of[b] is not launch
        }
        return sorted(found.values(), key=lambda other: other.at)

    def attentions(self, launch: Launch) -> set[int]:
        """Return the first attention that the results of each node of a launch end in."""
        return {self.graph.attention_after[i] for i in launch.nodes} - {NOWHERE}

    def sink(self, launch: Launch) -> int:
        """Return the first matrix kernel or attention that a launch's results flow to."""
        return min((self.graph.sink[i] for i in launch.nodes), default=NOWHERE)


def summed(graph: Graph, nodes: list[int]) -> Kernel:
    """Return one kernel for nodes; what only they use is neither written nor read."""
    kernels = [graph.nodes[i].kernel for i in nodes]
    if len(kernels) == 1:
        return kernels[0]
    inside = set(nodes)
    calls = sorted({c for k in kernels for c in k.calls})
    reads: dict[int, float] = {}
    made: dict[int, float] = {}
    for kernel in kernels:
        for s, size in kernel.reads.items():
            left = max(min(size, graph.whole(s)) - made[s], 0.0) if s in made else size
            if left:
                reads[s] = max(reads.get(s, 0.0), left)
        for s, size in kernel.writes.items():
            made[s] = max(made.get(s, 0.0), size)
    kept = {s for i in nodes for s in graph.nodes[i].kernel.writes
            if _needed(graph, graph.nodes[i], s, inside)}  # fmt: skip
    main = max(kernels, key=lambda k: k.work)
    return Kernel(
        calls=calls,
        kind=main.kind if main.work else "vector",
        label=main.label if main.work else kernels[-1].label,
        dtype=main.dtype,
        weight_format=main.weight_format,
        flops=sum(k.flops for k in kernels),
        work=sum(k.work for k in kernels),
        vector_ops=sum(k.vector_ops for k in kernels),
        reads=reads,
        writes={s: size for s, size in made.items() if s in kept},
        reads_parameter=any(k.reads_parameter for k in kernels),
        attention=main.attention if sum(k.work > 0 for k in kernels) == 1 else None,
        sizes=main.sizes,
    )


def _needed(graph: Graph, node: Node, s: int, inside: set[int]) -> bool:
    """Return whether somebody outside reads what a node writes to a storage, or it is kept."""
    if any(a not in inside and s in graph.nodes[a].kernel.reads for a in node.after):
        return True
    return s >= 0 and graph.until[s] >= graph.capture.calls
