"""Sizes and phases that only some models have: taken where they belong, refused elsewhere."""

from __future__ import annotations

import json

import pytest

from crossgrade.api import AssessOptions, assess, render
from crossgrade.cli.main import main
from crossgrade.errors import BadModelFile, BadOption, UnknownArchitecture
from crossgrade.workloads.resolve import find_model


@pytest.mark.parametrize(
    ("model", "options", "says"),
    [
        ("resnet-50", {"tokens": 3}, "--size image=N"),
        ("resnet-50", {"sizes": {"seconds": 3}}, "--batch"),
        ("resnet-50", {"sizes": {"image": 7}}, "pixels per side: 32"),
        ("vit-base-patch16-224", {"sizes": {"image": 230}}, "a multiple of 16"),
        ("vit-base-patch16-224", {"phases": ("decode",)}, "prefill, train"),
        ("bert-base-uncased", {"tokens": 513}, "fewer --tokens"),
        ("whisper-large-v3", {"phases": ("decode",), "context": 448}, "fewer --tokens"),
        ("graphsage-ogbn-products", {"batch": 2}, "--size nodes=N"),
        ("qwen3-0.6b", {"sizes": {"image": 224}}, "--tokens"),
    ],
)
def test_what_a_model_does_not_have_is_refused(model, options, says):
    with pytest.raises(BadOption) as caught:
        assess(model, AssessOptions(on=("h100",), **options))
    assert says in caught.value.hint


@pytest.mark.parametrize("text", ["image", "image=", "image=2.5", "=3=4"])
def test_a_size_needs_a_whole_number(text, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["assess", "resnet-50", "--on", "h100", "--size", text])
    assert ended.value.code == 2
    assert "NAME=VALUE" in capsys.readouterr().err


def test_a_size_is_given_once(capsys):
    words = ["--size", "image=64", "--size", "image=96"]
    with pytest.raises(SystemExit) as ended:
        main(["assess", "resnet-50", "--on", "h100", *words])
    assert ended.value.code == 2
    assert "twice" in capsys.readouterr().err


def test_rates_and_headings_speak_of_pictures():
    answer = assess(
        "resnet-50", AssessOptions(on=("h100", "ascend-910b2"), batch=4, sizes={"image": 64})
    )
    phase = answer.chips[0].phases[0]
    assert (phase.item, phase.sizes) == ("images", {"image": 64})
    text = render(answer)
    assert "prefill: batch 4, pictures of 64 x 64 pixels" in text
    assert "images/s" in text
    assert json.loads(render(answer, as_json=True))["data"]["chips"][1]["phases"][0]["sizes"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"crossgrade_model": "perpetuum-mobile"}, UnknownArchitecture),
        ({"crossgrade_model": ["graph-network"]}, UnknownArchitecture),
        ({"num_layers": 0}, BadModelFile),
        ({"num_layers": "3"}, BadModelFile),
        ({"num_layers": True}, BadModelFile),
        ({"num_heads": 3}, BadModelFile),
        ({"depth": 3}, BadModelFile),
        ({"nodes": []}, BadModelFile),
    ],
)
def test_a_written_configuration_is_checked(tmp_path, change, error):
    config = find_model("graphsage-ogbn-products").config | change
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(error) as caught:
        find_model(str(tmp_path)).build(None)
    assert caught.value.hint


def test_a_written_configuration_is_complete(tmp_path):
    config = find_model("dit-xl-2").config
    del config["patch_size"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(BadModelFile, match="patch_size is missing"):
        find_model(str(tmp_path)).build(None)
