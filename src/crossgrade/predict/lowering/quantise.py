"""Products by 8-bit and 4-bit weights take quantised activations, which a launch has to make.

Each product of quantised operands quantises what it reads, in a launch before it, unless the norm
or the activation that makes it does so. Must not know stacks by name or models.
"""

from __future__ import annotations

from crossgrade.predict.lowering.formats import QUANTISED, Formats
from crossgrade.predict.lowering.kernel import Kernel
from crossgrade.predict.lowering.launches import Launch, Launches, summed
from crossgrade.predict.lowering.projections import PARAMETER, PRODUCTS, product_sizes
from crossgrade.values.capture import DTYPES_BYTES

_PER_WEIGHT = {
    "fp8": 1.0,
    "fp8_block": 1.03125,
    "hif8": 1.0,
    "int8": 1.0,
    "int4_a8": 1.0,
    "nvfp4": 0.5625,
    "mxfp4": 1.03125,
}
"""Bytes of a quantised activation element with its scale: a 4-byte scale per 128 of a block; mxfp4
weights meet 8-bit activations with a 1-byte scale per 32."""
_OPS = 4.0
"""Element operations: absolute value, maximum, product, conversion; assumed."""


def add_quantisers(launches: Launches, formats: Formats) -> None:
    """Append the launches that quantise activations."""
    stack, graph = launches.stack, launches.graph
    if not stack["quantise"]:
        return
    for launch in list(launches.all):
        if not launch.nodes or graph.nodes[launch.nodes[0]].name not in PRODUCTS:
            continue
        first = graph.nodes[launch.nodes[0]]
        format = formats.of(first.kernel)
        if format not in QUANTISED or not first.kernel.reads_parameter:
            continue
        makers = launches.makers(launch)
        if len(makers) == 1 and _takes_it(launches, makers[0]):
            makers[0].op += "_quantise"
            continue
        _, m, _, k = product_sizes(graph, launch.nodes[0])
        quantiser = Launch(op="quantise", nodes=[], at=launch.at - 0.25, like=launch)
        quantiser.kernel = _kernel(summed(graph, launch.nodes), m, k, format)
        launches.all.append(quantiser)


def absorbed_formats(launches: Launches) -> None:
    """Let absorbed weights be multiplied in the format of activations, where a stack does so.

    It has converted them ahead of the step and reads more bytes of them.
    """
    if launches.stack["absorbed_format"] != "activations":
        return
    graph = launches.graph
    for launch in launches.all:
        for kernel in (graph.nodes[i].kernel for i in launch.nodes):
            if launch.op == "bmm" and kernel.sizes and kernel.weight_format:
                batch, _, n, k = kernel.sizes
                for s in kernel.reads:
                    if s >= 0 and graph.roles[s] == PARAMETER:
                        kernel.reads[s] = batch * n * k * DTYPES_BYTES[kernel.dtype]
                kernel.weight_format = ""


def _takes_it(launches: Launches, maker: Launch) -> bool:
    """Return whether what makes the activation quantises it, and nobody reads it otherwise."""
    stack = launches.stack
    if len(launches.readers(maker)) != 1 or maker.op.endswith("_quantise"):
        return False
    if maker.op.endswith("rms_norm"):
        return bool(stack["norm_quantise"])
    return maker.op == "act_mul" and bool(stack["act_quantise"])


def _kernel(product: Kernel, m: float, k: float, format: str) -> Kernel:
    """Return the launch that quantises the activation [m, k] of a product.

    What it writes gets a storage below zero; the product goes on to read what it read.
    """
    return Kernel(
        calls=product.calls[:1],
        kind="vector",
        label="quantise",
        dtype=product.dtype,
        vector_ops=_OPS * m * k,
        reads={min(product.reads): 2.0 * m * k},
        writes={-(1 << 40) - product.calls[0]: _PER_WEIGHT[format] * m * k},
        family="quantise",
        op="quantise",
        format=format,
        sizes=(m, k),
    )
