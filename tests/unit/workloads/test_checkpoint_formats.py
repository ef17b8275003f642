"""Checkpoint formats from a configuration's words: bytes and format of single parameters."""

import pytest

from crossgrade.values.precision import USER_DTYPES
from crossgrade.values.quantisation import QUANTISATIONS
from crossgrade.workloads.checkpoint import as_module, from_config, from_user

LINEAR = ("model.layers.0.mlp.up_proj.weight", (512, 1024), "bfloat16", "Linear")
EXPERTS = ("model.layers.0.mlp.experts.gate_up_proj", (8, 256, 1024), "bfloat16", "SomeExperts")
EMBEDDING = ("model.embed_tokens.weight", (1000, 1024), "bfloat16", "Embedding")
HEAD = ("lm_head.weight", (1000, 1024), "bfloat16", "Linear")
NORM = ("model.norm.weight", (1024,), "bfloat16", "RMSNorm")
ROUTER = ("model.layers.0.mlp.gate.weight", (8, 1024), "bfloat16", "TopKRouter")
BIAS = ("model.layers.0.mlp.up_proj.bias", (512,), "bfloat16", "Linear")
HALF = 512 * 1024
EXPERT = 8 * 256 * 1024


def config(dtype="bfloat16", **quant):
    return {"torch_dtype": dtype, "quantization_config": quant}


def group(**weights):
    return config(
        quant_method="compressed-tensors",
        config_groups={"group_0": {"targets": ["Linear"], "weights": weights}},
    )


CASES = {
    "fp8 in blocks": (
        config(quant_method="fp8", weight_block_size=[128, 128]),
        "float8_e4m3fn", HALF + 4 * 8 * 4,
    ),
    "fp8 in blocks, scales of powers of two": (
        config(quant_method="fp8", weight_block_size=[128, 128], scale_fmt="ue8m0"),
        "float8_e4m3fn", HALF + 4 * 8 * 1,
    ),
    "fp8 per tensor": (config(quant_method="fp8"), "float8_e4m3fn", HALF + 4),
    "awq": (config(quant_method="awq", bits=4, group_size=128), "int4", HALF / 2 + 512 * 8 * 2.5),
    "gptq": (config(quant_method="gptq", bits=4, group_size=64), "int4", HALF / 2 + 512 * 16 * 2.5),
    "compressed-tensors int4": (
        group(num_bits=4, type="int", group_size=32), "int4", HALF / 2 + 512 * 32 * 2,
    ),
    "compressed-tensors fp8": (group(num_bits=8, type="float"), "float8_e4m3fn", HALF + 2),
    "compressed-tensors int8": (group(num_bits=8, type="int"), "int8", HALF + 2),
    "compressed-tensors mxfp4": (
        group(num_bits=4, type="float", group_size=32, scale_dtype="torch.uint8"), "fp4",
        HALF / 2 + 512 * 32,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_linear_weight_with_its_scales(case):
    written, form, size = CASES[case]
    stored = from_config(written).stored(*LINEAR)
    assert (stored.format, stored.bytes) == (form, size)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("parameter", [EMBEDDING, HEAD, NORM, ROUTER, BIAS])
def test_what_quantisers_leave_alone(case, parameter):
    stored = from_config(CASES[case][0]).stored(*parameter)
    assert stored.format == "bfloat16"


def test_mxfp4_covers_experts_only():
    weights = from_config(config(quant_method="mxfp4"))
    assert weights.stored(*EXPERTS).bytes == EXPERT / 2 + EXPERT / 32
    assert weights.stored(*LINEAR).format == "bfloat16"


def test_expert_dtype_comes_before_the_rest():
    written = config(quant_method="fp8", weight_block_size=[128, 128]) | {"expert_dtype": "fp4"}
    weights = from_config(written)
    assert weights.stored(*EXPERTS).format == "fp4"
    assert weights.stored(*LINEAR).format == "float8_e4m3fn"


@pytest.mark.parametrize(
    "kept",
    ["re:.*mlp.*", "re:model.layers.0.mlp.up_proj", "model.layers.0.mlp.up_proj", "up_proj", "mlp",
     "model.layers.*.mlp.up_proj", "model.layers.0.*", "model.layers.0"],
)  # fmt: skip
@pytest.mark.parametrize("field", ["ignore", "modules_to_not_convert"])
def test_ignored_module_keeps_its_format(kept, field):
    written = group(num_bits=8, type="float")
    written["quantization_config"][field] = [kept]
    assert from_config(written).stored(*LINEAR).format == "bfloat16"


@pytest.mark.parametrize("kept", ["re:.*self_attn.*", "up", "model.layers.10", "lm_head", "p_proj"])
def test_other_modules_are_not_ignored(kept):
    written = group(num_bits=8, type="float")
    written["quantization_config"]["ignore"] = [kept]
    assert from_config(written).stored(*LINEAR).format == "float8_e4m3fn"


def test_broken_pattern_does_not_stop():
    written = group(num_bits=8, type="float")
    written["quantization_config"]["ignore"] = ["re:(", "[", "*["]
    assert from_config(written).stored(*LINEAR).bytes > 0


@pytest.mark.parametrize("method", ["bitsandbytes", "hqq", "", "quark"])
def test_unknown_method_counts_as_unquantised_and_says_so(method):
    weights = from_config(config(quant_method=method))
    assert weights.stored(*LINEAR).bytes == HALF * 2
    assert "not understood" in weights.title


@pytest.mark.parametrize("field", ["torch_dtype", "dtype"])
@pytest.mark.parametrize("value", ["float16", "torch.float16"])
def test_plain_format(field, value):
    assert from_config({field: value}).stored(*LINEAR).format == "float16"


def test_missing_format_is_assumed_and_said():
    weights = from_config({})
    assert weights.stored(*LINEAR).format == "bfloat16"
    assert "assumed" in weights.title


def test_format_of_a_text_part_counts():
    written = {"text_config": config("float16", quant_method="fp8")}
    weights = from_config(written)
    assert weights.stored(*LINEAR).format == "float8_e4m3fn"
    assert weights.stored(*NORM).format == "float16"


@pytest.mark.parametrize("dtype", USER_DTYPES)
def test_user_format(dtype):
    weights, bits = from_user(dtype), {"fp64": 64, "fp32": 32, "bf16": 16, "fp16": 16, "fp8": 8,
                                       "int8": 8, "fp4": 4, "int4": 4}[dtype]  # fmt: skip
    stored = weights.stored(*LINEAR)
    scales = {"fp4": HALF / 32, "int4": HALF / 128 * 2}.get(dtype, 512 * 4 if bits == 8 else 0)
    assert (stored.format, stored.bytes) == (USER_DTYPES[dtype], HALF * bits / 8 + scales)


def test_quantisations_are_what_deployments_call_them():
    sizes = {name: from_user(name).stored(*LINEAR) for name in QUANTISATIONS}
    assert {name: one.format for name, one in sizes.items()} == {
        "w8a8": "int8", "w4a16": "int4", "w4a8": "int8", "fp8": "float8_e4m3fn",
        "fp8-block": "float8_e4m3fn", "mxfp8": "float8_e4m3fn", "mxfp4": "fp4", "nvfp4": "fp4",
        "hif8": "hif8",
    }  # fmt: skip
    assert sizes["nvfp4"].bytes == HALF / 2 + HALF / 16
    assert sizes["hif8"].bytes == HALF + 4
    assert sizes["mxfp8"].bytes == HALF + HALF / 32
    assert sizes["fp8-block"].bytes == HALF + HALF / 128**2 * 4
    assert all(from_user(name).stored(*NORM).format == "bfloat16" for name in QUANTISATIONS)


def test_module_without_configuration_is_as_it_is():
    assert as_module().stored(*LINEAR[:2], "float32", "Linear").bytes == HALF * 4


@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool"])
def test_integer_parameters_keep_their_format(dtype):
    assert from_config({"torch_dtype": "float16"}).stored("t", (3,), dtype, "Table").format == dtype


@pytest.mark.parametrize(
    "quant",
    [
        {"quant_method": "fp8", "weight_block_size": [0, 128]},
        {"quant_method": "fp8", "weight_block_size": "128"},
        {"quant_method": "awq", "bits": 4, "group_size": 0},
        {"quant_method": "gptq", "bits": 4, "group_size": "wide"},
    ],
)
def test_impossible_group_sizes_are_refused(quant):
    from crossgrade.errors import BadModelFile
    from crossgrade.workloads.checkpoint import from_config

    with pytest.raises(BadModelFile, match="quantization_config"):
        from_config({"quantization_config": quant})


def test_a_group_of_minus_one_is_a_scale_per_row():
    from crossgrade.workloads.checkpoint import from_config

    quant = {"quant_method": "gptq", "bits": 4, "group_size": -1}
    stored = from_config({"quantization_config": quant}).stored(
        "model.layers.0.mlp.up_proj.weight", (64, 1024), "bfloat16", "Linear"
    )
    assert stored.bytes == 64 * 1024 / 2 + 64 * 2.5


def test_nvfp4_keeps_one_byte_per_sixteen_values():
    from crossgrade.workloads.checkpoint import from_config

    weights = {"num_bits": 4, "type": "float", "group_size": 16}
    quant = {"config_groups": {"group_0": {"weights": weights}}}
    stored = from_config({"quantization_config": quant}).stored(
        "model.layers.0.mlp.up_proj.weight", (64, 1024), "bfloat16", "Linear"
    )
    assert stored.bytes == pytest.approx(64 * 1024 * 0.5625)
