"""FLOPs of a capture against `torch.utils.flop_counter`, which counts the same calls by itself.

Training compares attention written out, with matmul and softmax. One fused operator is counted
differently by construction: a flash backward has five products (the scores again), the decomposed
backward that FlopCounterMode sees on the meta device has four.
"""

import pytest
from truthlib import config_ratio, factory_ratio, workload
from truthmodels import DENSE, NARROW, preset

EXACT = 1e-3


@pytest.mark.parametrize("name", DENSE)
def test_forward_of_language_models(name):
    assert config_ratio(DENSE[name](), workload("prefill")) == pytest.approx(1, abs=EXACT)


@pytest.mark.parametrize(
    "name", ["encoder", "resnet", "mobile", "upscaler", "transformer_fused", "mixer", "perceptron"]
)
def test_forward_of_written_models(name):
    asked = workload("prefill", batch=2 if name == "encoder" else 4)
    ratio = factory_ratio(name, asked)
    assert ratio == pytest.approx(1, abs=EXACT)


@pytest.mark.parametrize("name", ["qwen3-8b", "gpt2"])
def test_decode_step_of_language_models(name):
    asked = workload("decode", tokens=1, context=128)
    assert config_ratio(DENSE[name](), asked) == pytest.approx(1, abs=EXACT)


@pytest.mark.parametrize("name", ["gemma2", "gpt2", "phi", "opt"])
def test_forward_and_backward_of_language_models(name):
    asked = workload("train", batch=2)
    assert config_ratio(DENSE[name](), asked, eager=True) == pytest.approx(1, abs=EXACT)


@pytest.mark.parametrize("name", ["meta-llama-3.1-8b", "qwen3-8b"])
def test_forward_and_backward_of_narrow_presets(name):
    config = preset(name, num_hidden_layers=2, **NARROW)
    assert config_ratio(config, workload("train"), eager=True) == pytest.approx(1, abs=EXACT)


@pytest.mark.parametrize("name", ["encoder", "resnet", "upscaler", "transformer", "mixer"])
def test_forward_and_backward_of_written_models(name):
    assert factory_ratio(name, workload("train")) == pytest.approx(1, abs=EXACT)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["qwen3-8b", "meta-llama-3.1-70b", "meta-llama-3.1-405b"])
def test_forward_of_whole_presets(name):
    assert config_ratio(preset(name), workload("prefill", tokens=512)) == pytest.approx(
        1, abs=EXACT
    )
