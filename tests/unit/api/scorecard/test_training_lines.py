"""Lines of training steps: small models in place of large ones, rows as their tables have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crossgrade.api.scorecard import neusight, training
from crossgrade.chips.loader import load_chip
from crossgrade.predict.sources import neusight_steps, training_steps
from crossgrade.values.training import PRODUCTS

SELENE = "model,mode,measured_step_s\nmegatron-22B,full recompute,1.42\n"
RECIPES = (
    "repo,path,step,step_s,tflops_per_device,tokens_s_device,chip\n"
    "tpu-recipes,training/v5p/GPT3-175B-MaxText/README.md,2,22.197,397.246,369.059,v5p\n"
    "tpu-recipes,training/v5p/Llama4-Scout-17B-16E-Maxtext/README.md,11,31.652,225.491,2070,v5p\n"
)
NEUSIGHT = (
    "model_name,seqlen,batch,device,mode,option,label_all_e2e_latency,neusight_all_e2e_latency\n"
    "gpt2_large,1024,4,NVIDIA_A100-SXM4-40GB,train,tp4,484.8684,525.5815\n"
    "gpt2_large,1024,4,NVIDIA_L4,inf,fusion,886.8235,952.0\n"
    "gpt2_large,1024,4,NVIDIA_H100_80GB_HBM3,train,,638.8086,650.0\n"
    "switchxl4,512,1,NVIDIA_H100_80GB_HBM3,inf,,96.6,99.0\n"
    "gpt2_large,1024,8,Tesla_P100-PCIE-16GB,inf,,2603.1,2782.5\n"
)
SMALL = {"n_embd": 256, "n_head": 8, "n_layer": 8}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name, text in ((training_steps.SELENE, SELENE), (training_steps.RECIPES, RECIPES),
                       (neusight_steps.FILE, NEUSIGHT)):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def small() -> dict:
    """What the page describes, with small models and few micro-batches."""
    described = training.steps_described()
    for row in (*described["selene"], *described["recipes"]):
        if "sizes" in row:
            row["sizes"] = SMALL
    for row in described["recipes"]:
        row["micro_batch"] = 1
    return described


def test_every_described_step_is_one_that_can_run() -> None:
    described = training.steps_described()
    assert {row["source"] for row in described["recipes"]} <= set(described["sources"])
    for row in described["recipes"]:
        load_chip(row["chip"])
        assert row["products"] in PRODUCTS
        replicas = row["layout"].get("dp", 1)
        assert row["batch"] == replicas * row["micro_batch"]
    for row in described["selene"]:
        assert row["batch"] % row["micro_batch"] == 0
        assert row["sizes"]["n_layer"] % (row["pp"] * row["interleave"]) == 0


def test_steps_are_told_together_and_one_by_one(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = small()
    monkeypatch.setattr(training, "steps_described", lambda: described)
    found = list(training.lines(data))

    together = [line for line in found if not line.rows_of.startswith("a step")]
    assert [line.score.rows for line in together] == [1, 2]
    # Llama 4 Scout is not described.
    assert [line.score.covered for line in together] == [1.0, 0.5]
    assert all(line.family == "training" and line.goals for line in together)
    assert len(found) == 4


def test_fp32_passes_stand_beside_the_predictions_of_the_same_rows(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = {"gpt2_large": neusight.MODELS["gpt2_large"] | SMALL}
    monkeypatch.setattr(neusight, "MODELS", models)
    found = list(neusight.lines(data))

    first = found[0]
    assert first.score.rows == 5
    assert first.score.covered == pytest.approx(3 / 5)
    theirs = first.anchors[0].score
    assert theirs is not None
    assert theirs.covered == first.score.covered
    wanted = np.mean([abs(525.5815 / 484.8684 - 1), 952 / 886.8235 - 1, 650 / 638.8086 - 1])
    assert theirs.mape == pytest.approx(wanted)
    kinds = {line.rows_of.split("fp32, ")[1] for line in found if "forward" in line.rows_of}
    assert kinds == {
        "forward and backward, on 4 devices", "forward, torch.compile",
        "forward and backward, call by call",
    }  # fmt: skip


def test_a_card_with_less_bandwidth_differs_in_that_alone() -> None:
    full, less = load_chip("a100-pcie"), neusight.device("NVIDIA_A100-PCIE-40GB")
    assert less.name == full.name
    assert less.memory_bandwidth is not None
    assert less.memory_bandwidth.value == 1.555e12
    assert less.peaks == full.peaks
