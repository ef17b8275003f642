"""What a row's service was started with: as its recipe says, or as its stack has it."""

from __future__ import annotations

import pytest
from tests.unit.api.scorecard.test_served_lines import row

from crossgrade.api.scorecard.recipes import PLAIN, recipe
from crossgrade.values.layout import Layout


def test_rows_of_somebody_else_have_the_stacks_own_options():
    assert recipe(row(ranged=False, version="0.19.0")) == PLAIN
    assert recipe(row(model="org/Unheard", version="0.19.0")) == PLAIN


@pytest.mark.parametrize(("version", "ahead"), [("0.12.0", False), ("0.14.0", None),
                                                ("nightly-5b8c30d", None), ("", None)])  # fmt: skip
def test_vllm_puts_steps_together_ahead_from_a_version_on(version, ahead):
    assert recipe(row(version=version)).limits.ahead is ahead


def test_sglang_looks_for_requests_less_often_where_there_are_many():
    def every(users, **changes):
        deepseek = row(stack="sglang", model="org/DeepSeek-V3", users=users, **changes)
        return recipe(deepseek).limits.every

    layout = Layout(chips=8, kind="sharded", tp=8)
    assert [every(users, precision="fp4") for users in (4, 15, 16, 256)] == [10, 10, 30, 30]
    assert every(64, precision="fp8", layout=layout) == 30
    replicas = Layout(chips=8, kind="sharded", tp=1, dp=8, ep=8)
    assert every(64, precision="fp4", layout=replicas) == 1


def test_limits_follow_the_length_of_prompts():
    minimax = recipe(row(model="org/MiniMax-M2.5", chip="b200", prompt=8192, version="0.19.0"))
    assert minimax.kv == "fp8"
    assert minimax.limits.max_tokens == 16384
    assert recipe(row(model="org/MiniMax-M2.5", chip="h100", version="0.19.0")) == PLAIN
