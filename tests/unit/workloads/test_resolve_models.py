"""Finding a model: what is accepted, what is refused and how, and that no code runs."""

import contextlib
import json
import os
import subprocess
import sys

import pytest

from crossgrade.errors import BadModelFile, CrossgradeError, UnknownArchitecture, UnknownModel
from crossgrade.workloads import resolve
from crossgrade.workloads.resolve import find_model, preset_names

TINY = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 64,
        "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 128,
        "vocab_size": 100}  # fmt: skip


def folder(path, config=None, **files):
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text(json.dumps(config or TINY))
    for name, text in files.items():
        (path / name.replace("__", ".")).write_text(text)
    return path


def test_every_preset_is_found():
    assert len(preset_names()) == 79
    for name in preset_names():
        found = find_model(name.upper())
        assert (found.ref.name, found.ref.kind, found.ref.runs_code) == (name, "preset", False)


def test_folder_and_file_give_the_same_model(tmp_path):
    path = folder(tmp_path / "tiny")
    by_folder, by_file = find_model(str(path)), find_model(str(path / "config.json"))
    assert by_folder.config == by_file.config
    assert by_folder.ref.name == by_file.ref.name == "tiny"
    assert by_folder.build(None).module.config.hidden_size == 64


BROKEN = {
    "cut": b'{"model_type": "llama",',
    "empty": b"",
    "list": b"[1, 2]",
    "string": b'"llama"',
    "null": b"null",
    "deep": b"[" * 200_000,
    "deep object": b'{"a":' * 200_000,
    "binary": bytes(range(256)),
    "utf-16": '{"model_type": "llama"}'.encode("utf-16"),
    "huge number": b'{"model_type": ' + b"9" * 10_000 + b"}",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_file_is_refused_in_one_line(tmp_path, kind):
    path = tmp_path / "config.json"
    path.write_bytes(BROKEN[kind])
    with pytest.raises(BadModelFile) as caught:
        find_model(str(path))
    assert caught.value.hint
    assert "config.json" in caught.value.message


@pytest.mark.parametrize("kind", BROKEN)
def test_folder_with_a_broken_file_is_refused(tmp_path, kind):
    (tmp_path / "config.json").write_bytes(BROKEN[kind])
    with pytest.raises(BadModelFile):
        find_model(str(tmp_path))


def test_byte_order_mark_is_read(tmp_path):
    path = tmp_path / "config.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(TINY).encode())
    with contextlib.suppress(BadModelFile):  # refused politely is good enough
        assert find_model(str(path)).config == TINY


def test_huge_file_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(resolve, "_LARGEST_CONFIG", 100)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(TINY))
    with pytest.raises(BadModelFile, match="more than"):
        find_model(str(path))


def test_folder_without_configuration(tmp_path):
    with pytest.raises(BadModelFile, match=r"no config\.json"):
        find_model(str(tmp_path))


def test_directory_in_place_of_the_file(tmp_path):
    (tmp_path / "config.json").mkdir()
    with pytest.raises(CrossgradeError):
        find_model(str(tmp_path))
    with pytest.raises(CrossgradeError):
        find_model(str(tmp_path / "config.json"))


@pytest.mark.parametrize("name", ["model.safetensors", "model.bin", "model.pt", "model.onnx"])
def test_weights_are_never_opened(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"\x80\x04.")
    with pytest.raises(BadModelFile, match="neither"):
        find_model(str(path))


@pytest.mark.parametrize("spec", ["qwen3-8c", "", "no such model", "a/b/c.json", "x" * 5000, "\0"])
def test_unknown_name(spec):
    with pytest.raises(CrossgradeError):
        find_model(spec)


def test_near_name_is_offered():
    with pytest.raises(UnknownModel) as caught:
        find_model("qwen3-8bb")
    assert "qwen3-8b" in caught.value.hint


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"model_type": "nothing_known", "architectures": ["NoSuchModel"]}, UnknownArchitecture),
        ({"model_type": None}, BadModelFile),
        ({"model_type": 3}, BadModelFile),
        ({"model_type": ["llama"]}, BadModelFile),
        ({"hidden_size": "many"}, BadModelFile),
        ({"hidden_size": -4}, BadModelFile),
        ({"num_attention_heads": 0}, BadModelFile),
        ({"vocab_size": None}, BadModelFile),
        ({"rope_scaling": 7}, BadModelFile),
    ],
)  # fmt: skip
def test_configuration_that_cannot_be_built(tmp_path, change, error):
    path = folder(tmp_path / "m", TINY | change)
    with pytest.raises(error) as caught:
        find_model(str(path)).build(None)
    assert caught.value.hint


@pytest.mark.parametrize("architectures", [[], None, "LlamaForCausalLM", [None], [3], {}])
def test_odd_architectures_fall_back_to_the_type(tmp_path, architectures):
    path = folder(tmp_path / "m", TINY | {"architectures": architectures})
    assert type(find_model(str(path)).build(None).module).__name__ == "LlamaForCausalLM"


@pytest.mark.parametrize("quant", ["fp8", [], 3, {}, {"quant_method": None}])
def test_odd_quantisation_does_not_stop(tmp_path, quant):
    path = folder(tmp_path / "m", TINY | {"quantization_config": quant})
    assert find_model(str(path)).build(None).weights.title


def test_broken_groups_are_refused_or_ignored(tmp_path):
    for groups in ({"g": None}, {"g": {"weights": {"num_bits": "x"}}}, {"g": {"weights": []}}):
        quant = {"quant_method": "compressed-tensors", "config_groups": groups}
        path = folder(tmp_path / "m", TINY | {"quantization_config": quant})
        with contextlib.suppress(CrossgradeError):  # either is good, a traceback is not
            assert find_model(str(path)).build(None).weights.title


@pytest.mark.parametrize(
    ("algorithm", "form"),
    [("FP8", "float8_e4m3fn"), ("NVFP4", "fp4"), ("W4A16", "int4"), ("INT8_SQ", "int8"),
     ("SOMETHING", "bfloat16")],
)  # fmt: skip
def test_modelopt_file_beside_the_configuration(tmp_path, algorithm, form):
    extra = {"quantization": {"quant_algo": algorithm, "exclude_modules": ["*kept*"]}}
    path = folder(tmp_path / "m", hf_quant_config__json=json.dumps(extra))
    weights = find_model(str(path)).build(None).weights
    assert weights.stored("a.b.weight", (64, 64), "bfloat16", "Linear").format == form
    assert weights.stored("a.kept.weight", (64, 64), "bfloat16", "Linear").format == "bfloat16"


@pytest.mark.parametrize(
    "name",
    ["llama-3.1-70b-instruct-fp8", "nvidia-nemotron-3-super-120b-a12b-fp8",
     "nvidia-nemotron-3-ultra-550b-a55b-fp8"],
)  # fmt: skip
def test_shipped_modelopt_descriptions_are_used(name):
    """Published in hf_quant_config.json and not in config.json."""
    built = find_model(name).build(None)
    assert built.weights.origin == "hf_quant_config.json"
    stored = built.weights.stored("model.layers.0.x.weight", (64, 64), "bfloat16", "Linear")
    assert stored.format == "float8_e4m3fn"
    head = built.weights.stored("lm_head.weight", (64, 64), "bfloat16", "Linear")
    assert head.format == "bfloat16"
    assert any("cache in FP8" in note for note in built.notes)
    assert any("lists no exceptions" in note for note in built.notes) == ("nemotron" in name)


def test_modelopt_file_that_is_odd(tmp_path):
    for extra in ({"quantization": []}, {"quantization": None}, {"quantization": "FP8"}):
        path = folder(tmp_path / "m", hf_quant_config__json=json.dumps(extra))
        with contextlib.suppress(CrossgradeError):  # either is good, a traceback is not
            assert find_model(str(path)).build(None).weights.title


CODE = "open({marker!r}, 'w').write('ran')\nclass Model:\n    config_class = None\n"


@pytest.mark.parametrize("known", [True, False])
def test_code_beside_a_configuration_never_runs_and_nothing_asks(tmp_path, known):
    marker = tmp_path / "ran"
    config = TINY | {
        "auto_map": {"AutoConfig": "modeling_m.Model", "AutoModelForCausalLM": "modeling_m.Model"},
        "trust_remote_code": True, "custom_pipelines": {"x": {"impl": "modeling_m.Model"}},
        "other": {"auto_map": {"AutoConfig": "modeling_m.Model"}},
    }  # fmt: skip
    if not known:
        config |= {"model_type": "mine", "architectures": ["MineForCausalLM"]}
    code = CODE.format(marker=str(marker))
    path = folder(tmp_path / "m", config, modeling_m__py=code, configuration_m__py=code,
                  __init____py=code, sitecustomize__py="")  # fmt: skip
    script = (
        "import sys\nfrom crossgrade.workloads.resolve import find_model\n"
        "try:\n    find_model(sys.argv[1]).build(None)\n    print('built')\n"
        "except Exception as error:\n    print(type(error).__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=120, cwd=tmp_path, check=False,
        env={k: v for k, v in os.environ.items() if not k.startswith("HF_")},
    )  # fmt: skip
    assert done.stdout.strip() == ("built" if known else "UnknownArchitecture"), done.stderr[-500:]
    assert "[y/N]" not in done.stdout + done.stderr
    assert not marker.exists()


def test_a_layout_whose_sizes_the_class_ignores_is_refused():
    """Step-3.7's flat file would silently become the class's default model."""
    from crossgrade.errors import UnknownArchitecture

    with pytest.raises(UnknownArchitecture, match="does not read vocab_size"):
        find_model("step-3.7-flash").build(None)


OTHER_KINDS = [
    ({"architectures": ["SwinForImageClassification"], "model_type": "swin", "embed_dim": 24,
      "depths": [1, 1], "num_heads": [2, 2], "image_size": 64, "patch_size": 4}, "images"),
    ({"architectures": ["ConvNextForImageClassification"], "model_type": "convnext",
      "depths": [1, 1, 1, 1], "hidden_sizes": [8, 16, 32, 64]}, "images"),
    ({"architectures": ["BertForMaskedLM"], "model_type": "bert",
      "num_hidden_layers": 1}, "tokens"),
    ({"architectures": ["RobertaForSequenceClassification"], "model_type": "roberta",
      "num_hidden_layers": 1, "max_position_embeddings": 130}, "tokens"),
    ({"architectures": ["Wav2Vec2ForCTC"], "model_type": "wav2vec2", "num_hidden_layers": 1,
      "conv_dim": [16] * 7, "mask_time_prob": 0.0}, "executions"),
]  # fmt: skip


@pytest.mark.parametrize("phase", ["prefill", "train"])
@pytest.mark.parametrize(("config", "item"), OTHER_KINDS, ids=lambda v: str(v)[:40])
def test_configurations_of_other_kinds_run(tmp_path, config, item, phase):
    from crossgrade.api import AssessOptions, assess

    answer = assess(
        str(folder(tmp_path / "m", config)), AssessOptions(on=("h100",), phases=(phase,))
    )
    step = answer.chips[0].phases[0]
    assert (step.item, step.flops > 0) == (item, True)
    if config["model_type"] == "roberta":
        assert step.tokens == 128  # two positions are taken by the padding
