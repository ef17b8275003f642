"""Launches of `eager` and `compile` against PyTorch itself, run here on the CPU."""

from __future__ import annotations

import re
import shutil
from collections import Counter

import pytest
import torch
from torch import nn
from truthlib import captured, from_module

from crossgrade.predict.lowering.stacks import lower

HIDDEN, HEADS, SIZE = 32, 2, 16


class Norm(nn.Module):
    """Root mean square norm, written out as transformers does."""

    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size, dtype=torch.bfloat16))

    def forward(self, x):
        wide = x.to(torch.float32)
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)
        return self.weight * wide.to(x.dtype)


class Block(nn.Module):
    """One Llama-like layer without a cache; no rotation, which Inductor splits by size."""

    def __init__(self):
        super().__init__()
        self.before, self.after = Norm(HIDDEN), Norm(HIDDEN)
        self.q, self.k, self.v, self.o = (self.linear(HIDDEN, HIDDEN) for _ in range(4))
        self.gate, self.up = self.linear(HIDDEN, 64), self.linear(HIDDEN, 64)
        self.down = self.linear(64, HIDDEN)

    @staticmethod
    def linear(inputs, outputs):
        return nn.Linear(inputs, outputs, bias=False, dtype=torch.bfloat16)

    def forward(self, x):
        y = self.before(x)
        q, k, v = (p(y).unflatten(-1, (HEADS, SIZE)).transpose(1, 2)
                   for p in (self.q, self.k, self.v))  # fmt: skip
        y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.o(y.transpose(1, 2).flatten(2))
        y = self.after(x)
        return x + self.down(nn.functional.silu(self.gate(y)) * self.up(y))


class Blocks(nn.Module):
    """Two layers and a norm."""

    def __init__(self):
        super().__init__()
        self.layers, self.norm = nn.ModuleList([Block(), Block()]), Norm(HIDDEN)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)


@pytest.fixture(scope="module")
def blocks():
    torch.manual_seed(0)
    return Blocks().eval(), torch.randn(2, 8, HIDDEN, dtype=torch.bfloat16)


@pytest.fixture(scope="module")
def capture():
    with torch.device("meta"):
        module, x = Blocks().eval(), torch.empty(2, 8, HIDDEN, dtype=torch.bfloat16)
    return captured(from_module(module, x), "prefill", batch=2, tokens=8)


NAMES = {"mm", "mul", "add", "silu", "pow", "mean", "rsqrt", "_to_copy"}


def inside(event):
    """Return whether another launching operator calls this one, such as `pow` a conversion."""
    above = event.cpu_parent
    while above is not None:
        if above.name.removeprefix("aten::") in NAMES:
            return True
        above = above.cpu_parent
    return False


def test_eager_launches_what_the_profiler_sees(blocks, capture):
    module, x = blocks
    with (
        torch.no_grad(),
        torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler,
    ):
        module(x)
    seen = Counter(e.name.removeprefix("aten::") for e in profiler.events() if not inside(e))
    seen["prefill"] = seen["_scaled_dot_product_flash_attention_for_cpu"]
    found = Counter(k.op for k in lower(capture, "eager"))
    wanted = {name: seen[name] for name in (*NAMES, "prefill")}
    assert {name: found[name] for name in wanted} == wanted
    assert set(found) <= wanted.keys()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="Inductor compiles C++ for the CPU")
def test_compile_launches_what_inductor_generates(blocks, capture):
    from torch._inductor import config
    from torch._inductor.utils import run_and_get_code

    module, x = blocks
    torch._dynamo.reset()
    with torch.no_grad(), config.patch(force_disable_caches=True, compile_threads=1):
        _, code = run_and_get_code(torch.compile(module), x)
    body = "\n".join(code)
    calls = re.findall(
        r"^\s+(?:\w+ = )?(cpp_fused\w*|extern_kernels\.mm|torch\.ops\.aten\.\w+)[.\w]*\(",
        body[body.index("def call(") :],
        re.MULTILINE,
    )
    kinds = Counter("fused" if c.startswith("cpp") else c for c in calls)
    found = lower(capture, "compile")
    assert kinds["extern_kernels.mm"] == sum(k.op == "mm" for k in found)
    attention = "torch.ops.aten._scaled_dot_product_flash_attention_for_cpu"
    assert kinds[attention] == sum(k.op == "prefill" for k in found)
    assert kinds["fused"] == sum(k.family == "vector" for k in found)
