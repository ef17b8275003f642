"""Keys and values in a byte each: what is stored, moved and launched; states stay as they are."""

from __future__ import annotations

import pytest
from tests.conftest import capture_of, small_config

from crossgrade.errors import BadOption
from crossgrade.predict.layouts.pieces import pieces_of
from crossgrade.predict.lowering.sizes import NARROW_CACHE

SIZES = {"batch": 4, "tokens": 1, "context": 256}


def attention(prepared) -> set[str]:
    return {p.format for p in pieces_of(prepared, "vllm").pieces if p.family == "attention"}


@pytest.mark.parametrize("kv", ["fp8", "int8"])
def test_keys_and_values_are_stored_and_read_in_a_byte(dense_config, kv):
    wide = capture_of(dense_config, "decode", **SIZES)
    narrow = capture_of(dense_config, "decode", kv=kv, **SIZES)
    assert narrow.memory.kv == wide.memory.kv / 2
    assert attention(wide) == {"bf16"}
    assert attention(narrow) == {NARROW_CACHE}
    moved = [sum(sum(k.reads.values()) for k in p.fused) for p in (wide, narrow)]
    # Each layer reads keys and values of all positions once: half of that is saved.
    saved = wide.memory.kv / 2
    assert moved[0] - moved[1] == pytest.approx(saved, rel=0.02)


def test_a_prompt_writes_a_narrow_cache(dense_config):
    wide = capture_of(dense_config, "prefill", batch=1, tokens=64)
    narrow = capture_of(dense_config, "prefill", batch=1, tokens=64, kv="fp8")
    assert narrow.memory.kv == wide.memory.kv / 2
    assert attention(narrow) == {NARROW_CACHE}


def test_states_of_linear_attention_stay(tmp_path):
    import json

    config = small_config("qwen3.5-27b")
    (tmp_path / "config.json").write_text(json.dumps(config))
    wide = capture_of(tmp_path, "decode", **SIZES)
    narrow = capture_of(tmp_path, "decode", kv="fp8", **SIZES)
    assert wide.memory.kv / 2 < narrow.memory.kv < wide.memory.kv


def test_a_model_without_keys_is_refused(tmp_path):
    import json

    config = {
        "architectures": ["MambaForCausalLM"], "model_type": "mamba", "hidden_size": 64,
        "num_hidden_layers": 2, "state_size": 8, "vocab_size": 128,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(BadOption, match="--kv fp8"):
        capture_of(tmp_path, "decode", kv="fp8", **SIZES)
