"""Launches that a stack has beside those that compute: reductions of parts, copies, rows picked.

Must not know stacks by name or models.
"""

from __future__ import annotations

from crossgrade.predict.lowering.formats import plain_format
from crossgrade.predict.lowering.joining import NORMS
from crossgrade.predict.lowering.kernel import Kernel
from crossgrade.predict.lowering.launches import Launch, Launches, summed
from crossgrade.predict.lowering.projections import product_sizes
from crossgrade.values.capture import DTYPES_BYTES

_COPIED = -(1 << 41)
"""Storages below this hold copies that only a stack makes."""


def add_helpers(launches: Launches) -> None:
    """Append the launches that a stack has beside those that compute."""
    stack = launches.stack
    for launch in list(launches.all):
        if launch.op == "decode" and _splits(launches, launch, stack["split_decode"]):
            launches.helper("attention_reduce", launch, 0.5)
        if stack["head_norm_copies"] and launch.op in NORMS and _of_heads(launches, launch):
            _copy_before(launches, launch)
        if stack["gather_last"] != "never" and _is_head(launches, launch, stack["gather_last"]):
            _gather_before(launches, launch)
        if stack["absorbed_layout"] and launch.op == "bmm" and _absorbs_queries(launches, launch):
            _lay_out(launches, launch)


def _is_head(launches: Launches, launch: Launch, when: str) -> bool:
    """Return whether nobody reads a product, and whether it has fewer rows than its input had."""
    graph = launches.graph
    if launch.op != "mm" or launches.readers(launch):
        return False
    if when == "always":
        return True
    makers = launches.makers(launch)
    rows = product_sizes(graph, launch.nodes[0])[1]
    made = [graph.key(graph.nodes[x.nodes[-1]]).outputs[0] for x in makers if x.nodes]
    return any(m.numel // max(m.shape[-1], 1) > rows for m in made if m.shape)


def _gather_before(launches: Launches, head: Launch) -> None:
    """Append a launch that picks the rows which the head multiplies."""
    first = launches.graph.nodes[head.nodes[0]].kernel
    _, m, _, k = product_sizes(launches.graph, head.nodes[0])
    size = m * k * DTYPES_BYTES[first.dtype]
    _append(launches, "gather", head.at - 0.5, first, size)


def _absorbs_queries(launches: Launches, launch: Launch) -> bool:
    """Return whether a product makes queries for attention over a latent."""
    return any(x.op in ("decode", "prefill") for x in launches.readers(launch))


def _lay_out(launches: Launches, product: Launch) -> None:
    """Append a launch that lays an absorbed weight out anew."""
    first = launches.graph.nodes[product.nodes[0]].kernel
    batch, _, n, k = product_sizes(launches.graph, product.nodes[0])
    size = batch * n * k * DTYPES_BYTES[first.dtype]
    _append(launches, "layout", product.at - 0.5, first, size, like=product)


def _copy_before(launches: Launches, norm: Launch) -> None:
    """Append a launch that copies what a norm reads: its kernel wants heads side by side."""
    whole = summed(launches.graph, norm.nodes)
    size = max(whole.reads.values(), default=0.0)
    _append(launches, "copy", norm.at - 0.5, whole, size, like=norm)


def _append(
    launches: Launches, op: str, at: float, beside: Kernel, size: float,
    like: Launch | None = None,
) -> None:  # fmt: skip
    """Append a launch that reads and writes so many bytes beside another one."""
    launch = Launch(op=op, nodes=[], at=at, like=like)
    launch.kernel = Kernel(
        calls=beside.calls[:1],
        kind="vector",
        label=op,
        dtype=beside.dtype,
        reads={max(beside.reads, key=lambda s: beside.reads[s]): size},
        writes={_COPIED - beside.calls[0]: size},
        family="vector",
        format=plain_format(beside.dtype),
        sizes=(size, size, 0.0, 0.0),
    )
    launches.all.append(launch)


def _of_heads(launches: Launches, norm: Launch) -> bool:
    """Return whether a norm is of query or key heads: a rotation reads it."""
    return any(x.op == "rope" for x in launches.readers(norm))


def _splits(launches: Launches, attention: Launch, when: str) -> bool:
    shape = launches.graph.nodes[attention.nodes[-1]].kernel.attention
    if when == "unless-window" and shape is not None:
        longest = max(
            (k.attention.keys for n in launches.graph.nodes
             if (k := n.kernel).attention is not None), default=0)  # fmt: skip
        return shape.keys * shape.keys_read >= longest
    return when == "always"
