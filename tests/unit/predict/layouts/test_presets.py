"""Shipped models of unlike kinds: eight ranks share out nearly all weights, and no sum is lost."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.predict.layouts.steps import BATCH, REF, layout
from truthlib import from_config

from crossgrade.capture.run import CaptureSession
from crossgrade.predict.layouts.pieces import pieces_of
from crossgrade.predict.layouts.step import rank_memory
from crossgrade.predict.phase import prepare
from crossgrade.values.workload import Workload
from crossgrade.workloads.resolve import find_model

LAYERS = 4
SUMS = {
    # model: sums of attention and dense layers, of routed layers, of both at once; in blocks
    "llama-4-scout-17b-16e-instruct": (8, 4, 0),
    "gemma-4-26b-a4b": (8, 4, 0),
    "qwen3.5-35b-a3b": (4, 0, 4),
    "deepseek-v4-flash": (4, 0, 4),
    "deepseek-v3.2": (7, 0, 1),
    "kimi-k2-instruct": (5, 0, 3),
    "gpt-oss-20b": (4, 4, 0),
    "mimo-v2-flash": (5, 3, 0),
    "qwen3-235b-a22b": (4, 4, 0),
}
CACHE_WHOLE = {"deepseek-v4-flash", "deepseek-v3.2", "kimi-k2-instruct"}
"""Models whose heads share one latent, or one head of keys."""


def shortened(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration with few layers, its parts too."""
    short = {key: shortened(value) if isinstance(value, dict) and key.endswith("_config") else value
             for key, value in config.items()}  # fmt: skip
    many = config.get("num_hidden_layers")
    if many is not None:
        short["num_hidden_layers"] = LAYERS
        for key, value in config.items():
            if isinstance(value, list) and len(value) == many:
                short[key] = value[:LAYERS]
    return short


QUICK = ("deepseek-v4-flash", "gemma-4-26b-a4b", "mimo-v2-flash")
"""Captured in `make test`; the others in `make test-all`."""


@pytest.mark.parametrize(
    "model", [m if m in QUICK else pytest.param(m, marks=pytest.mark.slow) for m in SUMS]
)
def test_eight_ranks_share_out_a_model(model):
    session = CaptureSession(from_config(shortened(find_model(model).config)))
    workload = Workload(model=REF, phase="decode", batch=BATCH, tokens=1, context=512, dtype=None)
    found = pieces_of(prepare(session.capture(workload)), "vllm")
    one, eight = (rank_memory(found, [layout(tp=tp)], [BATCH]) for tp in (1, 8))
    assert 8 * eight.weights[0] <= 2 * one.weights[0]
    kept = 8 * eight.cache[0] / one.cache[0]
    assert kept > 6 if model in CACHE_WHOLE else kept <= 2
    inside = {s.kinds: 0 for s in found.sums}
    for one_sum, count in found.sums.items():
        if one_sum.repeated and one_sum.bytes > 4 * BATCH:
            inside[one_sum.kinds] += count
    kinds = (frozenset({"rows"}), frozenset({"experts"}), frozenset({"rows", "experts"}))
    assert tuple(inside.get(kind, 0) for kind in kinds) == SUMS[model]
    assert sum(n for s, n in found.sums.items() if s.kinds == {"gather"}) == 1
    assert found.heads is not None
    assert found.heads % 8 == 0
    assert found.routed is not None
