"""A capture -> the launches of a named stack, each with what kernel models price it by.

Stacks are data (`stacks/*.toml`); patterns are found on the graph and on the roles of storages,
never on the name of a model. Must not know chips.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from crossgrade.predict.lowering import joining
from crossgrade.predict.lowering.attention import GRADIENTS
from crossgrade.predict.lowering.cost import CallCost
from crossgrade.predict.lowering.division import Divisions
from crossgrade.predict.lowering.experts import find_experts
from crossgrade.predict.lowering.experts_launches import launch_experts
from crossgrade.predict.lowering.formats import Formats
from crossgrade.predict.lowering.graph import Graph, Node, separated
from crossgrade.predict.lowering.helpers import add_helpers
from crossgrade.predict.lowering.kernel import Kernel
from crossgrade.predict.lowering.kernels import (
    eager_kernels,
    key_costs,
    launching_calls,
    narrowed,
    needed_until,
    without_dead,
)
from crossgrade.predict.lowering.launches import Launch, Launches, summed
from crossgrade.predict.lowering.norms import find_norms
from crossgrade.predict.lowering.projections import merge_projections
from crossgrade.predict.lowering.quantise import absorbed_formats, add_quantisers
from crossgrade.predict.lowering.rotary import find_cache_writes, find_rotations
from crossgrade.predict.lowering.sizes import Sizes
from crossgrade.predict.lowering.stack import Stack, load_stack
from crossgrade.predict.lowering.states import find_convolutions, find_states
from crossgrade.values.capture import Capture
from crossgrade.values.kernel import BACKWARD, SIZES, Family, KernelRows


def lower(capture: Capture, stack: str, costs: list[CallCost] | None = None) -> list[Kernel]:
    """Return the launches of a stack.

    Args:
        capture: one execution.
        stack: name of a stack, such as `vllm`.
        costs: cost of every distinct call, where it is known already.

    Raises:
        ValueError: no such stack, or a serving stack is asked to train.
    """
    chosen = load_stack(stack)
    costs = costs or key_costs(capture)
    if chosen["graph"] == "calls":
        return _eager(capture, costs)
    if chosen["graph"] == "compiled":
        until = needed_until(capture, costs)
        calls = list(launching_calls(capture, costs, append_cache=False))
        return _launched(Graph(without_dead(calls, until, capture.calls), capture, until), chosen)
    if capture.workload.phase == "train":
        raise ValueError(f"stack {stack} serves and does not train")
    left = narrowed(capture, costs)
    return _launched(Graph(separated(left), capture, left.until), chosen)


def _eager(capture: Capture, costs: list[CallCost]) -> list[Kernel]:
    """Return one launch per launching call that has something to do."""
    graph = Graph(eager_kernels(capture, costs), capture, [])
    sizes, kernels = Sizes(graph, Formats(graph)), []
    for i, node in enumerate(graph.nodes):
        outputs = graph.key(node).outputs
        if outputs and all(m.numel == 0 for m in outputs):
            continue
        sizes.name(node.kernel, PRODUCT_OPS.get(node.name, node.name), [i], None)
        kernels.append(node.kernel)
    return kernels


def _launched(graph: Graph, stack: Stack) -> list[Kernel]:
    """Return the launches of a graph under the rules of a stack."""
    serves = stack["graph"] == "serving"
    if serves:
        graph.without_layout_copies()
    find_norms(graph)
    find_rotations(graph)
    find_cache_writes(graph)
    layers = find_experts(graph)
    if serves:
        find_convolutions(graph)
        find_states(graph)
    _find_rest(graph)
    formats = Formats(graph)
    launches = Launches(graph, stack)
    if serves:
        launch_experts(launches, layers, formats)
    _launch_units(launches)
    if stack["merge_projections"]:
        merge_projections(launches, {x.router for x in layers if x.router is not None})
    _join(launches)
    if serves:
        absorbed_formats(launches)
        add_quantisers(launches, formats)
        add_helpers(launches)
    return _kernels(launches, Sizes(graph, formats))


def _find_rest(graph: Graph) -> None:
    """Give embeddings, sums of activations and what is left a part."""
    for i, node in enumerate(graph.nodes):
        if not graph.free(i):
            continue
        if node.name in ("embedding", "_embedding_bag"):
            graph.claim("embedding", [i])
        elif node.name == "add" and _adds_activations(graph, i):
            graph.claim("add", [i])
    graph.join("pointwise")


def _adds_activations(graph: Graph, i: int) -> bool:
    """Return whether a call adds two activations of the size of its result."""
    node = graph.nodes[i]
    key = graph.key(node)
    size = key.outputs[0].numel
    return (
        len(key.inputs) == 2
        and all(m.numel == size for m in key.inputs)
        and not any(graph.nodes[b].ahead for b in node.before)
    )


PART_OPS = {"rope": "rope", "add": "add", "embedding": "embedding", "state": "recurrence",
        "cache": "cache_write", "topk": "topk", "permute": "permute", "experts-act": "act_mul",
        "combine": "combine", "pointwise": "pointwise", "ahead": "pointwise",
        "convolution": "causal_convolution"}  # fmt: skip
"""Part -> name of its launch, where the part alone decides it."""
PRODUCT_OPS = {"addmm": "mm", "linear": "mm", "baddbmm": "bmm", "absorbed": "bmm",
             "_grouped_mm": "grouped_mm", "_scaled_grouped_mm": "grouped_mm"}  # fmt: skip
"""Operator -> name of its launch, where they differ."""


def _launch_units(launches: Launches) -> None:
    """Append one launch per unit of a part, and one per matrix kernel."""
    graph = launches.graph
    units: dict[tuple[str, int], list[int]] = defaultdict(list)
    ahead, serves = launches.stack["tables"] == "ahead", launches.stack["graph"] == "serving"
    phase = "decode" if graph.capture.workload.phase == "decode" else "prefill"
    for i, node in enumerate(graph.nodes):
        if i in launches.of or node.part == "layout" or (node.part == "ahead" and ahead):
            continue
        if not node.vector and node.part not in ("state", "convolution"):
            launches.add(_product_op(node, phase), [i])
        elif node.part == "ahead" or (node.part == "cache" and not serves):
            units[node.part, -i - 1].append(i)
        else:
            units[node.part, node.unit].append(i)
    for (part, _), nodes in units.items():
        launches.add(PART_OPS.get(part) or _named(graph, part, nodes), nodes)
    for launch in launches.all:
        if launch.op == "pointwise" and _gates(launches, launch):
            launch.op = "act_mul"


def _product_op(node: Node, phase: str) -> str:
    """Return the name of a matrix kernel; scores that are reduced at once pick keys."""
    if node.kernel.kind == "attention":
        return BACKWARD if node.kernel.label == GRADIENTS else phase
    if len(node.kernel.calls) > 1 and not node.kernel.reads_parameter and node.name == "bmm":
        return "indexer"
    return PRODUCT_OPS.get(node.name, node.name)


def _named(graph: Graph, part: str, nodes: list[int]) -> str:
    """Return the name of a norm."""
    layer = any(graph.nodes[i].name in ("native_layer_norm", "var_mean") for i in nodes)
    return "layer_norm" if part == "norm" and layer else "rms_norm"


_ACTIVATIONS = frozenset({"silu", "gelu", "sigmoid", "relu", "relu6", "tanh", "hardswish"})


def _gates(launches: Launches, launch: Launch) -> bool:
    """Return whether a launch is the activation between two products of a feed-forward layer."""
    graph = launches.graph
    names = {graph.nodes[i].name for i in launch.nodes}
    ends = launches.readers(launch)
    return (
        bool(names & _ACTIVATIONS)
        and len(ends) == 1
        and graph.nodes[ends[0].nodes[0]].kernel.kind == "matmul"
        and all(graph.nodes[x.nodes[0]].kernel.kind == "matmul" for x in launches.makers(launch))
    )


def _join(launches: Launches) -> None:
    """Apply the rules that join launches."""
    stack = launches.stack
    if stack["latent_cache"] == "norm-rope-write":
        joining.join_latent_writes(launches)
    if stack["add_norm"]:
        joining.join_additions(launches)
    if stack["embedding_norm"]:
        joining.join_embeddings(launches)
    joining.join_head_norms(launches, stack["head_norm"])
    joining.join_rotations(launches)
    decodes = launches.graph.capture.workload.phase == "decode"
    joining.join_preparation(launches, stack["prepare_decode" if decodes else "prepare_prefill"])
    if stack["rope"] == "own":
        joining.split_rotations(launches)


def _kernels(launches: Launches, sizes: Sizes) -> list[Kernel]:
    """Return launches as kernels in order, with sizes and with who stands for whom."""
    ordered = sorted(launches.all, key=lambda launch: launch.at)
    place = {id(launch): i for i, launch in enumerate(ordered)}
    kernels = [launch.kernel or _kernel(launches, launch) for launch in ordered]
    for launch, kernel in zip(ordered, kernels, strict=True):
        if launch.nodes:
            sizes.name(kernel, launch.op, launch.nodes, launch.experts)
    for launch, kernel in zip(ordered, kernels, strict=True):
        kernel.op = launch.op
        if launch.leader is not None:
            leader = kernels[place[id(launch.leader)]]
            kernel.part_of = place[id(launch.leader)]
            kernel.family, kernel.format, kernel.sizes = leader.family, leader.format, ()
    named = {id(x): kernel for x, kernel in zip(ordered, kernels, strict=True)}
    divisions = Divisions(launches, named)
    for launch, kernel in zip(ordered, kernels, strict=True):
        kernel.division = divisions.of(launch, kernel)
        kernel.written_degrees = divisions.written(kernel)
    return kernels


def _kernel(launches: Launches, launch: Launch) -> Kernel:
    """Return work and traffic of a launch; a helper computes nothing that is counted."""
    if launch.nodes:
        return summed(launches.graph, launch.nodes)
    assert launch.leader is not None
    first = launches.graph.nodes[launch.leader.nodes[0]].kernel
    return Kernel(calls=first.calls[:1], kind="vector", label=launch.op, dtype=first.dtype)


def kernel_rows(kernels: list[Kernel], stack: str) -> list[tuple[KernelRows, NDArray[np.int64]]]:
    """Return rows for kernel models, each with the launch that every row stands for.

    Launches of one family, operation and format are one value. A launch that is part of another
    has no row: it is in the sizes of that one. Reads by the host have none either.

    Args:
        kernels: launches of one stack.
        stack: name of the stack, which rows carry.
    """
    groups: dict[tuple[Family, str, str], list[int]] = defaultdict(list)
    for i, kernel in enumerate(kernels):
        if kernel.family is not None and kernel.part_of is None:
            groups[kernel.family, kernel.op, kernel.format].append(i)
    result = []
    for (family, op, format), places in groups.items():
        table = np.array([kernels[i].sizes for i in places], dtype=np.float64)
        sizes = dict(zip(SIZES[family], table.T, strict=True))
        rows = KernelRows(family=family, op=op, format=format, stack=stack, sizes=sizes)
        result.append((rows, np.array(places, dtype=np.int64)))
    return result


def distinct_rows(rows: KernelRows) -> tuple[KernelRows, NDArray[np.int64]]:
    """Return rows without repetition, and for every row which of them it is.

    A model has many equal layers: price the few distinct kernels, and take them by this index.
    """
    table = np.stack([rows.sizes[name] for name in SIZES[rows.family]], axis=1)
    _, first, inverse = np.unique(table, axis=0, return_index=True, return_inverse=True)
    return rows.take(first), inverse.reshape(-1)
