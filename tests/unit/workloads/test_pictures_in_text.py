"""Language models that look at pictures: the tower runs, and the answer says on what."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crossgrade.api import AssessOptions, assess, render
from crossgrade.errors import BadOption
from crossgrade.workloads.resolve import find_model


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Return Qwen3-VL-2B with two blocks of text and two of the tower."""
    config = find_model("qwen3-vl-2b-instruct").config
    config["text_config"] |= {"num_hidden_layers": 2}
    config["vision_config"] |= {"depth": 2, "deepstack_visual_indexes": [0, 1]}
    folder = tmp_path_factory.mktemp("looking")
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder), config["vision_config"]


def prefill(model, **options):
    """Return the answer for a prompt."""
    options = {"on": ("h100",), "phases": ("prefill",), "tokens": 512} | options
    return assess(model, AssessOptions(**options))


def test_the_tower_adds_what_its_sizes_say(small):
    """Per picture of n patches: 2 blocks, the patches, and three mergers of four patches each."""
    model, vision = small
    text = prefill(model, sizes={"images": 0}).chips[0].phases[0]
    seen = prefill(model, sizes={"images": 2, "image": 256}).chips[0].phases[0]
    n, h, f = 16 * 16, vision["hidden_size"], vision["intermediate_size"]
    blocks = 2 * (2 * n * (4 * h * h + 2 * h * f) + 4 * n * n * h)
    patches = 2 * n * 3 * 2 * 16 * 16 * h
    mergers = 3 * 2 * (n // 4) * (4 * h * 4 * h + 4 * h * vision["out_hidden_size"])
    assert seen.flops - text.flops == pytest.approx(2 * (blocks + patches + mergers), rel=1e-6)
    assert seen.inputs.endswith("128 of them 2 pictures of 256 x 256 pixels")
    assert text.inputs.endswith("no pictures")


def test_one_picture_where_the_prompt_is_long_enough(small):
    model, _ = small
    many, few = prefill(model, tokens=2048), prefill(model, tokens=512)
    assert many.chips[0].phases[0].sizes == {"images": 1, "image": 1024}
    assert few.chips[0].phases[0].sizes["images"] == 0
    assert prefill(model, tokens=64, sizes={"image": 256}).chips[0].phases[0].sizes["images"] == 1
    assert any("vision tower" in note for note in many.notes)
    assert "1,024 of them 1 picture" in render(many)


def test_a_decode_step_runs_no_tower(small):
    model, _ = small
    rows = [
        prefill(model, phases=("decode",), tokens=1, context=64, sizes={"images": n})
        for n in (0, 3)
    ]
    assert rows[0].chips[0].phases[0].flops == rows[1].chips[0].phases[0].flops


def test_training_looks_too(small):
    model, _ = small
    seen, text = (
        prefill(model, phases=("train",), sizes={"images": n, "image": 256}) for n in (1, 0)
    )
    assert seen.chips[0].phases[0].flops > text.chips[0].phases[0].flops


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"sizes": {"images": 9, "image": 256}}, "fewer --size images"),
        ({"sizes": {"image": 100}}, "a multiple of 32"),
        ({"sizes": {"images": 1, "image": 256}, "context": 64}, "images=0"),
    ],
)
def test_pictures_that_do_not_fit_are_refused(small, options, says):
    with pytest.raises(BadOption) as caught:
        prefill(small[0], **options)
    assert says in caught.value.hint


def test_a_tower_that_is_not_known_is_told():
    notes = find_model("gemma-4-26b-a4b").build(None).notes
    assert any(note.startswith("text only") for note in notes)


def test_a_tower_without_sizes_is_told(small, tmp_path):
    config = json.loads((Path(small[0]) / "config.json").read_text())
    del config["vision_config"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    notes = find_model(str(tmp_path)).build(None).notes
    assert any("no vision_config" in note for note in notes)
