"""LoRA: what is trained, what is frozen, what is refused."""

from __future__ import annotations

import json

import pytest

from crossgrade.api import AssessOptions, assess, render
from crossgrade.cli.main import main
from crossgrade.errors import BadOption
from crossgrade.values.number_kinds import kind_of


def training(model, **options):
    """Return the answer for a training step."""
    options = {"on": ("h100",), "phases": ("train",), "tokens": 64} | options
    return assess(str(model), AssessOptions(**options))


@pytest.fixture(scope="module")
def whole(dense_config):
    return training(dense_config).chips[0].phases[0]


@pytest.fixture(scope="module")
def answer(dense_config):
    return training(dense_config, lora_rank=8)


def test_adapters_alone_have_gradients_and_state(answer, whole):
    lora = answer.chips[0].phases[0]
    h, f, q, kv = 1024, 3072, 2048, 1024
    widths = [(h, q), (h, kv), (h, kv), (q, h), (h, f), (h, f), (f, h)]
    trained = 2 * 8 * sum(a + b for a, b in widths) * 2  # two layers, rank 8, bf16
    assert lora.memory.optimizer == pytest.approx(2 * trained, abs=2000)
    assert answer.parameters * 2 == pytest.approx(whole.memory.weights + trained, abs=2000)
    assert "adapters of rank 8" in lora.training
    assert "14 linear layers" in " ".join(answer.notes)


def test_frozen_layers_have_no_gradients_of_weights(answer, whole):
    """Two products per frozen layer and not three; none back into the frozen embedding."""
    lora = answer.chips[0].phases[0]
    n, r, h, f, q, kv, vocabulary = 64, 8, 1024, 3072, 2048, 1024, 151936
    widths = [(h, q), (h, kv), (h, kv), (q, h), (h, f), (h, f), (f, h)]
    linear = 2 * n * (2 * sum(a * b for a, b in widths) + h * vocabulary)
    attention = 2 * 14 * n * n * q  # two products, then five in the backward pass
    assert whole.flops == 3 * linear + attention
    adapters = 3 * 2 * n * r * 2 * sum(a + b for a, b in widths)
    into_embedding = 2 * n * sum(h * b + r * h for _, b in widths[:3])
    assert lora.flops == 2 * linear + attention + adapters - into_embedding
    # the head is frozen too, and its inputs still need a gradient
    assert lora.memory.peak_fused < whole.memory.peak_fused


def test_frozen_weights_stay_in_their_format(dense_config, answer):
    packed = training(dense_config, lora_rank=8, dtype="int4")
    few, many = (a.chips[0].phases[0].memory.weights for a in (packed, answer))
    assert few < many
    assert any("stay stored as int4" in note for note in packed.notes)
    assert "frozen" in packed.chips[0].phases[0].memory.weights_format


def test_targets_choose_layers(dense_config):
    few = training(dense_config, lora_rank=8, lora_targets=("q_proj", "v_proj"))
    assert "on 4 linear layers (q_proj, v_proj)" in " ".join(few.notes)
    assert "LoRA" in render(few)


def test_experts_have_no_adapters(moe_config):
    sparse = training(moe_config, lora_rank=4)
    assert any("experts" in note and "frozen" in note for note in sparse.notes)


@pytest.mark.parametrize(
    ("model", "options", "says"),
    [
        ("dense", {"lora_rank": 8, "lora_targets": ("wq",)}, "q_proj"),
        ("dense", {"lora_rank": 5000}, "1 to 1024"),
        ("dense", {"lora_rank": 0}, "at least 1"),
        ("dense", {"lora_targets": ("q_proj",)}, "--lora-rank 16"),
        ("dense", {"lora_rank": 8, "phases": ("prefill",)}, "--phase train"),
        ("dense", {"lora_rank": 8, "phases": ()}, "--phase train"),
        ("dense", {"shard": "full", "phases": ("prefill", "train")}, "--phase train"),
        ("dense", {"shard": "some"}, "none, optimizer"),
        ("dense", {"optimizer": "lion"}, "adamw"),
        ("dense", {"optimizer": "sgd", "phases": ("decode",)}, "--phase train"),
        ("resnet-50", {"lora_rank": 8, "tokens": None}, "--lora-targets"),
    ],
)
def test_what_makes_no_sense_is_refused(dense_config, model, options, says):
    with pytest.raises(BadOption) as caught:
        training(dense_config if model == "dense" else model, **options)
    assert says in caught.value.hint


def test_a_model_without_linear_layers_is_refused(tmp_path, monkeypatch):
    (tmp_path / "conv_only.py").write_text(
        "import torch\ndef make():\n    return torch.nn.Conv2d(3, 4, 3), torch.zeros(1, 3, 8, 8)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(BadOption, match="no linear layers"):
        training("conv_only:make", lora_rank=4, tokens=None)


def test_chips_that_share_a_step_say_so(dense_config):
    shared = training(dense_config, shard="full", chips=4, optimizer="adamw-fp32")
    phase = shared.chips[0].phases[0]
    assert (phase.layout.kind, phase.layout.dp, phase.layout.shard) == (
        "data-parallel-sharded", 4, "full",
    )  # fmt: skip
    assert phase.memory.peak_per_chip < phase.memory.peak_fused
    text = render(shared)
    for words in ("peak per chip", "memory of one replica", "4 chips share", "a batch per chip"):
        assert words in text


@pytest.mark.slow
def test_no_number_of_chips_is_a_blocker():
    answer = training("qwen3-32b", shard="optimizer", tokens=8)
    finding = next(f for f in answer.chips[0].phases[0].findings if f.id == "CG-F205")
    assert (answer.verdict, finding.severity) == ("blocked", "blocker")
    assert "--shard gradients" in finding.hint
    assert "no number" in render(answer)


def test_the_command_line_takes_all_of_it(dense_config, capsys):
    words = ["--phase", "train", "--tokens", "32", "--lora-rank", "4"]
    words += ["--lora-targets", "q_proj, v_proj", "--optimizer", "adamw-fp32"]
    words += ["--shard", "full", "--chips", "2"]
    line = ["assess", str(dense_config), "--on", "h100", *words, "--json", "--no-record"]
    with pytest.raises(SystemExit) as ended:
        main(line)
    assert ended.value.code == 0
    data = json.loads(capsys.readouterr().out)["data"]
    phase = data["chips"][0]["phases"][0]
    assert phase["layout"]["shard"] == "full"
    assert "on 4 linear layers (q_proj, v_proj)" in " ".join(data["notes"])
    assert 0 < phase["memory"]["peak_per_chip"] <= phase["memory"]["peak_fused"]
    assert kind_of("chips[].phases[].memory.peak_per_chip").kind == "predicted"
