"""A search finds what trying every layout and batch finds, and nothing that does not fit."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
import pytest
from tests.unit.predict.layouts.steps import pieces

from crossgrade.chips.loader import load_chip
from crossgrade.predict.layouts import search as searching
from crossgrade.predict.layouts.faults import layout_faults
from crossgrade.predict.layouts.search import Service, front_of, layouts_of, search
from crossgrade.predict.layouts.step import rank_memory, step_times
from crossgrade.predict.silicon.knowledge import shipped
from crossgrade.values.layout import Layout
from crossgrade.values.layout_search import ServicePoint

CHIPS = ("h100", "h200", "b200", "mi300x", "ascend-910b2", "ascend-910c")
STACK = {"h100": "vllm", "h200": "vllm", "b200": "trtllm", "mi300x": "vllm-rocm",
         "ascend-910b2": "vllm-ascend", "ascend-910c": "vllm-ascend"}  # fmt: skip


@pytest.fixture(autouse=True)
def few_batches(monkeypatch):
    monkeypatch.setattr(searching, "MOST_BATCH", 8)


def case(seed: int) -> Service:
    """A small search, every number drawn."""
    rng = np.random.default_rng(seed)
    chip = str(rng.choice(CHIPS))
    model = str(rng.choice(["qwen3-0.6b", "mixtral-8x7b-v0.1", "minimax-m2.5", "deepseek-v3"]))
    own = functools.partial(pieces, model, stack=STACK[chip])
    decode = own()
    heaviest = sum(row.bytes for row in decode.weights)
    return Service(
        decode=decode, last=own(context=1024), prefill=own(phase="prefill", batch=1),
        prefill_last=own(phase="prefill", batch=1, context=1024),
        parts=float(rng.integers(1, 4)), chip=load_chip(chip), chips=int(rng.integers(1, 5)),
        stack=STACK[chip], knowledge=shipped(), output=int(rng.integers(1, 2000)),
        usable=heaviest * float(rng.choice([0.1, 0.4, 1.2, 10.0])),
        ttft_s=float(rng.choice([0.002, 0.01, 1.0])) if rng.integers(2) else None,
        tpot_s=float(rng.choice([3e-4, 1e-3, 0.1])) if rng.integers(2) else None,
        price_per_hour=3.0 if rng.integers(2) else None,
    )  # fmt: skip


def degrees(n: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield every tp, pp, dp, ep of an instance of n chips, by trying all numbers."""
    for tp in range(1, n + 1):
        for pp in range(1, n + 1):
            for dp in range(1, n + 1):
                for ep in range(1, n + 1):
                    if tp * pp * dp == n and (tp * dp) % ep == 0:
                        yield tp, pp, dp, ep


def one_by_one(s: Service) -> list[tuple[Layout, int, float, float, float]]:
    """Return layout, batch, TPOT, TTFT and tokens/s of all that will do, one after the other."""
    found = []
    for size in range(1, s.chips + 1):
        if s.chips % size:
            continue
        for tp, pp, dp, ep in degrees(size):
            layout = Layout(chips=size, kind="sharded", tp=tp, pp=pp, dp=dp, ep=ep)
            if (s.decode.routed is None and ep > 1) or list(layout_faults(s.decode, layout)):
                continue
            batch = dp * pp
            while batch <= searching.MOST_BATCH:
                row = alone(s, layout, batch)
                if row is not None:
                    found.append((layout, batch, *row))
                batch *= 2
    return found


def alone(s: Service, layout: Layout, batch: int) -> tuple[float, float, float] | None:
    """Return TPOT, TTFT and tokens/s of one combination; None where it will not do."""
    each = layout.dp * layout.pp
    step, first, final = (
        float(step_times(p, s.chip, [layout], [b], s.stack, s.knowledge).mid[0])
        for p, b in ((s.decode, batch), (s.prefill, each), (s.prefill_last, each))
    )
    read = (first + final) / 2
    tpot = step + (batch / layout.dp - 1) / s.output * read * s.parts / layout.pp
    ttft = step + read * s.parts
    kept = rank_memory(s.last, [layout], [batch])
    reading = rank_memory(s.prefill, [layout], [each]).activations[0]
    memory = kept.weights[0] + kept.cache[0] + max(kept.activations[0], reading)
    if memory > s.usable or not tpot <= (s.tpot_s or 1e9) or not ttft <= (s.ttft_s or 1e9):
        return None
    rate = batch * s.output / (ttft + (s.output - 1) * tpot) * s.chips / layout.chips
    return tpot, ttft, rate


def beaten(p: ServicePoint, others: list[ServicePoint]) -> bool:
    return any(
        o.tpot_mid_s <= p.tpot_mid_s
        and o.tokens_per_s_per_chip >= p.tokens_per_s_per_chip
        and (o.tpot_mid_s, -o.tokens_per_s_per_chip) < (p.tpot_mid_s, -p.tokens_per_s_per_chip)
        for o in others
    )


@pytest.mark.parametrize(
    "block", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 8))]
)
def test_a_search_equals_trying_everything(block):
    for seed in range(25 * block, 25 * block + 25):
        service = case(seed)
        found = search(service)
        plain = one_by_one(service)
        assert {(p.layout, p.batch) for p in found.points} == {(x, b) for x, b, *_ in plain}
        figures = {(x, b): rest for x, b, *rest in plain}
        for p in found.points:
            assert (p.tpot_mid_s, p.ttft_mid_s, p.tokens_per_s) == pytest.approx(
                tuple(figures[p.layout, p.batch])
            )
            assert p.rank_bytes <= service.usable
            assert p.tpot_s.low <= p.tpot_mid_s <= p.tpot_s.high
        front = front_of(found.points)
        assert not [p for p in front if beaten(p, list(found.points))]
        kept = {(p.tpot_mid_s, p.tokens_per_s_per_chip) for p in front}
        for p in found.points:
            if (p.tpot_mid_s, p.tokens_per_s_per_chip) not in kept:
                assert beaten(p, list(front))
        met = {p.layout for p in found.points}
        assert met.isdisjoint(r.layout for r in found.rejected)
        every = set(layouts_of(service.chips, routed=service.decode.routed is not None))
        assert met | {r.layout for r in found.rejected} == every


def test_a_reason_says_what_is_in_the_way():
    service = case(0)
    small = {name: getattr(service, name) for name in Service.__dataclass_fields__}
    nothing = search(Service(**small | {"usable": 1.0}))
    assert not nothing.points
    assert all("weights of" in r.reason or "divide" in r.reason for r in nothing.rejected)
    slow = search(Service(**small | {"usable": 1e15, "tpot_s": 1e-9, "ttft_s": None}))
    assert any(r.reason.startswith("TPOT") for r in slow.rejected)
