"""FLOPs of mixture-of-experts captures against forms written from the configuration's fields.

FlopCounterMode of torch 2.13 has no `_grouped_mm`, so it cannot be the witness here. The derivation
is in `closedforms`.
"""

import pytest
from closedforms import moe_flops
from truthlib import call_flops, from_config, workload
from truthmodels import preset

CLOSE = 0.01
MODELS = ("qwen3-30b-a3b", "mixtral-8x7b-v0.1", "gpt-oss-20b", "minimax-m2.5", "deepseek-v3",
          "glm-5", "qwen3-235b-a22b")  # fmt: skip


def ratio(config, batch, tokens, context=0):
    """Return captured over derived FLOPs."""
    phase = "decode" if context else "prefill"
    captured = call_flops(from_config(config), workload(phase, batch, tokens, context))
    return captured / moe_flops(config, batch, tokens, context)


@pytest.mark.parametrize("name", MODELS)
def test_prefill_of_four_layers(name):
    config = preset(name, num_hidden_layers=4)
    assert ratio(config, 2, 256) == pytest.approx(1, abs=CLOSE)


@pytest.mark.parametrize("name", ["qwen3-30b-a3b", "deepseek-v3", "glm-5"])
def test_decode_of_four_layers(name):
    config = preset(name, num_hidden_layers=4)
    assert ratio(config, 4, 1, context=512) == pytest.approx(1, abs=CLOSE)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["qwen3-30b-a3b", "deepseek-v3", "gpt-oss-120b"])
def test_prefill_of_whole_presets(name):
    assert ratio(preset(name), 1, 2048) == pytest.approx(1, abs=CLOSE)
