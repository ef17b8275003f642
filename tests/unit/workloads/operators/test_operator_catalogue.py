"""The catalogue: its names, what it says of them, and how it refuses."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tools.operators_page import PAGE, written

from crossgrade.values.operator_case import CannotRun, OperatorCase
from crossgrade.workloads.operators import (
    build,
    default_case,
    operator_info,
    operators,
    request_of,
)
from crossgrade.workloads.operators.catalog import BUILDERS
from crossgrade.workloads.suites import read_suite

DATA = Path(__file__).parents[3] / "data"
CPU = torch.device("cpu")
NEED_DEVICES = {
    "all_reduce", "reduce_scatter", "all_gather", "all_to_all", "broadcast", "p2p",
    "all_reduce_h2d", "host2device", "device2host",
}  # fmt: skip
ALL = [info.name for info in operators()]
UPSTREAM = [info.name for info in operators() if info.xpu_perf]


def made(case: OperatorCase, seed: int = 0):
    built = build(case)
    return built, built.make_inputs(torch.Generator().manual_seed(seed), CPU)


def first(result):
    return result if isinstance(result, torch.Tensor) else result[0]


def refusal(op: str, dtype: str = "float32", **arguments) -> CannotRun:
    with pytest.raises(CannotRun) as caught:
        build(OperatorCase(op=op, dtype=dtype, arguments=arguments))
    return caught.value


def cases_of_fixtures() -> list[OperatorCase]:
    suites = (read_suite(DATA / "xpu-perf"), read_suite(DATA / "suites"))
    return [case for suite in suites for case in suite.cases if case.op in UPSTREAM]


def fixture_forms() -> list[OperatorCase]:
    """Return one case for each operator and choice of words: form, mode and formats."""
    found = {}
    for case in cases_of_fixtures():
        words = [(k, v) for k, v in case.arguments.items() if isinstance(v, (str, bool))]
        found.setdefault((case.op, case.dtype, *sorted(words)), case)
    return list(found.values())


# names -----------------------------------------------------------------------------------------
def test_all_56_operators_of_xpu_perf_are_there():
    groups = [info.group for info in operators() if info.xpu_perf]
    assert len(UPSTREAM) == len(set(UPSTREAM)) == 56
    assert {g: groups.count(g) for g in groups} == {"basic": 25, "llm": 21, "communication": 10}


def test_every_operator_runs_on_a_cpu_or_says_why():
    says_why = {}
    for name in UPSTREAM:
        try:
            built, inputs = made(default_case(name))
        except CannotRun as refused:
            says_why[name] = refused.reason
        else:
            assert isinstance(first(built.run(*inputs)), torch.Tensor)
    assert says_why == dict.fromkeys(NEED_DEVICES, "needs-devices")
    assert {i.name for i in operators() if i.not_on_cpu} == NEED_DEVICES


def test_listing_and_builders_are_the_same_names():
    assert sorted(BUILDERS) == sorted(ALL)


def test_listing_needs_no_torch():
    code = (
        "import sys; import crossgrade.workloads.operators as o; import crossgrade.workloads.suites"
        "; [o.request_of(o.default_case(i.name)) for i in o.operators()]; assert 'torch' not in "
        "sys.modules and 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_attribute_that_is_not_there_is_none():
    import crossgrade.workloads.operators as package

    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = package.nothing


# the fixtures ----------------------------------------------------------------------------------
def test_fixtures_cover_every_operator():
    assert {case.op for case in cases_of_fixtures()} == set(UPSTREAM)


def test_arguments_of_every_upstream_case_are_taken():
    refused = set()
    for case in cases_of_fixtures():
        try:
            request_of(case)
        except CannotRun as error:
            refused.add((case.op, error.reason, error.detail.split(":")[1].split(";")[0].strip()))
    assert {reason for _, reason, _ in refused} == {"unsupported-format"}
    assert {op for op, _, _ in refused} == {
        "flash_attention", "moe_quant_group_gemm", "quant_matmul",
    }  # fmt: skip
    assert {why for _, _, why in refused} == {"block-scaled"}


@pytest.mark.parametrize("case", fixture_forms(), ids=lambda case: case.key)
def test_every_form_builds_or_says_why(case):
    built = built_or_reason(case)
    if isinstance(built, str):
        assert built == ("needs-devices" if case.op in NEED_DEVICES else "unsupported-format")
        return
    assert built.buffer_bytes > 0
    assert built.bytes is not None


def built_or_reason(case: OperatorCase):
    try:
        return build(case)
    except CannotRun as refused:
        return refused.reason


def reduced(case: OperatorCase) -> OperatorCase:
    """Return a case with sizes that run in milliseconds, of the same form."""
    small = {
        "batch_size": 2, "dim_size": 64, "M": 8, "K": 32, "N": 16, "num_tokens": 32,
        "hidden_size": 64, "new_hidden_size": 32, "q_len": 5, "cache_len": 7, "block_size": 4,
        "src_batch_size": 8, "dst_batch_size": 8, "q_head_num": 4, "kv_head_num": 2,
        "num_experts": 16, "topk": 4,
    }  # fmt: skip
    own = case.arguments
    arguments = {
        k: min(v, small[k]) if k in small and type(v) is int else v for k, v in own.items()
    }
    return OperatorCase(op=case.op, dtype=case.dtype, arguments=arguments)


@pytest.mark.parametrize("case", fixture_forms(), ids=lambda case: case.key)
def test_every_form_runs_small(case):
    no_cpu = case.op in NEED_DEVICES or case.dtype == "tfloat32"
    if no_cpu or isinstance(built_or_reason(reduced(case)), str):
        return
    built, inputs = made(reduced(case))
    result = built.run(*inputs)
    for one in (result,) if isinstance(result, torch.Tensor) else result:
        assert not one.float().isnan().any()


# refusals --------------------------------------------------------------------------------------
def test_unknown_operator_names_close_ones():
    refused = refusal("flash_atention")
    assert refused.reason == "unknown-operator"
    assert "did you mean flash_attention" in refused.detail


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"m": 4, "k": 4}, "`N`: missing"),
        ({"m": 4, "k": 4, "n": 4, "q": 1}, "`q`"),
        ({"m": "4", "k": 4, "n": 4}, "`M`: a whole number"),
        ({"m": 4.0, "k": 4, "n": 4}, "`M`: a whole number"),
        ({"m": True, "k": 4, "n": 4}, "`M`: a whole number"),
        ({"m": -4, "k": 4, "n": 4}, "`M`: -4 is less than 1"),
        ({"m": 0, "k": 4, "n": 4}, "`M`: 0 is less than 1"),
        ({"m": 1 << 80, "k": 4, "n": 4}, "`M`"),
        ({"m": 4, "M": 4, "k": 4, "n": 4}, "`M`: given twice"),
        ({"m": None, "k": 4, "n": 4}, "`M`: a whole number"),
        ({"arg_type": "batch", "m": 4, "k": 4, "n": 4}, "`arg_type`"),
        ({"arg_type": "llm", "m": 4, "k": 4, "n": 4}, "`num_tokens`: missing"),
        ({"num_tokens": 2, "sp_size": 4, "hidden_size": 4, "new_hidden_size": 4}, "`num_tokens`"),
    ],
)  # fmt: skip
def test_bad_arguments_are_named(arguments, word):
    refused = refusal("gemm", **arguments)
    assert refused.reason == "bad-arguments"
    assert refused.detail.startswith(word)


@pytest.mark.parametrize(
    ("op", "changes", "word"),
    [
        ("topk", {"k": 4096}, "`k`"),
        ("scatter", {"dst_batch_size": 7}, "`dst_batch_size`"),
        ("rms_norm", {"add_residual": 1}, "`add_residual`: true or false"),
        ("head_rms_norm", {"norm_head_start": 10}, "`norm_head_num`"),
        ("rotary_embedding", {"rope_dim": 63}, "`rope_dim`"),
        ("flash_attention", {"kv_head_num": 3}, "`q_head_num`"),
        ("flash_attention", {"q_len": None}, "`q_len`"),
        ("flash_attention", {"attn_mode": "train"}, "`attn_mode`"),
        ("flash_attention", {"block_table": [[0]]}, "`block_table`"),
        ("flash_attention", {"block_table": [[0, 1, 2, 9]]}, "`block_table`"),
        ("flash_attention", {"block_table": 3}, "`block_table`: a list"),
        ("store_kv_cache", {"block_size": 0, "slot_mapping": [1]}, "`slot_mapping`"),
        ("store_kv_cache", {"batch_size": 60000, "block_size": 1}, "`block_size`"),
        ("moe_gather", {"topk": 17}, "`topk`"),
        ("moe_gather", {"ep_size": 3}, "`num_experts`"),
        ("moe_gather", {"ep_rank": 4}, "`ep_rank`"),
        ("moe_gather", {"sp_rank": 1}, "`sp_rank`"),
        ("moe_gather", {"res_scale": "1"}, "`res_scale`: a number"),
        ("quant_matmul", {"sp_size": 3, "transpose_o": True}, "`new_hidden_size`"),
        ("moe_softmax_topk", {"topk": 65}, "`topk`"),
    ],
)  # fmt: skip
def test_arguments_that_do_not_fit_are_named(op, changes, word):
    case = default_case(op)
    refused = refusal(op, case.dtype, **{**case.arguments, **changes})
    assert refused.reason == "bad-arguments"
    assert refused.detail.startswith(word)


@pytest.mark.parametrize(
    ("dtype", "why"),
    [
        ("int8", "does not take it"),
        ("bfloat61", "no such format"),
        ("mxfloat8", "block-scaled"),
        ("nvfp4", "block-scaled"),
    ],
)
def test_formats_that_are_not_taken(dtype, why):
    refused = refusal("softmax", dtype, batch_size=2, dim_size=8)
    assert refused.reason == "unsupported-format"
    assert why in refused.detail


@pytest.mark.parametrize("changes", [{"dtype": "int8"}, {"qk_compute_dtype": "int8"}])
def test_quantised_queries_are_not_supported(changes):
    case = default_case("flash_attention")
    dtype = changes.pop("dtype", "bfloat16")
    refused = refusal("flash_attention", dtype, **{**case.arguments, **changes})
    assert refused.reason == "unsupported-format"


@pytest.mark.parametrize("name", ["bf16", "bfloat16"])
def test_short_names_of_formats_are_taken(name):
    case = OperatorCase(op="add", dtype=name, arguments={"batch_size": 2, "dim_size": 3})
    built, inputs = made(case)
    assert built.run(*inputs).dtype == torch.bfloat16


def test_tfloat32_is_not_of_a_cpu_and_leaves_torch_as_it_was():
    before = torch.get_float32_matmul_precision()
    built = build(OperatorCase(op="gemm", dtype="tfloat32", arguments={"m": 2, "k": 2, "n": 2}))
    with pytest.raises(CannotRun) as caught:
        built.make_inputs(torch.Generator(), CPU)
    assert caught.value.reason == "unsupported-format"
    built.run(torch.ones(2, 2), torch.ones(2, 2))
    assert torch.get_float32_matmul_precision() == before


def test_communication_says_how_many_devices():
    case = default_case("all_reduce")
    refused = refusal("all_reduce", **{**case.arguments, "world_size": 8})
    assert refused.reason == "needs-devices"
    assert "8 devices" in refused.detail
    assert "bench comm" in refused.detail


def test_communication_checks_its_arguments_first():
    assert refusal("all_reduce", batch_size=2, dim_size=2).reason == "bad-arguments"
    assert (
        refusal("all_reduce", "int8", world_size=2, batch_size=2, dim_size=2).reason
        == "unsupported-format"
    )


def test_huge_cases_are_known_before_memory_is_asked_for():
    most = (1 << 31) - 1
    built = build(OperatorCase(op="gemm", dtype="float32", arguments=dict.fromkeys("mkn", most)))
    assert built.buffer_bytes == pytest.approx(3 * 4 * most**2)


_JUNK = st.one_of(
    st.sampled_from([None, True, -1, 0, 1, 3, 1 << 31, (1 << 31) - 1, 1 << 70, 1.5, math.nan, ""]),
    st.sampled_from(["x", "int8", "bf16", "llm", "batch_llm", [], [1], [[1]], [[0, -1]], {}]),
)


@settings(deadline=None)
@given(st.sampled_from(ALL), st.data())
def test_whatever_the_arguments_the_answer_is_a_reason(name, data):
    case = default_case(name)
    names = [*(a.name for a in operator_info(name).arguments), "arg_type", "zz"]
    changes = data.draw(st.dictionaries(st.sampled_from(names), _JUNK, min_size=1, max_size=3))
    dtype = data.draw(st.sampled_from([case.dtype, "int8", "fp8", "nope"]))
    arguments = {**case.arguments, **changes}
    built = built_or_reason(OperatorCase(op=name, dtype=dtype, arguments=arguments))
    reasons = ("bad-arguments", "unsupported-format", "needs-devices")
    assert built in reasons if isinstance(built, str) else built.buffer_bytes > 0


# what is said ----------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ALL)
def test_every_operator_and_argument_is_described(name):
    info = operator_info(name)
    assert info.line
    assert info.default_dtype in info.dtypes
    assert all(argument.meaning for argument in info.arguments)
    assert len({a.name for a in info.arguments}) == len(info.arguments)


@pytest.mark.parametrize("name", [n for n in ALL if n not in NEED_DEVICES])
def test_inputs_are_the_same_for_a_seed(name):
    (built, one), (_, other) = made(default_case(name)), made(default_case(name))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert built.buffer_bytes >= sum(t.nbytes for t in one)


def test_quantised_operators_say_that_they_are_not_the_engine():
    assert "widened" in build(default_case("quant_matmul")).note
    assert build(default_case("gemm")).note == ""


def test_the_page_of_operators_is_what_the_catalogue_says():
    assert PAGE.read_text(encoding="utf-8") == written(), "run python tools/operators_page.py"
