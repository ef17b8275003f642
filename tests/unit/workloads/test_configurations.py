"""Configurations out of the ordinary: what is read, and what stands in for what is not there."""

import json

import pytest
from transformers import CONFIG_MAPPING

from crossgrade.capture.run import CaptureSession
from crossgrade.values.capture import ROLES
from crossgrade.values.workload import Workload
from crossgrade.workloads import huggingface
from crossgrade.workloads.resolve import find_model

WORKLOAD = {"batch": 2, "dtype": None}


def written(model_type, architecture, **changes):
    """Return a configuration as transformers writes it to a file."""
    text = CONFIG_MAPPING[model_type](**changes).to_json_string(use_diff=False)
    return json.loads(text) | {"architectures": [architecture]}


def built(config):
    return huggingface.build(config, name="m", dtype=None)


def decode(config):
    """Return the capture of a step beside 8 cached tokens."""
    model = built(config)
    ref = find_model("qwen3-0.6b").ref
    return CaptureSession(model).capture(
        Workload(model=ref, phase="decode", tokens=1, context=8, **WORKLOAD)
    )


def state_bytes(capture):
    c = capture.columns
    kept = (c["storage_role"] == ROLES.index("kv")) & (c["storage_born"] < 0)
    return int(c["storage_bytes"][kept].sum())


def test_infinity_is_read_as_transformers_writes_it():
    config = written("mamba2", "Mamba2ForCausalLM", num_hidden_layers=1)
    assert config["time_step_limit"][1] == {"__float__": "Infinity"}
    assert built(config).module.config.time_step_limit[1] == float("inf")


@pytest.mark.parametrize("named", [True, False])
def test_a_class_for_a_part_is_built_from_the_part(named):
    config = written("llama4", "Llama4ForCausalLM")
    config["text_config"]["vocab_size"] = 512
    if not named:
        del config["architectures"]
    model = built(config)
    assert type(model.module).__name__ == "Llama4ForCausalLM"
    assert model.module.config.vocab_size == 512
    assert any("text_config" in note for note in model.notes)


def test_a_language_is_chosen_where_nobody_did():
    model = built(written("xmod", "XmodForCausalLM", num_hidden_layers=1))
    assert model.module.config.default_language == "en_XX"
    assert any("en_XX" in note for note in model.notes)


def test_a_decoder_alone_has_a_cache_for_each_of_its_layers():
    config = written("blenderbot", "BlenderbotForCausalLM", encoder_layers=1, decoder_layers=3)
    c = built(config).module.config
    expected = 3 * 2 * 2 * 8 * c.d_model * 2  # layers, keys and values, batch, tokens, bf16
    assert state_bytes(decode(config)) == expected


def test_a_model_without_a_cache_reads_everything_again():
    config = written("openai-gpt", "OpenAIGPTLMHeadModel", n_layer=1)
    assert any("reads the whole text again" in note for note in built(config).notes)
    capture = decode(config)
    ids = capture.key(int(capture.columns["call_key"][0])).inputs[0]
    assert ids.shape == (2, 9)
    assert state_bytes(capture) == 0


@pytest.mark.parametrize(("decoder", "kept"), [(False, 0), (True, 2 * 2 * 8 * 768 * 2)])
def test_an_encoder_keeps_a_cache_as_a_decoder_alone(decoder, kept):
    config = written("bert", "BertLMHeadModel", num_hidden_layers=1, is_decoder=decoder)
    assert state_bytes(decode(config)) == kept


def test_ids_are_given_whole_where_generation_gives_them_whole():
    config = written("cpmant", "CpmAntForCausalLM", num_hidden_layers=1)
    assert any((2, 9) in [m.shape for m in key.inputs] for key in decode(config).iter_keys())


@pytest.mark.parametrize(
    ("model_type", "architecture", "size"),
    [("rwkv", "RwkvForCausalLM", {"num_hidden_layers": 1}),
     ("recurrent_gemma", "RecurrentGemmaForCausalLM", {"num_hidden_layers": 3}),
     ("xlnet", "XLNetLMHeadModel", {"n_layer": 1, "mem_len": 8, "dtype": "float32"})],
)  # fmt: skip
def test_state_under_another_name_is_carried(model_type, architecture, size):
    assert state_bytes(decode(written(model_type, architecture, **size))) > 0


def test_grouped_products_of_any_width_are_captured():
    sizes = {"num_hidden_layers": 2, "first_k_dense_replace": 1, "moe_intermediate_size": 1407,
             "num_experts_per_tok": 2, "hidden_size": 64, "vocab_size": 128}  # fmt: skip
    capture = decode(written("deepseek_v2", "DeepseekV2ForCausalLM", **sizes))
    products = [k for k in capture.iter_keys() if "_grouped_mm" in k.operator]
    assert {k.outputs[0].shape for k in products} == {(4, 2 * 1407), (4, 64)}
