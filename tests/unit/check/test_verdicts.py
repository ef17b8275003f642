"""The verdict, and the findings about memory, numerics and execution."""

from __future__ import annotations

import dataclasses

import pytest
from tests.conftest import small_config
from truthlib import from_config, prepared, workload

from crossgrade.check.assess import assess_phase
from crossgrade.check.numerics import SELECTORS
from crossgrade.chips.loader import chip_names, load_chip
from crossgrade.chips.optables import operator_table
from crossgrade.values.assessment import verdict_text, worst


def assessed(prepared, chip, *, chips=None, table=None, price=None):
    table = table or operator_table(chip.op_table)
    return assess_phase(prepared, chip, table, chips=chips, price_per_hour=price,
                        weights_format="as tested")  # fmt: skip


def shrunk(chip, capacity: float):
    constant = dataclasses.replace(chip.memory_capacity, value=capacity)
    return dataclasses.replace(chip, memory_capacity=constant)


def test_a_model_that_fits_runs(moe_decode):
    result = assessed(moe_decode, load_chip("h200"))
    assert result.verdict in ("runs", "runs-with-findings")
    assert result.memory.least_chips == 1


def test_too_little_memory_needs_more_chips_and_giving_them_settles_it(moe_decode):
    small = shrunk(load_chip("h200"), moe_decode.memory.peak_fused / 2.5)
    auto = assessed(moe_decode, small)
    assert auto.verdict == "needs-N-chips"
    assert verdict_text(auto.verdict, auto.memory.least_chips) == "needs-3-chips"
    assert auto.layout.chips == 3
    given = assessed(moe_decode, small, chips=3)
    assert given.verdict in ("runs", "runs-with-findings")
    short = assessed(moe_decode, small, chips=2)
    assert short.verdict == "needs-N-chips"
    [finding] = [f for f in short.findings if f.id == "CG-F201"]
    assert finding.severity == "warning"


def test_eager_execution_may_need_more_chips_than_the_answer():
    """Scores of eager attention are written; a fused kernel keeps them to itself."""
    config = small_config("gpt-oss-20b", layer_types=["full_attention"] * 2)
    ready = prepared(from_config(config), workload("prefill", tokens=2048))
    memory = ready.memory
    between = (memory.peak_fused + memory.peak_eager) / 2 / 0.94
    result = assessed(ready, shrunk(load_chip("h200"), between))
    assert (result.memory.least_chips, result.memory.least_chips_eager) == (1, 2)
    [finding] = [f for f in result.findings if f.id == "CG-F204"]
    assert "2 chips" in finding.title
    enough = assessed(ready, shrunk(load_chip("h200"), between), chips=2)
    assert not [f for f in enough.findings if f.id == "CG-F204"]


def test_without_a_capacity_the_answer_is_unknown_and_says_so(moe_decode):
    chip = dataclasses.replace(load_chip("h200"), memory_capacity=None)
    result = assessed(moe_decode, chip)
    assert result.verdict == "unknown"
    assert "CG-F203" in {f.id for f in result.findings}


def test_without_a_bandwidth_no_time_is_given(moe_decode):
    chip = dataclasses.replace(load_chip("h200"), memory_bandwidth=None)
    result = assessed(moe_decode, chip)
    assert result.speed is None
    assert "CG-F402" in {f.id for f in result.findings}


def test_a_missing_operator_blocks(moe_decode):
    table = operator_table("cuda").with_row(
        "topk", registered=(), delegate="", composite=(), generated_from=""
    )
    assert assessed(moe_decode, load_chip("h200"), table=table).verdict == "blocked"


def test_a_chip_without_an_operator_table_is_unknown(moe_decode):
    chip = dataclasses.replace(load_chip("gaudi3"), op_table="trainium")
    assert assessed(moe_decode, chip).verdict == "unknown"


def test_a_price_gives_tokens_per_unit_of_it(moe_decode):
    result = assessed(moe_decode, load_chip("h200"), price=3.6)
    speed = result.speed
    assert speed is not None
    assert speed.tokens_per_price.low == pytest.approx(speed.tokens_per_s.low * 1000)


def test_shares_of_what_binds_add_up(moe_decode):
    speed = assessed(moe_decode, load_chip("ascend-950dt"), chips=16).speed
    assert sum(speed.share_by_bound.values()) == pytest.approx(1)
    assert sum(speed.share_by_bound_eager.values()) == pytest.approx(1)
    assert 0 < speed.network_s.low <= speed.network_s.high


def test_every_numerics_selector_of_a_shipped_chip_is_known():
    used = {n.applies_to for name in chip_names() for n in load_chip(name).numerics}
    assert used <= set(SELECTORS)


def test_documented_numerics_become_findings_where_the_model_meets_them(moe_train):
    rules = {f.data.get("rule") for f in assessed(moe_train, load_chip("ascend-950dt")).findings}
    assert {"subnormals-flushed", "scatter-order"} <= rules
    assert "hf32-conv-default" not in rules  # there is no convolution in it


def test_eight_bit_weights_on_a_chip_without_them_are_a_finding(tmp_path):
    import json

    from tests.conftest import capture_of, small_config

    (tmp_path / "config.json").write_text(json.dumps(small_config("qwen3-32b-fp8")))
    prepared = capture_of(tmp_path, "decode", tokens=1, context=64)
    old, new = (assessed(prepared, load_chip(c)) for c in ("a100", "h100"))
    assert [f.data["wanted"] for f in old.findings if f.id == "CG-F302"] == ["fp8"]
    assert not [f for f in new.findings if f.id == "CG-F302"]


def test_the_worst_verdict_wins():
    assert worst(("runs", "needs-N-chips", "runs-with-findings")) == "needs-N-chips"
    assert worst(("unknown", "blocked", "runs")) == "blocked"
    assert worst(()) == "runs"


def test_training_counts_weights_as_the_module_computes(moe_train):
    result = assessed(moe_train, load_chip("h200"))
    assert set(result.memory.by_format) == {"bfloat16"}
    assert "as the module computes" in result.memory.weights_format
    assert sum(result.memory.by_format.values()) <= result.memory.weights


def test_matrix_work_without_a_peak_is_a_finding(moe_decode):
    bare = dataclasses.replace(load_chip("h200"), peaks=())
    [finding] = [f for f in assessed(moe_decode, bare).findings if f.id == "CG-F403"]
    assert "bf16" in finding.title
    assert "no time is predicted" in finding.title
    result = assessed(moe_decode, bare)
    assert result.speed is None
    assert "CG-F401" not in {f.id for f in result.findings}
    rows = (*result.levels, *result.operators, *result.findings)
    assert {row.time_share for row in rows} == {None}
    assert "CG-F403" not in {f.id for f in assessed(moe_decode, load_chip("h200")).findings}
