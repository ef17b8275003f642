"""Masks worked out from a capture against the same masks computed by torch."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from truthlib import captured, from_module

from crossgrade.predict.lowering.masks import MaskReader

NEAR = {"rel": 0.03, "abs": 0.003}
"""Many query rows are stood for by 256 of them."""


def positions(mask_of, queries, keys):
    q, k = torch.arange(queries), torch.arange(keys)
    return mask_of(q[:, None] + (keys - queries), k[None, :])


RULES = {
    "causal": lambda q, k: k <= q,
    "window": lambda q, k: (k <= q) & (k > q - 9),
    "chunks": lambda q, k: (k // 8 == q // 8) & (k <= q),
    "remainder": lambda q, k: (k % 3 == 0) | (k == q),
    "none-hidden": lambda q, k: (k >= 0) & (q >= 0),
    "prefix": lambda q, k: (k < 4).logical_or(k <= q),
}
FORMS = {
    "boolean": lambda seen: seen,
    "where": lambda seen: torch.where(seen, 0.0, torch.finfo(torch.float32).min),
    "masked-fill": lambda seen: torch.zeros_like(seen, dtype=torch.float32).masked_fill(
        seen.logical_not(), float("-inf")
    ),
    "filled-in-place": lambda seen: torch.full(seen.shape, float("-inf")).masked_fill_(seen, 0.0),
    "in-two-pieces": lambda seen: torch.cat((seen[:, :3], seen[:, 3:]), -1),
    "spread-over-heads": lambda seen: seen[None, None].expand(1, 2, -1, -1),
    "turned": lambda seen: seen.t().transpose(0, 1),
}


class Attention(nn.Module):
    """Attention under a mask that the module makes itself."""

    def __init__(self, make):
        super().__init__()
        self.make = make

    def forward(self, q, k, v):
        mask = self.make(q, k)
        return nn.functional.scaled_dot_product_attention(q, k, v, mask)


def mask_in(make, queries, keys):
    """Return what is found out about the mask that a module makes on the device."""

    def on_device(q, k):
        with torch.device(q.device):
            return make(q, k)

    tensors = [torch.empty(1, 2, n, 4) for n in (queries, keys, keys)]
    capture = captured(from_module(Attention(on_device), *tensors))
    for call in range(capture.calls):
        key = capture.key(int(capture.columns["call_key"][call]))
        if "attention" in key.operator:
            return MaskReader(capture).additive(capture.inputs_of(call)[3])
    raise AssertionError("no attention was captured")


@pytest.mark.parametrize("sizes", [(12, 12), (1, 33), (5, 40), (600, 700)])
@pytest.mark.parametrize("rule", RULES)
def test_positions_give_the_same_mask_as_torch(rule, sizes):
    truth = positions(RULES[rule], *sizes)
    found = mask_in(lambda q, k: positions(RULES[rule], *sizes), *sizes)
    assert found.share == pytest.approx(truth.float().mean().item(), **NEAR)
    keys = truth.any(0).float().mean().item()
    if sizes[0] <= 256:
        assert found.keys == pytest.approx(keys)
    else:  # rows between those that are looked at may see other keys: never too few
        assert keys - 0.01 <= found.keys <= 1


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_mask_is_read(form):
    truth = positions(RULES["window"], 20, 24)
    found = mask_in(lambda q, k: FORMS[form](positions(RULES["window"], 20, 24)), 20, 24)
    assert found.share == pytest.approx(truth.float().mean().item())


@pytest.mark.parametrize("keys", [16, 64])
def test_picked_keys_are_counted_and_not_known(keys):
    """As a sparse indexer does: k of the keys, and of them those that causality allows."""

    def make(q, k):
        scores = (q[0, 0] @ k[0, 0].t())[None]
        picked = scores.topk(8, dim=-1).indices
        hidden = torch.ones(1, 16, keys, dtype=torch.bool).scatter(-1, picked, False)
        return (~hidden & positions(RULES["causal"], 16, keys))[None]

    found = mask_in(make, 16, keys)
    allowed = positions(RULES["causal"], 16, keys).sum(-1)
    assert found.share == pytest.approx(allowed.clamp(max=8).float().mean().item() / keys)
    assert found.keys == pytest.approx(min(1.0, 16 * 8 / keys))


@pytest.mark.parametrize(
    "make",
    [
        lambda q, k: q[..., :1] > k[..., 0][..., None, :],
        lambda q, k: torch.rand(q.shape[2], k.shape[2]) > 0.5,
        lambda q, k: positions(RULES["causal"], 12, 12) & (q[0, 0, :, :1] > 0),
    ],
    ids=["data", "random", "positions-and-data"],
)
def test_a_mask_that_rests_on_data_stays_unknown(make):
    assert mask_in(make, 12, 12) is None


def test_a_mask_written_through_a_view_stays_unknown():
    """Its parts have different histories, and only the last of them is the value that is read."""

    def make(q, k):
        mask = torch.zeros(12, 12)
        mask[:, 6:].fill_(float("-inf"))
        return mask

    assert mask_in(make, 12, 12) is None


def test_a_view_taken_before_a_write_stays_unknown():
    def make(q, k):
        mask = torch.full((12, 12), float("-inf"))
        view = mask[None, None]
        mask.triu_(1)
        return view

    assert mask_in(make, 12, 12) is None


def test_a_write_through_a_view_of_all_stays_unknown():
    def make(q, k):
        mask = torch.full((12, 12), float("-inf"))
        mask.view(144).fill_(0)
        return mask

    assert mask_in(make, 12, 12) is None


def test_heads_may_see_differently():
    """One head sees a window of 2, the other of 5."""

    def windows(q, k):
        ahead = torch.arange(12)[:, None] - torch.arange(12)[None]
        size = (torch.arange(2) * 3 + 2)[:, None, None]
        return (ahead[None] >= 0) & (ahead[None] < size)

    truth = windows(None, None).float().mean().item()
    assert mask_in(windows, 12, 12).share == pytest.approx(truth)


def test_a_periodic_mask_is_not_met_in_step():
    """Every fourth query sees all, the others themselves alone."""

    def make(q, k):
        rows, keys = torch.arange(4096)[:, None], torch.arange(4096)[None]
        return (rows % 4 == 0) | (rows == keys)

    assert mask_in(make, 4096, 4096).share == pytest.approx(0.25, abs=0.06)


@pytest.mark.parametrize("alpha", [1, 2])
def test_alpha_belongs_to_the_operand_that_torch_scales(alpha):
    def make(q, k):
        rows, keys = torch.arange(8)[:, None], torch.arange(8)[None]
        return torch.rsub(rows, keys, alpha=alpha) <= 0

    truth = make(None, None).float().mean().item()
    assert mask_in(make, 8, 8).share == pytest.approx(truth)


def test_a_long_chain_stays_unknown_and_ends():
    def make(q, k):
        mask = positions(RULES["causal"], 12, 12)
        for _ in range(300):
            mask = mask & (torch.arange(12)[None] >= 0)
        return mask

    assert mask_in(make, 12, 12) is None
