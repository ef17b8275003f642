"""What the operator tables say about a model is read from tables and the dispatcher alone."""

from __future__ import annotations

import numpy as np
import pytest

from crossgrade.check.operator_findings import operator_findings
from crossgrade.check.operators import level_shares, operator_uses
from crossgrade.chips.optables import operator_table

GROUPED = "aten._grouped_mm.default"


def uses_on(prepared, table, soc=None):
    shares = np.full(prepared.capture.calls, 1 / prepared.capture.calls)
    return {use.op: use for use in operator_uses(prepared, table, soc, shares)}


def findings_on(prepared, table, soc=None):
    uses = tuple(uses_on(prepared, table, soc).values())
    return list(operator_findings(uses, "some-chip", "train"))


def test_a_training_step_of_a_two_layer_moe_has_96_host_synchronisations_on_npu(moe_train):
    """2 layers x 2 grouped products x (1 forward + 2 backward) x 8 experts."""
    use = uses_on(moe_train, operator_table("npu", version="2.13"), "A2")[GROUPED]
    assert use.level == "composite"
    assert use.calls == 12
    assert use.host_syncs == 96
    [finding] = [
        f for f in findings_on(moe_train, operator_table("npu"), "A2") if f.id == "CG-F101"
    ]
    assert finding.severity == "warning"
    assert finding.data["host_syncs"] == 96
    assert any("counted in the eager end" in line for line in finding.evidence)


def test_changing_the_row_of_the_table_alone_changes_the_finding(moe_train):
    table = operator_table("npu", version="2.13")
    changed = table.with_row("_grouped_mm", registered=("op_api=2.13",))
    before, after = (findings_on(moe_train, t, "A2") for t in (table, changed))
    assert any(GROUPED in f.title for f in before)
    assert not any(GROUPED in f.title for f in after)
    assert uses_on(moe_train, changed, "A2")[GROUPED].level == "native"


def test_cuda_runs_the_grouped_product_natively(moe_train):
    use = uses_on(moe_train, operator_table("cuda", version="2.13"))[GROUPED]
    assert (use.level, use.host_syncs, use.inner) == ("native", 0, ())


def test_an_operator_without_kernel_or_fallback_blocks(moe_decode):
    table = operator_table("cuda", version="2.13").with_row(
        "topk", registered=(), delegate="", composite=(), generated_from=""
    )
    found = [f for f in findings_on(moe_decode, table) if f.severity == "blocker"]
    assert [f.id for f in found] == ["CG-F103"]
    assert "topk" in found[0].title


def test_an_operator_that_falls_back_to_the_cpu_is_a_warning_with_its_place(moe_decode):
    table = operator_table("npu", version="2.13").with_row(
        "topk", registered=(), delegate="", composite=(), generated_from=""
    )
    [finding] = [f for f in findings_on(moe_decode, table, "A2") if f.id == "CG-F102"]
    assert finding.severity == "warning"
    assert "modeling_mixtral.py" in finding.place[0]


def test_a_backend_without_a_table_is_unknown_and_not_native(moe_decode):
    levels = {level for level, *_ in level_shares(tuple(
        uses_on(moe_decode, operator_table("trainium")).values()))}  # fmt: skip
    assert levels == {"unknown"}


def test_shares_of_calls_and_time_add_up(moe_train):
    uses = uses_on(moe_train, operator_table("npu"), "A2").values()
    assert sum(u.call_share for u in uses) == pytest.approx(1)
    launching = sum(u.calls for u in uses)
    assert launching == len(moe_train.eager)


def test_attention_is_one_operator_that_every_backend_fills(moe_decode):
    slot = "aten._scaled_dot_product_fused_attention_overrideable.default"
    for backend, via in (("npu", "scaled_dot_product_attention"),
                         ("cuda", "_scaled_dot_product_flash_attention")):  # fmt: skip
        support = uses_on(moe_decode, operator_table(backend))[slot].support
        assert support.level == "native"
        assert support.via.startswith(via)
