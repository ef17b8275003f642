"""Which kernel runs is put to the vote of measured rows."""

from __future__ import annotations

import numpy as np
import pytest

from crossgrade.predict.silicon.launched import ByHead, ByRouting, OneKernel, votes_of
from crossgrade.values.kernel import SIZES, Family, KernelRows


def rows(family: Family, op: str, launched: list[str] | None, **columns: list[float]) -> KernelRows:
    count = len(next(iter(columns.values())))
    sizes = {n: np.array(columns.get(n, [1.0] * count), dtype=float) for n in SIZES[family]}
    names = None if launched is None else np.array(launched)
    return KernelRows(family=family, op=op, format="bf16", stack="any", sizes=sizes, launched=names)


HEADS = rows("attention", "decode", ["a", "a", "b", "b"], qk_size=[64, 128, 256, 512])


def test_the_nearest_head_size_tells_the_kernel_of_attention() -> None:
    votes = votes_of([HEADS])
    assert isinstance(votes, ByHead)
    assert votes.of(HEADS).tolist() == ["a", "a", "b", "b"]
    between = rows("attention", "decode", None, qk_size=[160, 240])
    assert votes.of(between).tolist() == ["a", "b"]


def test_a_single_query_has_its_own_kernel() -> None:
    known = rows("attention", "prefill", ["many", "one"], qk_size=[128, 128], queries=[64, 1])
    asked = rows("attention", "prefill", None, qk_size=[96, 96], queries=[1, 512])
    assert votes_of([known]).of(asked).tolist() == ["one", "many"]


def test_a_draw_goes_to_the_first_name_in_any_order() -> None:
    draw = rows("attention", "decode", ["y", "x"], qk_size=[128, 128])
    back = draw.take(np.array([1, 0]))
    assert votes_of([draw]).of(draw).tolist() == votes_of([back]).of(back).tolist() == ["x", "x"]


def test_the_narrowest_region_tells_the_kernel_of_experts() -> None:
    known = rows("experts", "gated", ["a", "b", "b"], ep=[1, 8, 8], topk=[8, 8, 4])
    votes = votes_of([known])
    assert isinstance(votes, ByRouting)
    asked = rows("experts", "ungated", None, ep=[1, 8, 32], topk=[8, 2, 6])
    assert votes.of(asked).tolist() == ["a", "b", "b"]


@pytest.mark.parametrize("family", ["matmul", "vector"])
def test_other_families_have_one_kernel(family: Family) -> None:
    some = rows(family, "mm", ["a", "b"], **{SIZES[family][0]: [1.0, 2.0]})
    votes = votes_of([some])
    assert isinstance(votes, OneKernel)
    assert votes.of(some).tolist() == ["", ""]


def test_rows_without_names_are_of_one_kernel() -> None:
    bare = rows("attention", "decode", None, qk_size=[64, 256])
    assert votes_of([bare]).of(bare).tolist() == ["", ""]
