"""What an even split over chips must at least exchange.

Two splits are known. Tensor parallelism after Megatron-LM (Shoeybi et al., 2019) all-reduces the
hidden states once behind attention and once behind the feed-forward part of each block. Expert
parallelism (GShard, Lepikhin et al., 2020) sends each token's rows to the experts that it is
routed to and back, and splits everything else by sequences. The backward pass does either twice
again. The cheaper one is the bound. Must not know chips.
"""

from __future__ import annotations

import re

from crossgrade.predict.exchange import Traffic
from crossgrade.predict.lowering.cost import base_name
from crossgrade.values.capture import Capture

_BLOCK = re.compile(r"^((?:.*?\.)?\d+)(?:\.|$)")


def block_of(module: str) -> str:
    """Return the repeated block that a module path lies in, empty outside blocks."""
    found = _BLOCK.match(module)
    return found.group(1) if found else ""


def ideal_traffic(capture: Capture) -> Traffic:
    """Return rounds and payload of the bound."""
    blocks = {block_of(m) for m in capture.tables["modules"]} - {""}
    passes = 2 if capture.workload.phase == "train" else 1
    rounds, routed = _routed(capture)
    return Traffic(
        rounds=2 * len(blocks) * passes,
        bytes_per_round=_hidden_bytes(capture),
        routed_rounds=rounds * passes,
        routed_bytes=routed * passes,
        sequences=capture.workload.batch,
    )


def _routed(capture: Capture) -> tuple[int, float]:
    """Return how often rows go to experts or back in a forward pass, and their bytes together.

    The rows are what the first grouped product of a module reads and what its last one writes.
    """
    c = capture.columns
    forward = (c["call_stage"] == 0).nonzero()[0].tolist()
    first: dict[int, float] = {}
    last: dict[int, float] = {}
    for call in forward:
        key = capture.key(int(c["call_key"][call]))
        if base_name(key.operator) in ("_grouped_mm", "_scaled_grouped_mm"):
            module = int(c["call_module"][call])
            first.setdefault(module, key.inputs[0].nbytes)
            last[module] = key.outputs[0].nbytes
    return 2 * len(first), sum(first.values()) + sum(last.values())


def _hidden_bytes(capture: Capture) -> float:
    """Return bytes of the hidden states: the output of the first embedding, else 0."""
    for key in capture.iter_keys():
        if base_name(key.operator) == "embedding":
            return key.outputs[0].nbytes
    return 0.0
