"""Algebra of captured costs over random small modules."""

import itertools
import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from truthlib import from_module, prepared, workload
from truthmodels import Attention

widths = st.lists(st.integers(1, 40), min_size=2, max_size=5)


def mlp(sizes):
    layers = [part for a, b in itertools.pairwise(sizes) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers)


def flops(module, *shape, phase="prefill"):
    return prepared(from_module(module, torch.empty(*shape)), workload(phase)).flops


@settings(max_examples=8, deadline=None)
@given(sizes=widths, batch=st.integers(1, 9))
def test_mlp_has_two_per_weight_and_row(sizes, batch):
    expected = sum(2 * batch * a * b for a, b in itertools.pairwise(sizes))
    assert flops(mlp(sizes), batch, sizes[0]) == expected


@settings(max_examples=8, deadline=None)
@given(sizes=widths, batch=st.integers(1, 9), factor=st.integers(2, 7))
def test_flops_scale_with_the_batch(sizes, batch, factor):
    module = mlp(sizes)
    once, more = flops(module, batch, sizes[0]), flops(module, batch * factor, sizes[0])
    assert more == factor * once


@settings(max_examples=8, deadline=None)
@given(sizes=widths, cut=st.integers(0, 3), batch=st.integers(1, 5))
def test_flops_of_parts_add_up(sizes, cut, batch):
    whole = mlp(sizes)
    cut = 2 * min(cut, len(sizes) - 1)
    first, second = whole[:cut], whole[cut:]
    inner = sizes[cut // 2]
    parts = flops(first, batch, sizes[0]) + flops(second, batch, inner)
    assert flops(whole, batch, sizes[0]) == parts


@settings(max_examples=8, deadline=None)
@given(heads=st.integers(1, 4), size=st.integers(1, 9), tokens=st.integers(1, 17),
       batch=st.integers(1, 3))  # fmt: skip
def test_fused_and_written_attention_cost_the_same(heads, size, tokens, batch):
    width = heads * size
    both = [flops(Attention(width, heads, fused), batch, tokens, width) for fused in (False, True)]
    rows, square = batch * tokens, batch * heads * tokens**2
    assert both[0] == both[1] == 2 * rows * 4 * width**2 + 4 * square * size


@settings(max_examples=8, deadline=None)
@given(channels=st.lists(st.integers(1, 6), min_size=2, max_size=3), kernel=st.integers(1, 4),
       stride=st.integers(1, 2), side=st.integers(6, 12))  # fmt: skip
def test_convolutions_have_two_per_output_and_weight(channels, kernel, stride, side):
    module = nn.Conv2d(channels[0], channels[1], kernel, stride)
    out = math.floor((side - kernel) / stride + 1)
    expected = 2 * out**2 * math.prod(channels[:2]) * kernel**2
    assert flops(module, 1, channels[0], side, side) == expected


@settings(max_examples=8, deadline=None)
@given(sizes=widths, batch=st.integers(1, 9))
def test_training_has_at_most_three_times_the_products(sizes, batch):
    module, forward = mlp(sizes), flops(mlp(sizes), batch, sizes[0])
    first = 2 * batch * sizes[0] * sizes[1]
    # Two gradients per product, but none for the input of the first.
    assert flops(module, batch, sizes[0], phase="train") == 3 * forward - first
