"""Launches as a graph: who makes what, who reads it, and which part of a model it belongs to.

Nodes are what is left of a capture when attention is one kernel: matrix products, attentions,
convolutions, and vector calls one by one. Finders of patterns (norms, rotation, experts ...) give
nodes a part; stacks decide which parts are launched together. Must not know stacks or models.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Literal

from crossgrade.predict.lowering.kernel import Kernel
from crossgrade.predict.lowering.kernels import Narrowed, merged
from crossgrade.values.capture import ROLES, STAGES, CallKey, Capture, Stage

Part = Literal[
    "", "ahead", "norm", "rope", "cache", "act", "topk", "permute", "up", "experts-act", "down",
    "combine", "add", "state", "convolution", "embedding", "pointwise", "layout",
]  # fmt: skip
"""What a node is: `ahead` is worked out before the step, `state` a recurrence over kept state,
`convolution` one over kept inputs, `layout` a copy that changes the order of dimensions alone."""
NOWHERE = 1 << 60
"""Index of a node that is never reached."""
_AHEAD = frozenset(ROLES.index(r) for r in ("parameter", "buffer", "constant", "activation"))
"""Roles of storages that are there before a step. An activation that no node makes is a weight in
another format: its conversion is no longer among the nodes."""
_KV = ROLES.index("kv")


@dataclass(slots=True, kw_only=True)
class Node:
    """One launch, or one vector call that may be launched with others."""

    kernel: Kernel
    """Its work and traffic."""
    name: str
    """Operator without namespace, overload and trailing underscore."""
    before: list[int] = field(default_factory=list)
    """Nodes whose results it reads."""
    after: list[int] = field(default_factory=list)
    """Nodes that read its results."""
    ahead: bool = False
    """Whether it rests on weights, constants and positions alone."""
    trig: bool = False
    """Whether it is a table of sines or cosines, or made of nothing else."""
    part: Part = ""
    """What it is, empty where no pattern has it."""
    unit: int = -1
    """Which one of that part; nodes of one unit belong together."""
    stage: Stage = "forward"
    """Part of a training step that it belongs to."""

    @property
    def vector(self) -> bool:
        """Whether it is a vector call."""
        return self.kernel.kind == "vector"


def separated(left: Narrowed) -> list[Kernel]:
    """Return kernels in which attention is one and vector calls are not grouped."""
    single = {
        k.calls[0]: dataclasses.replace(k, calls=list(k.calls), reads=dict(k.reads),
                                        writes=dict(k.writes))
        for k in left.calls if k.kind == "vector"
    }  # fmt: skip
    pieces: list[Kernel] = []
    for kernel in merged(left):
        if kernel.kind == "vector":
            pieces += [single[x] for x in sorted(kernel.calls)]
        else:
            pieces.append(kernel)
    return pieces


def _read_source(reader: Kernel, copy: Kernel) -> None:
    """Let a kernel read what a copy reads in place of what the copy writes."""
    for s in copy.writes.keys() & reader.reads.keys():
        size = reader.reads.pop(s)
        for source, most in copy.reads.items():
            reader.reads[source] = max(reader.reads.get(source, 0.0), min(size, most))


class Graph:
    """The nodes of one capture, in an order in which they can run."""

    def __init__(self, kernels: list[Kernel], capture: Capture, until: list[int]) -> None:
        """Connect kernels.

        Args:
            kernels: launches in order, vector calls one by one.
            capture: where they come from.
            until: per storage the last call that needs it.
        """
        self.capture, self.until = capture, until
        c = capture.columns
        self._call_key = c["call_key"].tolist()
        self.roles = c["storage_role"].tolist()
        self._whole = c["storage_bytes"].tolist()
        stages = c["call_stage"].tolist()
        self.nodes = [
            Node(kernel=k, name=k.label.rstrip("_"), stage=STAGES[stages[min(k.calls)]])
            for k in kernels
        ]
        self._connect()
        self._units = 0
        self.attention_after = self._first_after(through_products=True)
        self.sink = self._first_after(through_products=False)

    def _connect(self) -> None:
        """Fill in edges, and what is worked out ahead of a step."""
        made: dict[int, int] = {}
        for i, node in enumerate(self.nodes):
            reads = [s for s in node.kernel.reads if s not in node.kernel.writes or s in made]
            node.before = sorted({made[s] for s in reads if s in made})
            for b in node.before:
                self.nodes[b].after.append(i)
            fresh = [s for s in reads if s not in made]
            node.ahead = (
                node.vector
                and all(self.nodes[b].ahead for b in node.before)
                and all(s >= 0 and self.roles[s] in _AHEAD for s in fresh)
                and not any(s >= 0 and self.roles[s] == _KV for s in node.kernel.writes)
            )
            tables = [b for b in node.before if self.nodes[b].trig]
            node.trig = node.name in ("cos", "sin", "polar") or (
                bool(tables) and len(tables) == len(node.before)
            )
            if node.ahead or node.trig or self._counts(node):
                node.part = "ahead"
            for s in node.kernel.writes:
                made[s] = i

    def _counts(self, node: Node) -> bool:
        """Return whether a call only keeps count of positions, or moves nothing at all."""
        if not node.vector:
            return False
        outputs = self.key(node).outputs
        return all(m.numel == 0 or (m.numel == 1 and "int" in m.dtype) for m in outputs)

    def without_layout_copies(self) -> None:
        """Connect makers and readers of copies that only change the order of dimensions.

        A service keeps activations as rows of tokens, so there is nothing to reorder.
        """
        for i, node in enumerate(self.nodes):
            if node.name != "clone" or not self.free(i) or len(node.before) != 1:
                continue
            self.claim("layout", [i])
            maker = self.nodes[node.before[0]]
            maker.after = sorted({*maker.after, *node.after} - {i})
            for a in node.after:
                reader = self.nodes[a]
                reader.before = sorted({*reader.before, node.before[0]} - {i})
                _read_source(reader.kernel, node.kernel)

    def _first_after(self, *, through_products: bool) -> list[int]:
        """Return per node the first attention (or, not through products, matrix kernel) after it.

        Where results flow through vector calls alone, the first kernel of either kind is the sink.
        """
        first = [NOWHERE] * len(self.nodes)
        for i in range(len(self.nodes) - 1, -1, -1):
            for a in self.nodes[i].after:
                node = self.nodes[a]
                ends = node.kernel.kind == "attention" or not (node.vector or through_products)
                first[i] = min(first[i], a if ends else first[a])
        return first

    def key(self, node: Node) -> CallKey:
        """Return the distinct call of a node's first call."""
        return self.capture.key(self._call_key[node.kernel.calls[0]])

    def whole(self, storage: int) -> float:
        """Return the bytes of a storage; views that repeat it may seem to read more."""
        return float(self._whole[storage]) if storage >= 0 else NOWHERE

    def claim(self, part: Part, found: list[int], unit: int = -1) -> int:
        """Give nodes that have no part yet a part; return the unit they are in."""
        if unit < 0:
            unit = self._units
            self._units += 1
        for i in found:
            if not self.nodes[i].part:
                self.nodes[i].part, self.nodes[i].unit = part, unit
        return unit

    def free(self, i: int) -> bool:
        """Return whether a node is a vector call without a part."""
        return self.nodes[i].vector and not self.nodes[i].part

    def keeps(self, node: Node) -> bool:
        """Return whether a node writes a cache or a state."""
        return any(s >= 0 and self.roles[s] == _KV for s in node.kernel.writes)

    def reads_kept(self, node: Node) -> bool:
        """Return whether a node reads a cache or a state."""
        return any(s >= 0 and self.roles[s] == _KV for s in node.kernel.reads)

    def join(self, part: Part) -> None:
        """Give every free node the part, one unit per set of neighbours of one stage."""
        root: dict[int, int] = {}

        def find(i: int) -> int:
            while root[i] != i:
                root[i] = root[root[i]]
                i = root[i]
            return i

        for i in range(len(self.nodes)):
            if self.free(i):
                root[i] = i
                for b in self.nodes[i].before:
                    if b in root and self.nodes[b].stage == self.nodes[i].stage:
                        root[find(i)] = find(b)
        units: dict[int, int] = {}
        for i in list(root):
            units[find(i)] = self.claim(part, [i], units.get(find(i), -1))
