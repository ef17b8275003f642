"""What an even split over chips must at least exchange: two all-reduces per repeated block.

Tensor parallelism after Megatron-LM (Shoeybi et al., 2019) reduces the hidden states once behind
attention and once behind the feed-forward part, and twice again in the backward pass. Must not
know chips.
"""

from __future__ import annotations

import re

from crossgrade.predict.cost import base_name
from crossgrade.predict.price import Traffic
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
    return Traffic(rounds=2 * len(blocks) * passes, bytes_per_round=_hidden_bytes(capture))


def _hidden_bytes(capture: Capture) -> float:
    """Return bytes of the hidden states: the output of the first embedding, else 0."""
    for key in capture.iter_keys():
        if base_name(key.operator) == "embedding":
            return key.outputs[0].nbytes
    return 0.0
