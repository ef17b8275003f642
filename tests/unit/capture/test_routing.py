"""Experts that are called in a loop: how many rows fall to each follows from the shapes."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from truthlib import call_flops, captured, from_module, workload

EXPERTS, CHOSEN, WIDTH, INNER = 8, 2, 16, 24


class Looped(nn.Module):
    """Every expert that was hit works on the rows that chose it, as transformers writes it."""

    def __init__(self):
        super().__init__()
        self.router = nn.Linear(WIDTH, EXPERTS, bias=False)
        self.up = nn.Parameter(torch.empty(EXPERTS, INNER, WIDTH))
        self.down = nn.Parameter(torch.empty(EXPERTS, WIDTH, INNER))

    def forward(self, x):
        chosen = self.router(x).topk(CHOSEN, dim=-1).indices
        mask = F.one_hot(chosen, num_classes=EXPERTS).permute(2, 1, 0)
        out = torch.zeros_like(x)
        for hit in torch.greater(mask.sum(dim=(-1, -2)), 0).nonzero():
            expert = int(hit.item())
            _, rows = torch.where(mask[expert])
            inner = F.linear(x[rows], self.up[expert])
            out.index_add_(0, rows, F.linear(inner, self.down[expert]))
        return out


class Parted(Looped):
    """Rows sorted by expert are cut where the data says."""

    def forward(self, x):
        chosen = self.router(x).topk(CHOSEN, dim=-1).indices.flatten()
        sizes = F.one_hot(chosen, num_classes=EXPERTS).sum(0).tolist()
        parts = x.repeat_interleave(CHOSEN, dim=0)[chosen.argsort()].split(sizes)
        inner = [F.linear(part, self.up[i]) for i, part in enumerate(parts)]
        return torch.cat([F.linear(part, self.down[i]) for i, part in enumerate(inner)])


@pytest.mark.parametrize("kind", [Looped, Parted])
@pytest.mark.parametrize("rows", [64, 256])
def test_flops_are_those_of_the_chosen_experts(kind, rows):
    found = call_flops(from_module(kind(), torch.empty(rows, WIDTH)), workload("prefill"))
    expected = 2 * rows * WIDTH * (EXPERTS + CHOSEN * 2 * INNER)
    assert found == pytest.approx(expected, rel=0.01)


def test_a_token_meets_as_many_experts_as_it_chose():
    capture = captured(from_module(Looped(), torch.empty(1, WIDTH)))
    products = [k for k in capture.columns["call_key"].tolist()
                if capture.key(k).operator.startswith(("aten.mm", "aten.addmm"))]  # fmt: skip
    assert len(products) == 1 + 2 * CHOSEN


def test_what_was_assumed_is_marked():
    marks = captured(from_module(Looped(), torch.empty(8, WIDTH))).tables["marks"]
    assert any("one-hot" in mark for mark in marks)
    marks = captured(from_module(Parted(), torch.empty(8, WIDTH))).tables["marks"]
    assert any("even" in mark for mark in marks)


class Masked(nn.Module):
    """Selects by a comparison, of which nothing is known."""

    def forward(self, x):
        return x[x[:, 0] > 0]


def test_a_mask_of_which_nothing_is_known_is_full():
    capture = captured(from_module(Masked(), torch.empty(12, WIDTH)))
    last = capture.key(int(capture.columns["call_key"][-1]))
    assert last.outputs[0].shape == (12, WIDTH)


class Stateful(nn.Module):
    """Keeps its sum in an attribute, as recurrent models do."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(WIDTH, WIDTH))
        self.kept = None

    def forward(self, x):
        y = x @ self.weight
        self.kept = y if self.kept is None else self.kept + y
        return self.kept


def test_state_in_an_attribute_is_a_cache_and_does_not_outlive_the_capture():
    from crossgrade.capture.run import CaptureSession
    from crossgrade.values.capture import ROLES

    module = Stateful()
    built = from_module(module, torch.empty(4, WIDTH))
    session = CaptureSession(built)
    calls = [session.capture(workload("prefill")) for _ in range(2)]
    assert module.kept is None
    assert calls[0].calls == calls[1].calls
    roles = calls[0].columns["storage_role"].tolist()
    assert roles.count(ROLES.index("kv")) == 1


def test_many_groups_dissolve_as_few_do(monkeypatch):
    from crossgrade.capture import expand

    class Grouped(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.empty(6, WIDTH, WIDTH, dtype=torch.bfloat16))

        def forward(self, x, ends):
            return F.grouped_mm(x, self.weight, offs=ends)

    given = torch.empty(12, WIDTH, dtype=torch.bfloat16), torch.empty(6, dtype=torch.int32)
    fast = captured(from_module(Grouped(), *given))
    monkeypatch.setattr(expand, "_PER_GROUP", frozenset())
    slow = captured(from_module(Grouped(), *given))
    inner = [sorted(c.inner(k)) for c in (fast, slow) for k in range(c.keys) if c.inner(k)]
    assert inner[0] == inner[1]
    assert ("aten.mm.out", 6) in inner[0]
