"""Rules that join vector launches: residual sums, norms of heads, rotation, cache writes.

Each rule is a value of a stack's data; what it joins is found by what flows into what. Must not
know stacks by name, chips or models.
"""

from __future__ import annotations

from crossgrade.predict.lowering.graph import NOWHERE
from crossgrade.predict.lowering.launches import Launch, Launches

NORMS = ("rms_norm", "layer_norm")
"""Launches that are a norm and nothing else."""


def join_embeddings(launches: Launches) -> None:
    """Let the first norm look the rows of the embedding up."""
    for launch in [x for x in launches.all if x.op == "embedding"]:
        readers = [x for x in launches.readers(launch) if x.op in NORMS]
        if readers:
            launches.merge(readers[0], launch, f"embedding_{readers[0].op}")


def join_additions(launches: Launches) -> None:
    """Let the norm that first reads a residual sum take the sum with it."""
    for launch in [x for x in launches.all if x.op == "add"]:
        readers = [x for x in launches.readers(launch) if x.op in NORMS]
        if readers:
            launches.merge(readers[0], launch, f"add_{readers[0].op}")


def join_head_norms(launches: Launches, how: str) -> None:
    """Join the norms of query and key heads with each other, or with the rotation behind them."""
    for rotation in [x for x in launches.all if x.op == "rope"]:
        norms = [x for x in launches.makers(rotation) if x.op in NORMS]
        if how == "own" or not norms:
            continue
        for other in norms[1:]:
            launches.merge(norms[0], other, "qk_norm")
        if how == "with-rope":
            launches.merge(rotation, norms[0], "qk_norm_rope")


def join_latent_writes(launches: Launches) -> None:
    """Norm of a latent, rotation of its key and the write to the cache become one launch."""
    for write in [x for x in launches.all if x.op == "cache_write"]:
        norms = [x for x in launches.makers(write) if x.op in NORMS]
        if len(norms) != 1 or not _keeps_latent(launches, write):
            continue
        for rotation in [x for x in launches.makers(write) if x.op == "rope"]:
            own = {i for i in rotation.nodes if launches.of_component(rotation, i, write)}
            launches.merge(write, launches.split(rotation, own), "norm_rope_cache_write")
        launches.merge(write, norms[0], "norm_rope_cache_write")


def _keeps_latent(launches: Launches, write: Launch) -> bool:
    """Return whether a product by a weight, or attention over a latent, reads what is kept."""
    graph = launches.graph
    for reader in launches.readers(write):
        kernel = graph.nodes[reader.nodes[-1]].kernel
        if kernel.attention is not None and kernel.attention.latent is not None:
            return True
        if kernel.kind == "matmul" and kernel.reads_parameter:
            return True
    return False


def join_rotations(launches: Launches) -> None:
    """Let cache writes and attention take the rotation with them."""
    stack = launches.stack
    for rotation in [x for x in launches.all if x.op in ("rope", "qk_norm_rope")]:
        latent = _attends_latent(launches, rotation)
        if latent is None:
            continue
        how = (stack["latent_rope"] or stack["rope"]) if latent else stack["rope"]
        writes = [x for x in launches.readers(rotation) if x.op == "cache_write"]
        if how == "with-cache" and writes:
            launches.merge(writes[0], rotation, f"{rotation.op}_cache_write")
        elif how == "with-attention":
            attention = launches.of[launches.sink(rotation)]
            launches.merge(attention, rotation, attention.op)
    for write in [x for x in launches.all if x.op == "cache_write"]:
        reader = min(launches.attentions(write), default=NOWHERE)
        if stack["cache"] == "with-attention" and reader != NOWHERE:
            launches.merge(launches.of[reader], write, launches.of[reader].op)


def _attends_latent(launches: Launches, launch: Launch) -> bool | None:
    """Return whether results flow to attention over a latent, None if they flow elsewhere."""
    sink = launches.sink(launch)
    if sink == NOWHERE or launches.graph.nodes[sink].kernel.kind != "attention":
        return None
    shape = launches.graph.nodes[sink].kernel.attention
    return shape is not None and shape.latent is not None


def join_preparation(launches: Launches, how: str) -> None:
    """Join what a compiler joins before attention: norms of heads, rotation, cache.

    `whole`: all of it is one launch. `halves`: the swapped halves of each rotated tensor, with the
    norm of its heads, are launches of their own; the rest is one.
    """
    for rotation in [x for x in launches.all if x.op == "rope"]:
        norms = [x for x in launches.makers(rotation) if x.op in NORMS]
        if how == "whole":
            for norm in norms:
                launches.merge(rotation, norm, "prepare")
            _join_writes(launches, rotation, "prepare")
        elif how == "halves":
            _split_halves(launches, rotation, norms)
            _join_writes(launches, rotation, "rope_cache_write")


def _join_writes(launches: Launches, rotation: Launch, op: str) -> None:
    """Let a rotation write the caches that the same attention reads."""
    for write in [x for x in launches.all if x.op == "cache_write"]:
        if launches.attentions(write) & launches.attentions(rotation):
            launches.merge(rotation, write, op)


def _split_halves(launches: Launches, rotation: Launch, norms: list[Launch]) -> None:
    """Give the swapped halves of each rotated tensor a launch, with the norm before them."""
    graph = launches.graph
    negated = [i for i in rotation.nodes if graph.nodes[i].name == "neg"]
    for i in negated:
        own = {i, *(a for a in graph.nodes[i].after if graph.nodes[a].name == "cat")}
        halves = launches.split(rotation, own)
        halves.op = "rotate_half"
        for norm in norms:
            if set(norm.nodes) & set(graph.nodes[i].before):
                launches.merge(norm, halves, "rms_norm_rotate_half")


def split_rotations(launches: Launches) -> None:
    """Rotate each tensor in a launch of its own."""
    for rotation in [x for x in launches.all if x.op == "rope"]:
        left = set(rotation.nodes)
        while len(left) > 0:
            own = launches.component(left, min(left))
            left -= own
            if left:
                launches.split(rotation, own)
