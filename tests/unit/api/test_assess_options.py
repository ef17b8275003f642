"""What the user asked: checked, resolved, and never dropped silently."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossgrade import AssessOptions, assess
from crossgrade.api import chips, models, render, write_record
from crossgrade.errors import BadOption, CrossgradeError, UnknownChip
from crossgrade.records.codec import load

FACTORY = """
import torch
def fixed():
    return torch.nn.Linear(64, 64), (torch.zeros(2, 8, 64),)
def sized(batch=1, tokens=4):
    return torch.nn.Linear(64, 64), (torch.zeros(batch, tokens, 64),)
"""


@pytest.fixture
def my_models(tmp_path, monkeypatch):
    (tmp_path / "my_options_models.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "my_options_models"


@given(
    name=st.sampled_from(["batch", "tokens", "chips"]),
    value=st.integers(max_value=0) | st.integers(min_value=1 << 31),
)
def test_sizes_out_of_range_are_refused(name, value):
    with pytest.raises(BadOption, match=f"--{name}"):
        AssessOptions(on=("h200",), **{name: value}).check()


@pytest.mark.parametrize("price", [0.0, -1.0, math.nan, math.inf])
def test_a_price_must_be_a_finite_amount(price):
    with pytest.raises(BadOption, match="--price"):
        AssessOptions(on=("h200",), prices={"h200": price}).check()


def test_an_unknown_chip_is_told_before_anything_is_built():
    with pytest.raises(UnknownChip):
        assess("no-such-model", AssessOptions(on=("h201",)))


def test_inputs_of_the_models_own_count_executions_and_refuse_sizes(my_models):
    answer = assess(f"{my_models}:fixed", AssessOptions(on=("h200",)))
    [phase] = answer.chips[0].phases
    assert (phase.phase, phase.item, phase.batch) == ("prefill", "executions", 1)
    assert phase.speed.tokens_per_s.high == pytest.approx(1 / phase.speed.time_s.low)
    assert "executions/s" in render(answer)
    with pytest.raises(BadOption, match="brings its own inputs"):
        assess(f"{my_models}:fixed", AssessOptions(on=("h200",), batch=4))


def test_inputs_that_follow_the_sizes_count_tokens(my_models):
    answer = assess(f"{my_models}:sized", AssessOptions(on=("h200",), batch=3, tokens=32))
    [phase] = answer.chips[0].phases
    assert phase.item == "tokens"
    assert phase.flops == 2 * 3 * 32 * 64 * 64
    assert phase.speed.tokens_per_s.high == pytest.approx(96 / phase.speed.time_s.low)


def test_prompt_and_cache_go_to_the_phase_they_belong_to(dense_config):
    options = AssessOptions(on=("h200",), tokens=48, context=80)
    prefill, decode = assess(str(dense_config), options).chips[0].phases
    assert (prefill.tokens, prefill.context) == (48, 0)
    assert (decode.tokens, decode.context) == (1, 80)


def test_one_phase_takes_the_sizes_as_given(dense_config):
    options = AssessOptions(on=("h200",), phases=("prefill",), tokens=48, context=80)
    [prefill] = assess(str(dense_config), options).chips[0].phases
    assert (prefill.tokens, prefill.context) == (48, 80)
    assert prefill.memory.kv > 0


def test_the_users_weight_format_is_counted(dense_config):
    sizes = {}
    for dtype in ("fp32", "bf16", "fp8", "int4"):
        options = AssessOptions(on=("h200",), phases=("decode",), context=16, dtype=dtype)
        sizes[dtype] = assess(str(dense_config), options).chips[0].phases[0].memory.weights
    assert sizes["fp32"] == pytest.approx(2 * sizes["bf16"])
    assert sizes["bf16"] > sizes["fp8"] > sizes["int4"]


def test_the_cpu_of_this_machine_is_a_chip(dense_config):
    options = AssessOptions(on=("cpu",), phases=("decode",), context=16)
    answer = assess(str(dense_config), options).chips[0]
    assert answer.chip == "cpu"
    assert answer.phases[0].speed.time_s.low > 0
    said = [f"{c.source} {c.note}".lower() for c in answer.constants]
    assert any("measured" in text or "probe" in text for text in said)


def test_a_record_is_written_where_it_is_wanted(dense_config, tmp_path):
    options = AssessOptions(on=("h200",), phases=("decode",), context=16)
    answer = assess(str(dense_config), options)
    path = write_record(str(dense_config), options, answer, tmp_path)
    assert path.parent == tmp_path
    assert load(path).verdict == answer.verdict


def test_every_error_of_ours_has_a_code_and_an_exit_code():
    seen = set()
    classes = [CrossgradeError]
    while classes:
        cls = classes.pop()
        classes.extend(cls.__subclasses__())
        assert cls.code not in seen
        seen.add(cls.code)
        assert cls.exit_code in (2, 3)


def test_the_lists_are_sorted_and_complete():
    names = [row.name for row in models()]
    assert names == sorted(names)
    assert chips()[0] == "cpu"
    assert len(chips()) == 52
