"""How every launch divides over the ranks of a layout, from the graph and the roles of storages.

Tensor parallelism after Megatron-LM (Shoeybi et al., 2019, arXiv 1909.08053): a product by weights
of a whole activation is divided by columns, what follows it works on a share, and the product that
reads a share is divided by rows and leaves partial sums, which an all-reduce adds before anybody
needs them whole. What ranks experts, what is normed over all its columns before another product
(a low-rank bottleneck), and a latent that all heads share stay whole on every rank. Must not know
models, chips, or how many ranks there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from crossgrade.predict.lowering.graph import Node
from crossgrade.predict.lowering.kernel import WHOLE, Division, Kernel, Reduction, Role
from crossgrade.predict.lowering.launches import Launch, Launches
from crossgrade.predict.lowering.projections import PRODUCTS, product_sizes
from crossgrade.values.capture import ROLES

ANY = 1 << 30
"""Degree of what divides over as many ranks as there are: the columns of a feed-forward layer."""
_FIXED = frozenset(ROLES.index(r) for r in ("parameter", "buffer", "constant"))
_KV = ROLES.index("kv")
_LINEAR = frozenset({"mul", "_to_copy", "div", "view", "index", "clone", "expand"})
"""Calls that may come before partial sums are added: they scale each of them alike."""
_PLAIN = frozenset({"mm", "addmm"})
"""Products of two activations: in the backward pass they make gradients of weights."""
_GROUPED = frozenset({"_grouped_mm", "_scaled_grouped_mm"})
"""Products of routed experts: in the backward pass they have no part that says so."""
_AVERAGES = frozenset({"mean", "native_layer_norm", "_fused_rms_norm"})
_ADDS = frozenset({"add", "index_add", "scatter_add"})


class Divisions:
    """How the nodes and launches of one graph divide."""

    def __init__(self, launches: Launches, kernels: Mapping[int, Kernel]) -> None:
        """Walk the graph once, in order.

        Args:
            launches: all of them.
            kernels: `id` of a launch -> its kernel, with sizes.
        """
        self._launches, self._graph, self._kernels = launches, launches.graph, kernels
        many = len(self._graph.nodes)
        self._degree = [1] * many
        self._partial: list[frozenset[int]] = [frozenset()] * many
        self._role: list[Role | None] = [None] * many
        self._reduced: dict[int, int] = {}
        self._storages: dict[int, int] = {}
        self._rows: list[float] = [0.0] * many
        self._of_expert = [False] * many
        for i, node in enumerate(self._graph.nodes):
            self._visit(i, node)

    def of(self, launch: Launch, kernel: Kernel) -> Division:
        """Return how a launch divides; one without nodes divides as what it stands beside."""
        beside = launch.like or launch.leader
        nodes = launch.nodes or (beside.nodes if beside else [])
        if not nodes:
            return WHOLE
        found = (self._reduction(i) for i in launch.nodes)
        reductions = tuple(r for r in found if r is not None)
        role: Role = next((r for i in nodes if (r := self._role[i])), "vector")
        if role in ("columns", "vocabulary", "whole") and kernel.family == "matmul":
            degrees = self._columns(nodes)
        elif role == "vector":
            degrees = self._traffic(kernel)
        elif role == "vocabulary":
            degrees = ((ANY, 1.0),)
        elif role in ("gradient-rows", "gradient-columns"):
            degrees = ((self._degree[nodes[-1]], 1.0),)
        else:
            most = max(self._incoming(self._graph.nodes[i]) for i in nodes)
            degrees = ((most, 1.0),) if role == "rows" else ((self._degree[nodes[-1]], 1.0),)
        return Division(role=role, degrees=degrees, fixed=self._fixed(kernel),
                        reductions=reductions)  # fmt: skip

    def written(self, kernel: Kernel) -> dict[int, int]:
        """Return over how many ranks each storage that a launch writes divides, at most."""
        return {s: self._storages[s] for s in kernel.writes if self._storages.get(s, 1) > 1}

    # nodes --------------------------------------------------------------------------------------
    def _visit(self, i: int, node: Node) -> None:
        """Find the degree of a node's results, its role, and which partial sums it carries on."""
        if node.ahead:
            return
        made = frozenset[int]().union(*(self._partial[b] for b in node.before))
        waiting = frozenset(b for b in made if b not in self._reduced)
        if waiting and not self._passes(node):
            for b in waiting:
                self._reduced[b] = i
            waiting = frozenset()
        self._partial[i] = waiting
        self._rows[i] = max((self._rows[b] for b in node.before), default=0.0)
        self._of_expert[i] = node.vector and any(self._of_expert[b] for b in node.before)
        self._degree[i] = self._result(i, node)
        for s in node.kernel.writes:
            self._storages[s] = self._degree[i]

    def _result(self, i: int, node: Node) -> int:
        """Return over how many ranks a node's results divide; fills in its role."""
        incoming = self._incoming(node)
        if node.stage == "backward" and node.name in _GROUPED:
            self._role[i] = "experts"
            return 1
        if node.part in ("up", "down", "experts-act", "permute", "topk", "combine"):
            self._role[i] = "experts" if node.part != "topk" else None
            if self._adds_experts(i, node):
                self._partial[i] = frozenset({i})
            return 1
        if node.kernel.reads_parameter and node.name in ("bmm", "baddbmm"):
            return self._batched(i, node, incoming)
        if node.part in ("state", "convolution"):
            return incoming
        if node.kernel.kind == "attention":
            self._role[i] = "heads"
            return max(self._heads(i)[0], 1)
        if node.name == "absorbed":
            self._role[i] = "heads"
            return int(product_sizes(self._graph, i)[0])
        if node.name == "embedding" and node.kernel.reads:
            self._role[i] = "vocabulary"
            self._partial[i] = frozenset({i})
            return 1
        if node.kernel.reads_parameter and node.name in PRODUCTS:
            return self._product(i, incoming)
        if node.stage == "backward" and node.name in _PLAIN and not node.vector:
            self._role[i] = self._gradient(node)
        return incoming

    def _gradient(self, node: Node) -> Role | None:
        """Return which dimension of the gradient of a weight divides: that of its divided operand.

        Rows come from the gradient of the product's result, columns from what the product read.
        """
        reads = [s for s in node.kernel.reads if self._storages.get(s, 1) > 1]
        first = self._graph.key(node).inputs[0].nbytes
        if not reads:
            return "whole"
        return "gradient-rows" if node.kernel.reads[reads[0]] == first else "gradient-columns"

    def _product(self, i: int, incoming: int) -> int:
        """Return the degree of a product by weights; partial sums where it is divided by rows."""
        self._rows[i] = product_sizes(self._graph, i)[1]
        if incoming > 1:
            self._role[i], self._partial[i] = "rows", frozenset({i})
            return 1
        fate = self._fate(i)
        self._role[i] = "whole" if fate == 1 else "columns"
        if fate == 0:
            self._role[i] = "vocabulary"
        return fate or ANY

    def _incoming(self, node: Node) -> int:
        """Return the least degree of the divided values that a node reads, 1 without any."""
        found = [self._degree[b] for b in node.before if self._degree[b] > 1]
        return min(found, default=1)

    def _adds_experts(self, i: int, node: Node) -> bool:
        """Return whether a node leaves partial sums of experts: the last product, or what follows
        it and adds up its rows."""
        nodes = self._graph.nodes
        if node.part == "down":
            return not any(nodes[a].part == "combine" for a in node.after)
        follows = bool(self._partial[i]) or any(nodes[b].part == "down" for b in node.before)
        return node.part == "combine" and follows

    def _batched(self, i: int, node: Node, incoming: int) -> int:
        """Return the degree of a batch of products by weights.

        Of groups of heads, or of all experts by all tokens, of which the second one of a layer
        leaves partial sums.
        """
        if incoming > 1:
            self._role[i] = "heads"
            return min(incoming, max(int(product_sizes(self._graph, i)[0]), 1))
        self._role[i] = "experts"
        second = any(self._of_expert[b] for b in node.before)
        self._of_expert[i] = not second
        if second:
            self._partial[i] = frozenset({i})
        return 1

    def _passes(self, node: Node) -> bool:
        """Return whether partial sums stay partial through a node: it adds or scales them alone."""
        if not node.vector or node.part == "norm":
            return False
        values = [b for b in node.before if not self._graph.nodes[b].ahead]
        carried = [any(p not in self._reduced for p in self._partial[b]) for b in values]
        if node.part == "combine" or node.name in _LINEAR:
            return sum(carried) == 1
        return node.name in _ADDS and all(carried)

    def _fate(self, i: int) -> int:
        """Return over how many ranks the columns of a product by weights divide.

        1 where they must stay whole, 0 where they are the step's answer: the head of a vocabulary.
        """
        rows = self._rows[i]
        found: set[int] = set()
        seen: set[tuple[int, bool]] = set()
        ready = [(i, False)]
        while ready:
            at, normed = ready.pop()
            for a in self._graph.nodes[at].after:
                degree = self._meets(at, a, normed=normed)
                if degree == 1:
                    return 1
                if degree:
                    found.add(degree)
                    continue
                state = (a, normed or self._norms_rows(rows, a))
                if state not in seen:
                    seen.add(state)
                    ready.append(state)
        if found:
            return min(found)
        return 0 if any(self._is_answer(j) for j in {i, *(j for j, _ in seen)}) else 1

    def _is_answer(self, i: int) -> bool:
        """Return whether what a node makes is left when the step is over, and is no cache."""
        graph, end = self._graph, self._graph.capture.calls
        return any(
            s >= 0 and graph.until[s] >= end and graph.roles[s] != _KV
            for s in graph.nodes[i].kernel.writes
        )

    def _meets(self, at: int, a: int, *, normed: bool) -> int:
        """Return the degree that a reader asks for, 0 where what it makes has to be followed."""
        node = self._graph.nodes[a]
        if node.name == "topk" or node.part == "topk":
            return 1
        if node.kernel.kind == "attention":
            heads, shared = self._heads(a)
            return shared if self._is_key(at, node) else heads
        if node.kernel.reads_parameter and not node.vector:
            return 1 if normed or node.part in ("up", "down") else ANY
        if node.part in ("state", "convolution"):
            return ANY
        return 0

    def _is_key(self, at: int, attention: Node) -> bool:
        """Return whether a node makes what attention reads as keys or values."""
        shape = attention.kernel.attention
        kept = set() if shape is None else {*shape.key_storages, *shape.value_storages}
        written = self._graph.nodes[at].kernel.writes
        return any(s in kept or (s >= 0 and self._graph.roles[s] == _KV) for s in written)

    def _heads(self, i: int) -> tuple[int, int]:
        """Return heads of queries and of keys of the attention at a node."""
        launch = self._launches.of.get(i)
        kernel = self._kernels[id(launch)] if launch is not None else None
        if kernel is not None and kernel.family == "attention":
            return int(kernel.sizes[1]), int(kernel.sizes[2])
        if kernel is not None and kernel.family == "latent-attention":
            return int(kernel.sizes[1]), 1
        return ANY, ANY

    def _norms_rows(self, rows: float, a: int) -> bool:
        """Return whether a node averages over all columns of so many rows that a product made."""
        node = self._graph.nodes[a]
        if node.part != "norm" or node.name not in _AVERAGES:
            return False
        inputs = self._graph.key(node).inputs
        return bool(inputs) and inputs[0].numel / max(inputs[0].shape[-1], 1) <= rows

    # launches -----------------------------------------------------------------------------------
    def _columns(self, nodes: list[int]) -> tuple[tuple[int, float], ...]:
        """Return degrees of the products that one launch computes, by their share of the columns.

        The products of one launch read one activation; where one stays whole its columns do.
        """
        made = {i: product_sizes(self._graph, i)[2] for i in nodes if self._role[i]}
        total = sum(made.values()) or 1.0
        return _merged((self._degree[i], width / total) for i, width in made.items())

    def _traffic(self, kernel: Kernel) -> tuple[tuple[int, float], ...]:
        """Return degrees of what a launch moves, by its share of the bytes that a batch brings."""
        moved = [(s, size) for table in (kernel.reads, kernel.writes) for s, size in table.items()
                 if not self._is_fixed(s)]  # fmt: skip
        total = sum(size for _, size in moved)
        if not total:
            return ((1, 1.0),)
        return _merged((self._storages.get(s, 1), size / total) for s, size in moved)

    def _fixed(self, kernel: Kernel) -> float:
        """Return the share of a launch's traffic that no batch changes: weights."""
        total = kernel.bytes
        fixed = sum(size for s, size in kernel.reads.items() if self._is_fixed(s))
        return fixed / total if total else 0.0

    def _is_fixed(self, s: int) -> bool:
        return s >= 0 and self._graph.roles[s] in _FIXED

    def _reduction(self, i: int) -> Reduction | None:
        """Return the collective that the results of a node need."""
        node = self._graph.nodes[i]
        outputs = self._graph.key(node).outputs
        size = float(outputs[0].nbytes) if outputs else 0.0
        if self._role[i] == "vocabulary" and not self._partial[i]:
            return Reduction(kind="gather", bytes=size, group=i)
        if self._degree[i] > 1 and self._norms_rows(self._rows[i], i):
            # Each rank has the squares of its own columns.
            return Reduction(kind="rows", bytes=4.0 * self._rows[i], group=-1 - self._graph.sink[i])
        if i not in self._reduced or i not in self._partial[i]:
            return None
        group = self._reduced[i]
        if self._role[i] == "experts":
            return Reduction(kind="experts", bytes=size, group=group)
        return Reduction(kind="rows", bytes=size, group=group)


def _merged(parts: Iterable[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
    """Return degrees with their shares added up, largest degree first."""
    found: dict[int, float] = {}
    for degree, share in parts:
        found[degree] = found.get(degree, 0.0) + share
    return tuple(sorted(found.items(), reverse=True))
