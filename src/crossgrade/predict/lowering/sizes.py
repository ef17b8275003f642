"""Launches -> family, format and sizes, as kernel models take them.

Must not know stacks or models.
"""

from __future__ import annotations

import math

from crossgrade.predict.lowering.attention import GRADIENTS, SLOT, slot_shape
from crossgrade.predict.lowering.experts import Experts
from crossgrade.predict.lowering.formats import Formats, plain_format
from crossgrade.predict.lowering.formulas import expected_share
from crossgrade.predict.lowering.graph import Graph
from crossgrade.predict.lowering.kernel import AttentionShape, Kernel
from crossgrade.predict.lowering.kernels import narrow_cache
from crossgrade.predict.lowering.projections import product_sizes
from crossgrade.predict.lowering.states import CONVOLUTION_GRADIENTS, CONVOLUTIONS
from crossgrade.values.capture import DTYPES_BYTES, ROLES
from crossgrade.values.kernel import BACKWARD, EVEN_ODDS, Family

_KV = ROLES.index("kv")
_PER_ELEMENT = 7.0
"""Operations per token and element of a state: a decay, two products of keys and of queries with
it, and a rank-one update (Yang et al., 2024, arXiv 2412.06464, equation 10)."""
_ORDERED = frozenset({
    "mean", "sum", "amax", "max", "_softmax", "_log_softmax", "_safe_softmax", "topk", "sort",
    "native_layer_norm", "_fused_rms_norm", "native_group_norm", "var_mean", "norm", "argmax",
})  # fmt: skip
"""Operators that reduce or order rows."""


class Sizes:
    """Names launches of one graph for kernel models."""

    def __init__(self, graph: Graph, formats: Formats) -> None:
        """Read the workload's batch and phase."""
        self._graph, self._formats = graph, formats
        workload = graph.capture.workload
        self._batch = workload.batch
        self._narrow = narrow_cache(graph.capture)
        self._phase = "decode" if workload.phase == "decode" else "prefill"

    def name(self, kernel: Kernel, op: str, nodes: list[int], experts: Experts | None) -> None:
        """Fill in family, operation, format and sizes of a kernel."""
        if kernel.family is not None or kernel.kind == "host":
            kernel.op = kernel.op or op
            return
        kernel.op = op
        if kernel.label == SLOT and kernel.attention is None:
            kernel.attention = slot_shape(kernel, self._graph.capture, {})
        if kernel.label == GRADIENTS:
            self._attention_backward(kernel, nodes[0])
        elif experts is not None:
            self._experts(kernel, experts)
        elif kernel.attention is not None and op != "indexer":
            self._attention(kernel, kernel.attention)
        elif kernel.kind == "matmul" and op in _NAMED and self._is_product(nodes):
            batch, m, _, k = product_sizes(self._graph, nodes[0])
            widths = [product_sizes(self._graph, i)[2] for i in nodes if self._is_product([i])]
            _fill(kernel, "matmul", self._formats.of(kernel), (batch, m, sum(widths), k))
        elif op == "grouped_mm":
            self._grouped(kernel, nodes[0])
        elif kernel.kind == "matmul" and op in CONVOLUTIONS:
            self._convolution(kernel, nodes[0])
        elif kernel.kind == "matmul" and op in CONVOLUTION_GRADIENTS:
            self._convolution_backward(kernel, nodes[0])
        else:
            self.vector(kernel, nodes)

    def _grouped(self, kernel: Kernel, i: int) -> None:
        """Name a grouped product on its own: as many products as experts get a row, rows shared."""
        key = self._graph.key(self._graph.nodes[i])
        rows, weights = (m.shape for m in key.inputs[:2])
        if len(rows) == 2 and len(weights) == 2 and len(key.outputs[0].shape) == 3:
            # Gradients of weights: every group adds up its own share of the rows.
            groups, m, n = map(float, key.outputs[0].shape)
            _fill(kernel, "matmul", self._formats.of(kernel), (groups, m, n, rows[1] / groups))
            return
        if len(rows) != 2 or len(weights) != 3:
            self.vector(kernel, [i])
            return
        touched = weights[0] * expected_share(weights[0], rows[0])
        sizes = (touched, rows[0] / touched, float(weights[2]), float(rows[1]))
        _fill(kernel, "matmul", self._formats.of(kernel), sizes)

    def _convolution(self, kernel: Kernel, i: int) -> None:
        """Name a convolution as the product of results by what each is made of."""
        key = self._graph.key(self._graph.nodes[i])
        weight, made = key.inputs[1].shape, key.outputs[0]
        groups = max(key.inputs[0].shape[1] // max(weight[1], 1), 1)
        columns = weight[0] / groups
        rows = made.numel / max(weight[0], 1)
        sizes = (float(groups), rows, columns, float(math.prod(weight[1:])))
        _fill(kernel, "matmul", self._formats.of(kernel), sizes)

    def _convolution_backward(self, kernel: Kernel, i: int) -> None:
        """Name gradients of a convolution as products, as many as are asked for, each as much as
        the forward one."""
        inputs = self._graph.key(self._graph.nodes[i]).inputs
        made, weight = inputs[0], inputs[2].shape
        groups = max(inputs[1].shape[1] // max(weight[1], 1), 1)
        rows, columns = made.numel / max(weight[0], 1), weight[0] / groups
        inner = float(math.prod(weight[1:]))
        one = 2.0 * groups * rows * columns * inner
        wanted = max(round(kernel.flops / one), 1) if one else 1
        sizes = (float(groups * wanted), rows, columns, inner)
        _fill(kernel, "matmul", self._formats.of(kernel), sizes)

    def vector(self, kernel: Kernel, nodes: list[int]) -> None:
        """Name a launch by its traffic."""
        reads, writes = sum(kernel.reads.values()), sum(kernel.writes.values())
        rows = max((self._rows(i) for i in nodes), default=0.0)
        ops = kernel.vector_ops + kernel.work
        if kernel.op == "recurrence":
            ops = min(ops, self._step_by_step(kernel))
        _fill(kernel, "vector", plain_format(kernel.dtype), (reads, writes, ops, rows))

    def _step_by_step(self, kernel: Kernel) -> float:
        """Return element operations of a recurrence that takes one token after the other.

        Modules compute in chunks of tokens, padded to whole ones; a few tokens are done in less.
        """
        state = sum(
            size / DTYPES_BYTES[self._kv_dtype(s)]
            for s, size in kernel.writes.items()
            if s >= 0 and self._graph.roles[s] == _KV
        )
        tokens = self._graph.capture.workload.tokens
        return _PER_ELEMENT * state * tokens if state else math.inf

    def _is_product(self, nodes: list[int]) -> bool:
        """Return whether a node is a plain or batched product: convolutions are not."""
        node = self._graph.nodes[nodes[0]]
        if node.kernel.sizes:
            return True
        shapes = [len(m.shape) for m in self._graph.key(node).inputs]
        return node.name in _PRODUCTS and max(shapes) <= 3

    def _rows(self, i: int) -> float:
        """Return independent rows of a call that reduces, 0 for every other."""
        node = self._graph.nodes[i]
        if node.name not in _ORDERED or not node.vector:
            return 0.0
        key = self._graph.key(node)
        shape = key.inputs[0].shape if key.inputs else ()
        return float(math.prod(shape[:-1])) if shape else 0.0

    def _experts(self, kernel: Kernel, layer: Experts) -> None:
        graph = self._graph
        up = graph.key(graph.nodes[layer.up]).inputs
        down = graph.key(graph.nodes[layer.down]).inputs
        rows, hidden = up[0].shape[0], up[0].shape[-1]
        tokens, topk = rows / layer.topk, float(layer.topk)
        asked = float(self._batch * graph.capture.workload.tokens)
        if layer.topk == 1 and rows > asked and rows % asked == 0:
            tokens, topk = asked, rows / asked  # chosen by a table, without a ranking
        sizes = (tokens, float(hidden), float(down[0].shape[-1]), topk)
        skew = graph.capture.workload.skew
        _fill(
            kernel,
            "experts",
            self._formats.of(graph.nodes[layer.up].kernel),
            (*sizes, float(up[1].shape[0]), 1.0, 1.0, EVEN_ODDS if skew is None else skew),
        )

    def _attention(self, kernel: Kernel, shape: AttentionShape) -> None:
        """Name attention; a flat batch of products is told apart by the workload's batch."""
        batch, heads = shape.batch, shape.heads
        if batch == 1 and heads % self._batch == 0:
            batch, heads = self._batch, heads // self._batch
        queries, keys = float(shape.queries), float(shape.keys)
        grouped = self._phase == "decode" and self._graph.capture.workload.tokens == 1
        sparse = shape.latent is not None and self._phase == "decode"
        if (shape.queries == 1 or sparse or grouped) and kernel.flops:
            # Those that a mask or an indexer leaves.
            keys = max(round(keys * kernel.work / kernel.flops), 1)
        if kernel.op not in ("decode", "prefill"):
            kernel.op = self._phase
        format = plain_format(kernel.dtype)
        if self._narrow.keys() & kernel.reads.keys():
            format = NARROW_CACHE
        if shape.latent is not None:
            rank, rope = shape.latent
            sizes = (float(batch), float(heads), queries, keys, float(rank), float(rope))
            _fill(kernel, "latent-attention", format, sizes)
            return
        shared = self._kv_heads(shape, batch) or float(heads)
        window = _window(kernel, shape)
        if grouped and queries > 1:  # heads that share keys stand as queries
            heads, queries, window = round(heads * queries), 1.0, 0.0
        _fill(kernel, "attention", format,
              (float(batch), float(heads), shared, queries, keys,
               float(shape.key_size), float(shape.value_size), window))  # fmt: skip

    def _attention_backward(self, kernel: Kernel, i: int) -> None:
        """Name the backward pass of attention by the sizes of its forward pass."""
        query, key, value = (m.shape for m in self._graph.key(self._graph.nodes[i]).inputs[1:4])
        kernel.op = BACKWARD
        sizes = (*query[:2], key[1], query[2], key[2], query[3], value[3], 0)
        _fill(kernel, "attention", plain_format(kernel.dtype), tuple(map(float, sizes)))

    def _kv_heads(self, shape: AttentionShape, batch: int) -> float | None:
        """Return heads of keys, from the elements that the cache keeps; None without a cache."""
        c = self._graph.capture.columns
        kept = [s for s in shape.key_storages if s >= 0 and self._graph.roles[s] == _KV]
        if not kept or len(kept) < len(shape.key_storages):
            return None
        elements = sum(
            float(c["storage_bytes"][s]) / DTYPES_BYTES[self._kv_dtype(s)] for s in set(kept)
        )
        heads = elements / (batch * shape.keys * shape.key_size)
        return float(heads) if heads >= 1 and heads == int(heads) else None

    def _kv_dtype(self, storage: int) -> str:
        c = self._graph.capture.columns
        value = int((c["value_storage"] == storage).nonzero()[0][0])
        return self._graph.capture.meta(int(c["value_meta"][value])).dtype


NARROW_CACHE = "bf16_kv_fp8"
"""Format of attention over keys and values of 8 bits; whether they are integers or not, their bytes
are what counts, and only fp8 was measured."""
_NAMED = frozenset({"mm", "bmm", "indexer"})
"""Launches that are one product, or several side by side."""
_PRODUCTS = frozenset({"mm", "addmm", "linear", "bmm", "baddbmm", "mv", "addmv", "_scaled_mm",
                       "_int_mm", "absorbed"})  # fmt: skip


def _fill(kernel: Kernel, family: Family, format: str, sizes: tuple[float, ...]) -> None:
    kernel.family, kernel.format, kernel.sizes = family, format, sizes


def _window(kernel: Kernel, shape: AttentionShape) -> float:
    """Return the most positions that one query sees, 0 where it sees all before it.

    The mask said how many pairs of query and key are seen. Query i of n, from 1, has c + i keys
    before it or at it, c of them kept from earlier: with a window of w = c + t it sees
    min(c + i, w) of them, n c + n t - t (t - 1) / 2 pairs in all; n w where none is that early.
    """
    n, kept = shape.queries, shape.keys - shape.queries
    if n < 1 or kept < 0 or not kernel.flops:
        return 0.0
    seen = kernel.work / kernel.flops * n * shape.keys
    if seen <= n * (kept + 1):
        window = round(seen / n)
    else:
        below = (2 * n + 1) ** 2 - 8 * (seen - n * kept)
        window = kept + round(((2 * n + 1) - math.sqrt(max(below, 0.0))) / 2)
    return float(window) if 0 < window < shape.keys - 1 else 0.0
