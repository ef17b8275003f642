"""Folding loses no call; a difference is empty for equal captures and turns round with them."""

import dataclasses
from collections import Counter

import pytest
from torch import nn
from truthlib import captured, from_config, from_factory, from_module
from truthmodels import Layer, preset, transformer

from crossgrade.capture.diff import diff
from crossgrade.capture.fold import fold


def qwen(layers, **sizes):
    return captured(from_config(preset("qwen3-0.6b", num_hidden_layers=layers)), **sizes)


@pytest.fixture(scope="module")
def prefill():
    return qwen(4, tokens=16)


@pytest.mark.parametrize("phase", ["prefill", "train"])
def test_calls_of_all_groups_are_the_calls_of_the_capture(phase):
    capture = qwen(3, phase=phase, tokens=16)
    groups = fold(capture)
    assert sum(g.calls for g in groups) == capture.calls
    assert all(g.calls == len(g.first) * max(len(g.blocks), 1) for g in groups)


def test_equal_layers_fold(prefill):
    (layers,) = [g for g in fold(prefill) if g.stack == "model.layers"]
    assert layers.blocks == (0, 1, 2, 3)
    assert layers.calls == 4 * len(layers.first)


def test_different_layers_do_not_fold():
    capture = captured(from_config(preset("deepseek-v3", num_hidden_layers=5)), tokens=8)
    blocks = [g.blocks for g in fold(capture) if g.stack == "model.layers"]
    assert blocks == [(0, 1, 2), (3, 4)]


def test_layers_of_a_list_at_the_top_fold():
    """`nn.Sequential` names its children by bare numbers."""
    capture = captured(from_factory("transformer"))
    assert (0, 1, 2, 3) in [g.blocks for g in fold(capture)]


def test_layers_one_level_down_fold():
    net, inputs = transformer()
    capture = captured(from_module(nn.ModuleDict({"net": net})["net"], *inputs))
    wrapped = captured(from_module(Holder(net), *inputs))
    assert wrapped.calls == capture.calls
    assert (0, 1, 2, 3) in [g.blocks for g in fold(wrapped) if g.stack == "net"]


class Holder(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x)


def test_equal_captures_have_no_difference(prefill):
    assert diff(prefill, prefill) == ()
    assert diff(prefill, qwen(4, tokens=16)) == ()


def test_one_layer_more_is_seen(prefill):
    rows = diff(prefill, qwen(5, tokens=16))
    assert rows
    assert all(r.after > r.before for r in rows)


def test_difference_turns_round(prefill):
    other = qwen(4, tokens=24)
    there, back = diff(prefill, other), diff(other, prefill)
    turned = [dataclasses.replace(r, before=r.after, after=r.before) for r in back]
    assert Counter(there) == Counter(turned)


def test_difference_accounts_for_every_call(prefill):
    other = qwen(2, tokens=24)
    change = sum(r.after - r.before for r in diff(prefill, other))
    assert change == other.calls - prefill.calls


def test_an_added_operator_is_named():
    layer = Layer(64, 2, fused=False)
    inputs = (transformer(2, 8)[1][0][..., :64],)
    before = captured(from_module(layer, *inputs))
    after = captured(from_module(nn.Sequential(layer, nn.Softplus()), *inputs))
    assert [(r.operator, r.before, r.after) for r in diff(before, after)] == [
        ("aten.softplus.default", 0, 1)
    ]
