"""Parameter counts against the published totals, stored bytes against a written form."""

import pytest
from closedforms import v4_bytes
from truthlib import from_config, prepared, workload
from truthmodels import preset

CLOSE = 0.015
PUBLISHED = {
    # "Number of Parameters" on the model cards of Qwen/Qwen3-*
    "qwen3-0.6b": 0.6e9, "qwen3-1.7b": 1.7e9, "qwen3-8b": 8.2e9, "qwen3-32b": 32.8e9,
    "qwen3-30b-a3b": 30.5e9, "qwen3-235b-a22b": 235e9, "qwen3-coder-480b-a35b-instruct": 480e9,
    # totals on the Hugging Face pages of meta-llama/Llama-3.1-*
    "meta-llama-3.1-8b": 8.03e9, "meta-llama-3.1-70b": 70.6e9, "meta-llama-3.1-405b": 405.9e9,
    # mistral.ai: "Mixtral of experts"; "Cheaper, Better, Faster, Stronger"
    "mixtral-8x7b-v0.1": 46.7e9, "mixtral-8x22b-v0.1": 141e9,
    # DeepSeek-V3 technical report, arXiv 2412.19437: without multi-token prediction
    "deepseek-v3": 671e9, "deepseek-r1": 671e9,
    # gpt-oss model card, arXiv 2508.10925, table of parameter counts
    "gpt-oss-20b": 20.9e9, "gpt-oss-120b": 116.8e9,
    # GLM-5 technical report, arXiv 2602.15763
    "glm-5": 744e9,
    # model card of nvidia/Nemotron-H-56B-Base-8K
    "nemotron-h-56b-base-8k": 56e9,
}  # fmt: skip


def count(built):
    """Return the number of parameters, tied ones once."""
    return sum(p.numel() for p in built.module.parameters())


@pytest.mark.parametrize("name", PUBLISHED)
def test_modules_have_the_published_size(name):
    assert count(from_config(preset(name))) == pytest.approx(PUBLISHED[name], rel=CLOSE)


@pytest.mark.parametrize("name", ["qwen3-0.6b", "gpt-oss-20b", "qwen3-30b-a3b"])
def test_capture_counts_what_the_module_has(name):
    built = from_config(preset(name, num_hidden_layers=2))
    expected = count(built)
    assert prepared(built, workload("prefill", tokens=8)).memory.parameters == expected


def test_untied_head_is_counted():
    built = from_config(preset("qwen3-0.6b", tie_word_embeddings=False))
    assert count(built) == pytest.approx(
        0.751e9, rel=CLOSE
    )  # elements in its safetensors, which hold the head too


def test_native_bytes_of_v4_pro_match_the_written_form():
    config = preset("deepseek-v4-pro")
    built = from_config(config)
    stored = sum(
        built.weights.stored(name, tuple(p.shape), "bfloat16", owner(built.module, name)).bytes
        for name, p in built.module.named_parameters()
    )
    assert stored == pytest.approx(v4_bytes(config), rel=0.02)


@pytest.mark.slow
def test_captured_bytes_of_v4_pro_match_the_written_form():
    config = preset("deepseek-v4-pro")
    memory = prepared(from_config(config), workload("prefill", tokens=128)).memory
    assert memory.weights == pytest.approx(v4_bytes(config), rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_captures_have_the_published_size(name):
    memory = prepared(from_config(preset(name)), workload("prefill", tokens=8)).memory
    assert memory.parameters == pytest.approx(PUBLISHED[name], rel=CLOSE)


def owner(module, name):
    """Return the type name of the module that owns a parameter."""
    return type(module.get_submodule(name.rpartition(".")[0])).__name__
