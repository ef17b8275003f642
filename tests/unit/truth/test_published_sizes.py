"""Pictures, sound, encoders, diffusion, graphs: parameters and FLOPs against what was published.

Publications count a multiply-add as one; a capture counts it as two.
"""

import dataclasses

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from truthlib import captured, workload

from crossgrade.api.options import AssessOptions
from crossgrade.api.sizing import sized
from crossgrade.capture.run import CaptureSession
from crossgrade.predict.phase import prepare
from crossgrade.workloads.resolve import find_model

EXACT_PARAMETERS = {
    # torchvision.models: `num_params` of the weights of vit_b_16, vit_l_16 and resnet50
    "vit-base-patch16-224": 86_567_656, "vit-large-patch16-224": 304_326_632,
    "resnet-50": 25_557_032,
    # parameters of the files on the Hugging Face pages of the models of these names
    "dinov2-large": 304_368_640, "whisper-large-v3": 1_543_490_560,
    "bert-base-uncased": 109_482_240, "bert-large-uncased": 335_141_888,
    "all-minilm-l6-v2": 22_713_216, "bge-m3": 567_754_752, "qwen3-embedding-0.6b": 595_776_512,
    "flux-1-dev": 11_901_408_320,
    # facebookresearch/DiT prints 675,129,632; 294,912 of them are its fixed table of positions
    "dit-xl-2": 675_129_632 - 256 * 1152,
    # OGB leaderboard of ogbn-products, full-batch GraphSAGE
    "graphsage-ogbn-products": 206_895,
}  # fmt: skip
MULTIPLY_ADDS = {
    # torchvision.models: `_ops` of the weights of vit_b_16, vit_l_16 and resnet50
    ("vit-base-patch16-224", 224): (17.564e9, 1e-4),
    ("vit-large-patch16-224", 224): (61.555e9, 1e-4),
    ("resnet-50", 224): (4.089e9, 1e-4),
    # Peebles and Xie, 2023, arXiv 2212.09748
    ("dit-xl-2", 256): (118.64e9, 0.001),
    ("dit-xl-2", 512): (524.60e9, 0.001),
}


def asked(name, phase="prefill", **options):
    """Return a built preset and one of its workloads."""
    found = find_model(name)
    built = found.build(None)
    options = AssessOptions(on=("h100",), **options)
    return built, sized(options, built, (phase,), phase, found.ref)


@pytest.mark.parametrize("name", EXACT_PARAMETERS)
def test_published_parameters(name):
    built = find_model(name).build(None)
    assert sum(p.numel() for p in built.module.parameters()) == EXACT_PARAMETERS[name]


@pytest.mark.parametrize(("name", "side"), MULTIPLY_ADDS)
def test_published_multiply_adds(name, side):
    built, wanted = asked(name, batch=2, sizes={"image": side})
    published, close = MULTIPLY_ADDS[name, side]
    per_image = prepare(CaptureSession(built).capture(wanted)).flops / wanted.batch
    assert per_image / 2 == pytest.approx(published, rel=close)


def test_bert_base_by_its_closed_form():
    """12 layers of 12 h^2 products per token, scores and values of 512 tokens, the pooler."""
    built, wanted = asked("bert-base-uncased", tokens=512)
    n, h = 512, 768
    expected = 12 * (2 * n * 12 * h * h + 4 * n * n * h) + 2 * h * h
    assert prepare(CaptureSession(built).capture(wanted)).flops == expected


def test_whisper_hears_once_and_decodes_from_its_cache():
    """The encoder by its closed form; a decode step runs no encoder and expands no keys again."""
    built, wanted = asked("whisper-large-v3")
    session = CaptureSession(built)
    heard, h, n = 1500, 1280, 4
    convolutions = 2 * 3 * (128 * h * 2 * heard + h * h * heard)
    encoder = 32 * (2 * heard * 12 * h * h + 4 * heard * heard * h)
    keys = 32 * 2 * heard * 2 * h * h
    decoder = 32 * (2 * n * 14 * h * h + 4 * n * (n + heard) * h) + 2 * n * h * 51866
    prefill = prepare(session.capture(wanted))
    assert prefill.flops == convolutions + encoder + keys + decoder
    step = dataclasses.replace(wanted, phase="decode", tokens=1, context=100, item="tokens")
    decode = prepare(session.capture(step))
    per_token = 32 * (2 * 14 * h * h + 4 * (101 + heard) * h) + 2 * h * 51866
    assert decode.flops == per_token
    # fp16 keys and values: 101 positions written, 1,500 heard, in 32 layers
    assert decode.memory.kv == 32 * 2 * (101 + heard) * h * 2


@pytest.mark.parametrize("name", ["resnet-50", "dit-xl-2"])
def test_torch_counts_the_same(name):
    built, wanted = asked(name, sizes={"image": 64})
    args, kwargs = built.inputs(wanted, torch.device("meta"))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        built.module.eval()(*args, **kwargs)
    counted = prepare(CaptureSession(built).capture(wanted)).flops
    assert counted == pytest.approx(counter.get_total_flops(), rel=1e-3)


def test_graph_messages_are_gathered_and_scattered():
    built, wanted = asked("graphsage-ogbn-products", sizes={"nodes": 1000, "edges": 5000})
    step = prepare(CaptureSession(built).capture(wanted))
    # three layers, two matrices each, on every node
    assert step.flops == 2 * 1000 * 2 * (100 * 256 + 256 * 256 + 256 * 47)
    eager = sum(k.bytes for k in step.eager)
    # messages are written, read and added in eager execution, and stay inside a fused kernel
    assert eager > 2 * 4 * 5000 * (100 + 256 + 256)
    assert sum(k.bytes for k in step.fused) < eager / 2


def test_bags_read_the_rows_that_are_named():
    built, wanted = asked("dlrm-criteo-1tb", batch=64, sizes={"hot": 4})
    step = prepare(CaptureSession(built).capture(wanted))
    rows = 26 * 64 * 4 * 128 * 4
    assert rows < sum(k.bytes for k in step.eager) < 10 * rows + 2 * step.memory.weights * 1e-3


def test_batch_norm_is_folded_into_its_convolution_in_inference_alone():
    built, wanted = asked("resnet-50", sizes={"image": 64})
    session = CaptureSession(built)
    step = prepare(session.capture(wanted))
    apart = [k for k in step.fused if k.kind == "vector"]
    assert len([k for k in step.fused if k.label == "convolution"]) == 53
    # pooling stays apart: behind the first convolution and behind the last one
    assert [k.label for k in apart] == ["native_batch_norm"] * 2
    assert sum(k.work for k in step.fused) == sum(k.work for k in step.eager)
    training = prepare(session.capture(dataclasses.replace(wanted, phase="train")))
    assert sum("batch_norm" in k.label for k in training.fused) >= 53


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in EXACT_PARAMETERS if n != "flux-1-dev"])
def test_every_preset_trains(name):
    built, wanted = asked(name, "train")
    step = prepare(CaptureSession(built).capture(wanted))
    forward = prepare(CaptureSession(built).capture(dataclasses.replace(wanted, phase="prefill")))
    assert 2.5 < step.flops / forward.flops < 4.5
    assert step.memory.gradients > 0
    assert step.memory.optimizer == pytest.approx(2 * step.memory.weights, rel=0.1)


def test_kinds_of_work_have_their_words():
    built, wanted = asked("vit-base-patch16-224", batch=8)
    assert (wanted.item, wanted.items) == ("images", 8)
    assert built.describe(wanted) == "batch 8, pictures of 224 x 224 pixels"
    built, wanted = asked("bert-base-uncased", batch=2, tokens=128)
    assert (wanted.item, wanted.items) == ("tokens", 256)
    assert captured(built, batch=2, tokens=128).calls
    assert workload("prefill").sizes == ()
