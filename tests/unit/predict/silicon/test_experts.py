"""The kernel model of routed experts: limits, directions, and what a fit finds again."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossgrade.chips.loader import load_chip
from crossgrade.predict.silicon.experts import (
    UNGATED,
    Experts,
    weight_bytes,
)
from crossgrade.predict.silicon.facts import facts_of
from crossgrade.predict.silicon.kernel_sets import fitted, priced
from crossgrade.predict.silicon.model import starting
from crossgrade.predict.silicon.routing import share_of
from crossgrade.values.kernel import SIZES, KernelRows

MODEL = Experts()
FACTS = facts_of(load_chip("h100"), "bf16")


def rows(*, op: str = "gated", **wanted: float | list[float]) -> KernelRows:
    given = {"tokens": 64, "hidden": 4096, "inter": 1536, "topk": 8, "experts": 128, "tp": 1,
             "ep": 1, "skew": 0} | wanted  # fmt: skip
    columns = np.broadcast_arrays(*(np.asarray(given[n], dtype=float) for n in SIZES["experts"]))
    sizes = {n: np.atleast_1d(c).copy() for n, c in zip(SIZES["experts"], columns, strict=True)}
    return KernelRows(family="experts", op=op, format="bf16", stack="none", sizes=sizes)


def total(some: KernelRows) -> np.ndarray:
    return MODEL.terms(some, FACTS, starting(MODEL)).total


def test_few_tokens_take_the_time_to_read_the_weights_of_their_experts() -> None:
    one = rows(tokens=16)
    values = starting(MODEL) | {"floor_s": 1e-9, "moved": 1e-9, "moved_elsewhere": 1e-9}
    read = 128 * 3 * 4096 * 1536 * 2
    assert weight_bytes(one, share_of(one.sizes))[0] == read
    told = MODEL.terms(one, FACTS, values).total[0]
    streamed = read / (FACTS.bandwidth_bytes_per_s * values["memory_efficiency"])
    assert told == pytest.approx(streamed, rel=0.15)


def test_many_tokens_take_the_time_to_multiply() -> None:
    many = rows(tokens=65536)
    values = starting(MODEL) | {"step_s": 1e-12, "moved": 1e-9, "moved_elsewhere": 1e-9}
    flop = 2 * 65536 * 8 * 3 * 4096 * 1536
    told = MODEL.terms(many, FACTS, values).total[0]
    multiplied = flop / (FACTS.matrix_flop_per_s * values["matrix_efficiency"])
    assert told == pytest.approx(multiplied, rel=0.1)


@given(
    st.sampled_from([(4096, 1536, 8, 128), (6144, 16384, 2, 8), (2048, 512, 8, 256)]),
    st.sampled_from([0.0, -1.0]),
    st.sampled_from([(1, 1), (8, 1), (1, 8)]),
)
def test_more_tokens_never_take_less_time(
    model: tuple[int, int, int, int], skew: float, split: tuple[int, int]
) -> None:
    hidden, inter, topk, experts = model
    tokens = [float(2**n) for n in range(15)]
    told = total(rows(tokens=tokens, hidden=hidden, inter=inter, topk=topk, experts=experts,
                      tp=split[0], ep=split[1], skew=skew))  # fmt: skip
    assert (np.diff(told) >= -1e-9 * told[1:]).all()


@pytest.mark.parametrize("tokens", [1, 64, 4096])
@pytest.mark.parametrize("skew", [0.0, 1.2, -1.0])
def test_splitting_over_ranks_takes_less_time(tokens: int, skew: float) -> None:
    for name in ("tp", "ep"):
        told = total(rows(tokens=tokens, skew=skew, **{name: [1.0, 2.0, 4.0, 8.0]}))
        assert (np.diff(told) <= 1e-12).all(), name


def test_an_expert_without_a_gate_takes_two_thirds_of_the_weights() -> None:
    gated, plain = rows(tokens=16), rows(tokens=16, op=UNGATED)
    share = share_of(gated.sizes)
    assert weight_bytes(plain, share)[0] == pytest.approx(weight_bytes(gated, share)[0] * 2 / 3)
    assert total(plain)[0] < total(gated)[0]


def test_a_row_of_weights_in_odd_pieces_takes_longer() -> None:
    # 704 / 32 = 22 columns of 2 bytes: 44 bytes.
    values = starting(MODEL)
    odd = rows(hidden=2816, inter=704, tp=32)
    slow, fast = (MODEL.terms(odd, FACTS, values | {"misaligned": m}).total[0] for m in (3.0, 1.0))
    assert slow > fast
    even = rows(hidden=2816, inter=704)
    assert MODEL.terms(even, FACTS, values | {"misaligned": 3.0}).total[0] == total(even)[0]


def test_a_sheet_without_cores_or_cache_still_gives_a_time() -> None:
    silent = replace(FACTS, cores=np.nan, cache_bytes=np.nan)
    assert np.isfinite(MODEL.terms(rows(), silent, starting(MODEL)).total).all()
    assert np.isfinite(MODEL.features(rows(), silent, starting(MODEL))).all()


def synthetic(kernel: str, ep: float, values: dict[str, float]) -> KernelRows:
    grid = itertools.product(
        [2.0**n for n in range(15)],
        [(4096, 1536, 8, 128), (6144, 2048, 8, 256), (2048, 768, 8, 128)],
    )
    points = [(t, h, i, k, e) for t, (h, i, k, e) in grid]
    tokens, hidden, inter, topk, experts = (list(map(float, c)) for c in zip(*points, strict=True))
    some = rows(tokens=tokens, hidden=hidden, inter=inter, topk=topk, experts=experts, ep=ep)
    return replace(
        some,
        seconds=MODEL.terms(some, FACTS, values).total,
        launched=np.full(len(some), kernel),
    )


def test_each_kernel_gets_its_own_parameters_and_its_region() -> None:
    slow = starting(MODEL) | {"matrix_efficiency": 0.25, "floor_s": 60e-6}
    fast = starting(MODEL) | {"matrix_efficiency": 0.8, "floor_s": 10e-6}
    a, b = synthetic("a", 1.0, slow), synthetic("b", 8.0, fast)
    both = replace(
        a,
        sizes={n: np.concatenate([a.sizes[n], b.sizes[n]]) for n in a.sizes},
        seconds=np.concatenate([a.seconds, b.seconds]),
        launched=np.concatenate([a.launched, b.launched]),
    )
    sets = fitted(MODEL, [both], FACTS)
    untold = replace(both, seconds=None, launched=None)
    assert sets.launched(untold).tolist() == both.launched.tolist()
    assert sets.by_kernel["a"]["matrix_efficiency"] == pytest.approx(0.25, rel=0.1)
    assert sets.by_kernel["b"]["matrix_efficiency"] == pytest.approx(0.8, rel=0.15)
    told = priced(MODEL, untold, FACTS, sets).total
    assert np.abs(told / both.seconds - 1).mean() < 0.03


def test_an_unseen_number_of_choices_goes_by_the_split() -> None:
    a = synthetic("a", 1.0, starting(MODEL))
    sets = fitted(MODEL, [a], FACTS)
    assert sets.launched(rows(topk=3)).tolist() == ["a"]
