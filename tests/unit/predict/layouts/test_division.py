"""How launches divide follows from the graph: by role, and so that no work is lost."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.predict.layouts.steps import BATCH, layout, pieces, prepared

from crossgrade.chips.loader import load_chip
from crossgrade.predict.layouts.divided import divided, shares_of
from crossgrade.predict.layouts.pieces import Piece, Pieces
from crossgrade.predict.layouts.step import rank_memory, step_times
from crossgrade.predict.lowering.division import ANY
from crossgrade.predict.silicon.knowledge import shipped
from crossgrade.predict.stack_time import stack_time
from crossgrade.values.layout import Layout

MODELS = ("qwen3-0.6b", "mixtral-8x7b-v0.1", "minimax-m2.5", "deepseek-v3", "deepseek-v3.2")
STACKS = ("vllm", "trtllm", "sglang", "vllm-ascend")


def product(found: Pieces, n: float, k: float) -> Piece:
    """Return the product with these columns and inner size."""
    [piece] = [p for p in found.pieces if p.op == "mm" and p.size("n") == n and p.size("k") == k]
    return piece


def sized(piece: Piece, **degrees: int) -> dict[str, float]:
    shares = shares_of([layout(**degrees)], [BATCH], BATCH, 2)
    return {name: float(column[0]) for name, column in divided(piece, shares).items()}


class TestDense:
    def test_queries_and_keys_divide_over_their_own_heads(self):
        projection = product(pieces("qwen3-0.6b"), 4096, 1024)
        assert projection.division.role == "columns"
        assert projection.division.degrees == ((16, 0.5), (8, 0.5))
        # Of 8 heads of keys and values each of 16 ranks keeps one.
        assert sized(projection, tp=16)["n"] == 2048 / 16 + 2048 / 8

    def test_what_reads_a_share_is_divided_by_rows_and_added_up(self):
        found = pieces("qwen3-0.6b")
        for n, k, degree in ((1024, 2048, 16), (1024, 3072, ANY)):
            piece = product(found, n, k)
            assert piece.division.role == "rows"
            assert piece.division.degrees == ((degree, 1.0),)
            assert sized(piece, tp=4)["k"] == k / 4
            assert sized(piece, tp=4)["n"] == n

    def test_two_sums_a_block_one_of_the_embedding_and_the_vocabulary_side_by_side(self):
        found = pieces("qwen3-0.6b")
        sums = {(tuple(s.kinds), s.repeated): (n, s.bytes) for s, n in found.sums.items()}
        hidden = BATCH * 1024 * 2
        assert sums[("rows",), True] == (4, hidden)
        assert sums[("rows",), False] == (1, hidden)
        assert sums[("gather",), False] == (1, BATCH * 151936 * 2)

    def test_norms_of_the_residual_stay_whole(self):
        for piece in pieces("qwen3-0.6b").pieces:
            if piece.op == "add_rms_norm":
                assert piece.division.degrees == ((1, 1.0),)
            if piece.op == "act_mul":
                assert piece.division.degrees == ((ANY, 1.0),)


class TestLatent:
    def test_what_all_heads_share_stays_whole(self):
        found = pieces("deepseek-v3")
        down = product(found, 1536 + 512 + 64, 7168)
        up = product(found, 128 * 192, 1536)
        assert down.division.role == "whole"
        assert up.division.role == "columns"
        assert up.division.degrees == ((128, 1.0),)

    def test_absorbed_products_and_attention_divide_over_heads(self):
        for piece in pieces("deepseek-v3").pieces:
            if piece.op == "bmm":
                assert sized(piece, tp=8)["batch"] == 16
            if piece.family == "latent-attention":
                assert sized(piece, tp=8)["heads"] == 16

    def test_the_cache_of_a_latent_is_kept_by_every_rank(self):
        found = pieces("deepseek-v3")
        one, eight = (rank_memory(found, [layout(tp=tp)], [BATCH]).cache[0] for tp in (1, 8))
        assert one == eight

    def test_what_picks_keys_stays_whole(self):
        found = pieces("deepseek-v3.2")
        assert product(found, 8192, 1536).division.role == "whole"


class TestExperts:
    def test_a_router_stays_whole_and_experts_are_shared(self):
        found = pieces("minimax-m2.5")
        assert product(found, 256, 3072).division.role == "whole"
        [experts] = [p for p in found.pieces if p.family == "experts"]
        assert sized(experts, tp=4, ep=4) == sized(experts, tp=4, ep=1) | {"ep": 4, "tp": 1}
        assert sized(experts, tp=2, dp=4, ep=8)["tokens"] == BATCH  # each replica brings its own

    def test_a_norm_over_divided_columns_needs_a_sum_of_its_own(self):
        sums = {s.bytes: n for s, n in pieces("minimax-m2.5").sums.items() if s.repeated}
        assert sums[4.0 * BATCH] == 2  # a number per token, once for queries and keys together

    @pytest.mark.slow
    def test_shared_and_routed_experts_are_added_up_in_one_collective(self):
        from tests.unit.predict.layouts.steps import session

        assert session("qwen3.5-35b-a3b") is not None
        sums = pieces("qwen3.5-35b-a3b").sums
        assert [n for s, n in sums.items() if s.kinds == {"rows", "experts"}] == [40]


def flops(piece: Piece, degrees: dict[str, int]) -> float:
    """Return twice the product of the sizes of a matrix product on one rank."""
    size = sized(piece, **degrees)
    return 2 * size["batch"] * size["m"] * size["n"] * size["k"]


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("model", MODELS)
def test_ranks_together_do_what_one_chip_does(model, stack):
    """Products that divide cost all ranks together as much as one chip, whole ones each rank."""
    for piece in pieces(model, stack=stack).pieces:
        if piece.family != "matmul":
            continue
        alone = flops(piece, {})
        for tp in (2, 4):
            together = tp * flops(piece, {"tp": tp})
            whole = piece.division.role in ("whole", "vector")
            assert together == pytest.approx(alone * (tp if whole else 1), rel=1e-3)


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("model", MODELS)
def test_one_chip_as_a_layout_takes_what_one_chip_takes(model, stack):
    chip, one = load_chip("ascend-910b2" if "ascend" in stack else "h100"), layout()
    found = step_times(pieces(model, stack=stack), chip, [one], [BATCH], stack, shipped())
    plain = stack_time(prepared(model), chip, Layout(chips=1), stack, shipped())
    for name in ("low", "mid", "high"):
        assert getattr(found, name)[0] == pytest.approx(getattr(plain, f"{name}_s"), rel=1e-6)
    assert found.network.mid[0] == 0


@pytest.mark.parametrize("model", MODELS)
def test_one_chip_keeps_all_and_ranks_keep_it_together(model):
    need, found = prepared(model).memory, pieces(model)
    one = rank_memory(found, [layout()], [BATCH])
    assert one.weights[0] == pytest.approx(need.weights)
    assert one.cache[0] == pytest.approx(need.kv)
    for degrees in ({"tp": 2}, {"tp": 4}, {"dp": 2}, {"tp": 2, "pp": 2}):
        spread = layout(**degrees)
        rank = rank_memory(found, [spread], [BATCH])
        assert spread.chips * rank.weights[0] >= need.weights * (1 - 1e-9)
        assert rank.weights[0] <= need.weights
        assert spread.chips * rank.cache[0] >= need.kv * (1 - 1e-9)


def test_replicas_work_on_sequences_of_their_own():
    found = pieces("qwen3-0.6b")
    chip, known = load_chip("h100"), shipped()
    times = step_times(found, chip, [layout(), layout(dp=4)], [BATCH, 4 * BATCH], "vllm", known)
    assert times.mid[1] == pytest.approx(times.mid[0])


def test_more_ranks_say_more_to_each_other_and_compute_less():
    found = pieces("qwen3-235b-a22b")
    chip, known = load_chip("h200"), shipped()
    ranks = [layout(tp=tp) for tp in (1, 2, 4, 8)]
    times = step_times(found, chip, ranks, [BATCH] * 4, "vllm", known)
    assert (np.diff(times.network.mid) > 0).all()
    assert (np.diff(times.mid - times.network.mid) < 0).all()
